// KernelKey of the decode nest -> its sizes.
#include "plan/sizes/decode.h"

#include <algorithm>

#include "plan/hoisting.h"
#include "plan/sizes/scratch.h"
#include "support/check.h"
#include "support/dtype.h"
#include "support/rounding.h"

namespace flexjit::plan {
namespace {

using support::round_up;

constexpr std::int32_t kMaxRows = 32;
// Keys between K and V: short, so that both streams advance together and prefetching stays just ahead of them.
constexpr std::int32_t kKeyStep = 16;
constexpr std::int64_t kBytesAhead = 8192;  // by which prefetching runs ahead of the reads

}  // namespace

// About as many bytes whatever the row, and at least a step.
std::int32_t keys_ahead(const KernelKey& key, std::int32_t dims) {
  const auto row_bytes = dims * static_cast<std::int64_t>(size_of(key.types.kv));
  return static_cast<std::int32_t>(std::clamp<std::int64_t>(kBytesAhead / row_bytes, kKeyStep, 4 * kKeyStep));
}

bool can_decode(const ElementTypes& types) {
  return types.q != DType::kF64 && types.kv != DType::kF64 && types.out != DType::kF64;
}

// Quantised rows are converted for all query rows of a micro-tile at once, so that it has more of them where registers are few;
// the bytes of fp8 become two vectors at once.
Tiling decode_tiling(Isa isa, const ElementTypes& types) {
  const IsaFacts& facts = facts_of(isa);
  if (support::is_quantised(types.kv) && facts.decode_rows == 2)
    return {.q_tile = kMaxRows, .kv_tile = kKeyStep, .micro_rows = 4, .micro_vectors = support::is_float(types.kv) ? 2 : 3};
  return {.q_tile = kMaxRows, .kv_tile = kKeyStep, .micro_rows = facts.decode_rows, .micro_vectors = 4};
}

KernelKey decode_key_of(const KernelKey& prefill) {
  KernelKey key = plan_kernel({.program = prefill.program,
                               .nest = Nest::kDecode,
                               .types = prefill.types,
                               .weights = prefill.weights,
                               .head_dim = prefill.head_dim,
                               .v_head_dim = prefill.v_head_dim},
                              prefill.target);
  key.debug = prefill.debug;  // of the same program
  return key;
}

DecodeScratch decode_scratch_of(const KernelKey& key) {
  FLEXJIT_CHECK(can_decode(key.types));
  const std::int64_t lanes = lanes_of(key.target.isa);
  const std::int64_t rows = key.tiling.q_tile;
  const Hoisting hoisting = hoist(key.program, key.nest);
  DecodeScratch scratch;
  Sections sections;
  const ArithmeticFacts& facts = facts_of(arithmetic_of(key));
  scratch.q_stride = round_up(key.head_dim, facts.elements_of_cell * lanes);
  scratch.q = sections.place(rows * scratch.q_stride * facts.cell_bytes / facts.elements_of_cell);
  scratch.s = sections.place(rows * key.tiling.kv_tile * 4);
  for (std::int64_t* numbers : {&scratch.k_rows, &scratch.k_to_come, &scratch.v_to_come})
    *numbers = sections.place(key.tiling.kv_tile * 4);
  scratch.v_rows = sections.place(key.tiling.kv_tile * 8);
  scratch.sum_lanes = sections.place(rows * lanes * 4);
  const std::int64_t quantised_tile = support::is_quantised(key.types.kv) ? key.tiling.kv_tile : 0;
  scratch.real_stride = round_up(std::max(key.head_dim, key.v_head_dim), 2 * lanes);
  scratch.real_rows = sections.place(quantised_tile * scratch.real_stride * 4);
  scratch.k_scales = sections.place(quantised_tile * 4);
  scratch.v_scales = sections.place(quantised_tile * 4);
  scratch.unsettled = sections.place(rows * 4);
  scratch.row_values = sections.place(hoisting.row_slots * rows * 4);
  scratch.column_values = sections.place(std::int64_t{hoisting.column_slots} * key.tiling.kv_tile * 4);
  scratch.bytes = sections.end();
  return scratch;
}

KernelLayout decode_layout_of(const KernelKey& key) {
  KernelLayout layout;
  layout.lanes = lanes_of(key.target.isa);
  layout.strip = key.tiling.kv_tile;
  layout.q_tile = key.tiling.q_tile;
  layout.kv_tile = key.tiling.kv_tile;
  layout.keys_to_come = std::max(keys_ahead(key, key.head_dim), keys_ahead(key, key.v_head_dim));
  const std::int32_t pair = facts_of(arithmetic_of(key)).elements_of_cell;
  layout.v_padded = static_cast<std::int32_t>(round_up(key.v_head_dim, pair * layout.lanes));
  layout.scratch_bytes = decode_scratch_of(key).bytes;
  return layout;
}

}  // namespace flexjit::plan
