// New keys and values into the rows of a cache, keys rotated to their positions.
#pragma once

#include <cstdint>
#include <span>

#include "plan/operands.h"
#include "runtime/rows/rotary.h"

namespace flexjit::runtime {

struct AppendOperands {
  plan::TensorArg k_cache, v_cache;
  plan::TensorArg k, v;  // new
  RowType k_type, v_type;
  std::int32_t kv_heads = 0;
  std::int32_t page_size = 0;  // keys of a page, where sequences have pages
  plan::RotaryArg rotary{};
};

// Rows [row, row + count) of an entry of the new tensors become keys [key, key + count) of a sequence.
struct NewKeyRun {
  plan::Sequence sequence;
  plan::Sequence::Place first;
  std::int32_t key = 0, count = 0;
};

// No two runs share a row of the cache, and no page of them is a hole.
void append(const AppendOperands& operands, std::span<const NewKeyRun> runs, int threads);

}  // namespace flexjit::runtime
