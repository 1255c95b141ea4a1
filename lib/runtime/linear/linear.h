// Sequences of linear weights on their kernel: chunk after chunk of keys goes into a state that queries meet. An item is a
// sequence and a kv head, whose query heads share its keys' features and its state.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "plan/operands.h"
#include "runtime/launch.h"
#include "runtime/traced.h"

namespace flexjit::runtime {

// What rows are multiplied with before the feature map, as plan::LinearArg has it.
class FeatureMatrix {
 public:
  FeatureMatrix() = default;
  // elements: [features][head_dim]
  FeatureMatrix(std::span<const double> elements, const plan::KernelLayout& layout);
  const void* rows() const { return rows_.data(); }
  const void* panels() const { return panels_.data(); }

 private:
  struct alignas(64) Line {
    std::byte bytes[64];
  };
  std::vector<Line> rows_, panels_;
};

struct LinearCall {
  FeatureMatrix matrix;
  double eps = 0;
  bool by_head = false;  // a state for each query head, else for each kv head
  bool causal = false;
};

// One sequence that has queries. diagonals: of a causal mask, the last key that query 0 meets, less than 0 for none; by head,
// or one for all.
struct LinearWork {
  const plan::Sequence* sequence = nullptr;
  std::vector<std::int64_t> diagonals{};

  std::int64_t diagonal(std::int32_t h) const {
    if (diagonals.size() > 1) return diagonals[static_cast<std::size_t>(h)];
    return diagonals.empty() ? 0 : diagonals.front();
  }
};

// Deterministic for every thread count: an item is one thread's. scores_visited counts the pairs that meet inside chunks.
LaunchOutcome attend_linear(const Kernel& kernel, const plan::Operands& operands, const LinearCall& call,
                            std::span<const LinearWork> work, const Workers& workers);

// States that live from call to call, (batch, kv_heads or heads) of KernelLayout::state_bytes each.
struct LinearMemory {
  std::byte* states = nullptr;  // 64-byte aligned
  std::int64_t keys = 0;        // that they have taken
  std::int32_t tokens = 0;      // new ones of each sequence
  bool queries = false;         // each beside its key; else keys alone
};
LaunchOutcome advance_linear(const Kernel& kernel, const plan::Operands& operands, const LinearCall& call,
                             std::span<const plan::Sequence> sequences, const LinearMemory& memory, const Workers& workers);

}  // namespace flexjit::runtime
