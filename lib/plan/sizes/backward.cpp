// KernelKey of the backward nest -> its sizes.
#include "plan/sizes/backward.h"

#include <algorithm>
#include <cstdlib>

#include "plan/hoisting.h"
#include "support/rounding.h"

namespace flexjit::plan {
namespace {

using support::round_up;

// A tile has at most 64 panels: which of them are visited is kept in the bits of one integer.
constexpr std::int64_t kMostGradientPanels = 64;
// P and dS of a tile are read along rows and along keys again and again: both stay in the first-level cache, nearly.
constexpr std::int64_t kTileRows = 48, kTileKeys = 128;  // divide by every micro_rows and every number of lanes

BufferSums sums_of(const ir::Program& program, const Hoisting& hoisting, ir::Id id) {
  const bool of_dot = program.node(id).op == ir::Op::kAccumulateRow;
  BufferSums found{.buffer = of_dot ? program.dot(id).buffer_a : program.read(id).buffer};
  const std::size_t indices = program.buffers()[found.buffer].rank - (of_dot ? 1U : 0U);
  for (std::size_t d = 0; d < indices; ++d) {
    const ir::Id index = program.indices(id)[d];
    const ir::Op op = program.node(index).op;
    const Slopes& slopes = hoisting.slopes[index.index];
    const auto dimension = static_cast<std::int32_t>(d);
    if (slopes.known && std::abs(slopes.q) == 1 && slopes.kv == 0) found.of_query = dimension;
    if (slopes.known && slopes.q == 0 && std::abs(slopes.kv) == 1) found.of_key = dimension;
    if (op == ir::Op::kBatch) found.of_batch = dimension;
    if (op == ir::Op::kHead || op == ir::Op::kKvHead) found.of_head = dimension;
  }
  return found;
}

}  // namespace

Tiling backward_tiling(const KernelKey& key) {
  const IsaFacts& isa = facts_of(key.target.isa);
  const std::int64_t lanes = lanes_of(key.target.isa, arithmetic_of(key)), strip = isa.micro_vectors * lanes;
  const std::int64_t keys = std::min(kTileKeys, kMostGradientPanels * lanes);
  return {.q_tile = static_cast<std::int32_t>(kTileRows),
          .kv_tile = static_cast<std::int32_t>(keys / strip * strip),
          .micro_rows = isa.micro_rows,
          .micro_vectors = isa.micro_vectors};
}

KernelKey backward_key_of(const KernelKey& prefill, ir::Program gradient) {
  return plan_kernel({.program = std::move(gradient),
                      .nest = Nest::kBackward,
                      .types = prefill.types,
                      .weights = prefill.weights,
                      .head_dim = prefill.head_dim,
                      .v_head_dim = prefill.v_head_dim},
                     prefill.target);
}

// A vector of lanes for each row, or the diagonals of a tile for each row of a micro-tile.
std::int64_t sums_bytes(const KernelKey& key) {
  const std::int64_t real = facts_of(arithmetic_of(key)).real_bytes, lanes = lanes_of(key.target.isa, arithmetic_of(key));
  const std::int64_t diagonals = diagonals_of(key) * key.tiling.micro_rows;
  return round_up(std::max(key.tiling.q_tile * lanes, diagonals) * real, kLaneBytes);
}

BackwardScratch backward_scratch_of(const KernelKey& key) {
  const Arithmetic arithmetic = arithmetic_of(key);
  const std::int64_t real = facts_of(arithmetic).real_bytes;
  const std::int64_t panels = key.tiling.kv_tile / lanes_of(key.target.isa, arithmetic);
  BackwardScratch scratch;
  scratch.s_stride = score_stride_of(key);
  Sections sections;
  scratch.weights = sections.place(key.tiling.q_tile * scratch.s_stride * real);
  scratch.gradients = sections.place(key.tiling.q_tile * scratch.s_stride * real);
  scratch.row_begin = sections.place(panels * 8);
  scratch.row_end = sections.place(panels * 8);
  const auto accumulations = static_cast<std::int64_t>(key.program.accumulations().size());
  scratch.sums = sections.place(accumulations == 0 ? 0 : kSumsBegin + accumulations * sums_bytes(key));
  static_cast<TileSections&>(scratch) = place_tile(key, sections);
  scratch.bytes = sections.end();
  return scratch;
}

std::vector<BufferSums> buffer_sums_of(const KernelKey& key) {
  const ir::Program& program = key.program;
  const Hoisting hoisting = hoist(program, key.nest);
  std::vector<BufferSums> sums;
  for (ir::Id id : program.accumulations()) {
    BufferSums found = sums_of(program, hoisting, id);
    const auto same = std::ranges::find(sums, found.buffer, &BufferSums::buffer);
    if (same == sums.end()) {
      sums.push_back(found);
    } else {
      *same = {.buffer = found.buffer};  // the element of one pair may be another pair's by the other index
    }
  }
  return sums;
}

KernelLayout backward_layout_of(const KernelKey& key) {
  const Arithmetic arithmetic = arithmetic_of(key);
  KernelLayout layout;
  layout.lanes = lanes_of(key.target.isa, arithmetic);
  layout.strip = key.tiling.micro_vectors * layout.lanes;
  layout.q_tile = key.tiling.q_tile;
  layout.kv_tile = key.tiling.kv_tile;
  layout.cell_bytes = facts_of(arithmetic).cell_bytes;
  layout.k_depth = key.head_dim;
  layout.k_padded = static_cast<std::int32_t>(round_up(key.head_dim, layout.lanes));
  layout.v_padded = static_cast<std::int32_t>(round_up(key.v_head_dim, layout.lanes));
  layout.scratch_bytes = backward_scratch_of(key).bytes;
  return layout;
}

}  // namespace flexjit::plan
