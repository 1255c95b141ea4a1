// Naive fp64 attention, one row at a time, over a callback that applies the pattern: the oracle and the reference backend.
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <span>
#include <vector>

#include "plan/kernel_key.h"
#include "plan/operands.h"

namespace flexjit::reference {

struct ReferenceRow {
  const plan::Sequence* sequence = nullptr;
  std::int32_t h = 0, q_idx = 0;

  std::int32_t b() const { return sequence->b; }
};

// What a kernel has in its key and a launch does not say. Head dims in elements.
struct ReferenceKernel {
  plan::ElementTypes types{};
  plan::Weights weights = plan::Weights::kSoftmax;
  std::int32_t head_dim = 0;
  std::int32_t v_head_dim = 0;
};

// A score is an fp32 number unless the tensors are fp64. What lies beyond it is infinite; nothing else is rounded.
double in_range(double score, const plan::ElementTypes& types);

// scale * q k^T, one row after the other, in fp64. Holds scratch, so one per thread; what it is made from must outlive it.
class ReferenceScores {
 public:
  ReferenceScores(const plan::Operands& launch, const ReferenceKernel& kernel);
  // `scores` has room for kv_len of the sequence. Those of keys in holes are 0.
  void compute(const ReferenceRow& row, std::span<double> scores);

 private:
  void rotate(const plan::RotaryArg& rotary, std::int64_t position);

  const plan::Operands& launch_;
  const ReferenceKernel& kernel_;
  std::vector<double> q_, k_;
};

// Replaces the scaled scores of one row (kv_len of them) by the modified ones, -inf where masked. Returns false to stop
// the whole computation (the caller keeps the reason).
using ReferencePattern = std::function<bool(const ReferenceRow& row, std::span<double> scores)>;

// What the weights of one row are multiplied with after they have been normalised; where masked they stay. Empty: 1.
using ReferenceFactors = std::function<bool(const ReferenceRow& row, std::span<double> factors)>;

// Modified scores of one row -> weights. Returns ln sum exp, and -inf of sigmoid weights.
struct RowSummary {
  double lse, max_score;
};
RowSummary to_weights(plan::Weights weights, std::span<double> scores, double sink);
// -inf: none.
double sink_of(const plan::Operands& launch, std::int32_t h);

// The rows [begin, begin + count) of each sequence, as far as it has them.
struct ReferenceQueries {
  std::span<const plan::Sequence> sequences;
  std::int32_t begin = 0;
  std::int32_t count = std::numeric_limits<std::int32_t>::max();
};

// launch.q/k/v/out hold elements of kernel.types; what is written is rounded once, to nearest even. lse and max_scores are left
// alone with sigmoid weights; buffers and params are not read. Single-threaded. Returns false when a row stopped it.
bool reference_attention(const plan::Operands& launch, const ReferenceKernel& kernel, const ReferenceQueries& queries,
                         const ReferencePattern& pattern, const ReferenceFactors& factors = {});

}  // namespace flexjit::reference
