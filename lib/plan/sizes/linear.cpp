// A chunk is short: the pairs inside it are computed one by one, so that its length is paid for by every query, while the state
// is read and written once a chunk.
#include "plan/sizes/linear.h"

#include "plan/sizes/scratch.h"
#include "support/rounding.h"

namespace flexjit::plan {
namespace {

using support::round_up;

constexpr std::int32_t kChunk = 32;      // divides by every number of lanes and by the rows of every micro-tile
constexpr std::int32_t kLinearRows = 4;  // of a micro-tile: divides a chunk

}  // namespace

Tiling linear_tiling(Isa isa) {
  return {.q_tile = kChunk, .kv_tile = kChunk, .micro_rows = kLinearRows, .micro_vectors = facts_of(isa).micro_vectors};
}

LinearScratch linear_scratch_of(const KernelKey& key) {
  const Arithmetic arithmetic = arithmetic_of(key);
  const std::int64_t real = facts_of(arithmetic).real_bytes, lanes = lanes_of(key.target.isa, arithmetic);
  const std::int64_t chunk = key.tiling.q_tile, v_padded = round_up(key.v_head_dim, lanes);
  const std::int64_t line = kCacheLine / real;
  LinearScratch scratch;
  // A line more than whole vectors keeps rows from sharing a few cache sets.
  scratch.k_stride = chunk + line;
  scratch.q_stride = round_up(key.linear.features, lanes) + line;
  scratch.q_row_stride = round_up(key.head_dim, lanes);
  const std::int64_t gates = key.program.gate().valid() ? 1 : 0;
  Sections sections;
  const auto reals = [&](std::int64_t count) { return sections.place(count * real); };
  scratch.k_panels = reals(chunk * key.head_dim);
  scratch.k_features = reals(key.linear.features * scratch.k_stride);
  scratch.kept = reals(chunk);
  scratch.squares = reals(chunk);
  scratch.v = reals(chunk * v_padded);
  scratch.faded_v = reals(gates * chunk * v_padded);
  scratch.q = reals(chunk * scratch.q_row_stride);
  scratch.q_squares = reals(chunk);
  scratch.q_features = reals(chunk * scratch.q_stride);
  scratch.pulled = reals((key.program.roots()[ir::Root::kFeatureSlope].valid() ? chunk : 0) * scratch.q_stride);
  scratch.weights = reals(chunk * scratch.k_stride);
  scratch.gates = reals(gates * chunk);
  scratch.since = reals(gates * chunk * scratch.k_stride);
  scratch.since_begin = reals(gates * chunk);
  scratch.normalisers = reals(chunk);
  scratch.sums = reals(lanes * lanes);
  scratch.bytes = sections.end();
  return scratch;
}

KernelLayout linear_layout_of(const KernelKey& key) {
  const Arithmetic arithmetic = arithmetic_of(key);
  KernelLayout layout;
  layout.lanes = lanes_of(key.target.isa, arithmetic);
  layout.strip = layout.lanes;
  layout.q_tile = key.tiling.q_tile;
  layout.kv_tile = key.tiling.kv_tile;
  layout.cell_bytes = facts_of(arithmetic).cell_bytes;
  layout.k_depth = key.head_dim;
  layout.v_padded = static_cast<std::int32_t>(round_up(key.v_head_dim, layout.lanes));
  layout.scratch_bytes = linear_scratch_of(key).bytes;
  layout.linear = key.linear;
  layout.f_padded = static_cast<std::int32_t>(round_up(key.linear.features, layout.lanes));
  layout.state_bytes = std::int64_t{layout.f_padded} * (layout.v_padded + 1) * facts_of(arithmetic).real_bytes;
  return layout;
}

}  // namespace flexjit::plan
