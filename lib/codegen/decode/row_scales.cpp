// Scales of the rows of quantised K and V in one key step -> two tables by column, which multiply scores and weights; the
// products then read elements without their scales. Scales of groups of dims are not here: they multiply elements
// (StreamedRows::cells).
#include <cstddef>

#include "codegen/decode/row_block.h"

namespace flexjit::codegen {

// Evenly one after the other, as those of a token and head mostly lie, they are copied by vectors.
void emit_row_scales(Emitter& e, RowBlock& b, const KeyStep& step) {
  const SourceScope part = e.part(plan::Part::kWeights);
  const Float unit = e.real(unit_of(b.key.types.kv));
  const Index tile = e.index(b.key.tiling.kv_tile);
  const Bool is_whole = e.equal(e.sub(step.last, step.first), tile);
  const auto fill = [&](std::size_t offset, const RealRows& table) {
    const RowScales scales = load_scales(e, step.run, offset);
    e.if_else(
        "scales", e.logical_and(is_whole, e.equal(scales.by_row, e.index(1))),
        [&] {
          for (int column = 0; column < b.key.tiling.kv_tile; column += e.lanes()) {
            const Float loaded = e.load_vector(e.at(scales.at(step.first), e.index(column)));
            e.store(e.mul(loaded, unit).value, table.at(e.index(0), e.index(column)), vector_bytes(e));
          }
        },
        [&] {
          e.for_range("scales.each", e.index(0), tile, e.index(1), [&](Index column) {
            const Index key = e.widen(b.k_rows.load(column));
            e.store(e.mul(scales.of(key, e.index(0)), unit).value, table.at(e.index(0), column));
          });
        });
  };
  fill(offsetof(plan::KeyRun, k_scales), b.k_scales);
  fill(offsetof(plan::KeyRun, v_scales), b.v_scales);
}

}  // namespace flexjit::codegen
