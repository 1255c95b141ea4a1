// One micro-tile of products of rows with packed keys or values, and which of its panels are computed. A strip in which a group
// visits few panels is computed panel by panel, so that narrow windows and the edges of documents waste little.
#include <array>

#include "codegen/parts/pair_tile.h"
#include "codegen/parts/product.h"

namespace flexjit::codegen {
namespace {

// For each set of visited panels, as a bit: whether at least three quarters of the strip are visited.
std::int64_t wide_sets(int vectors) {
  std::int64_t sets = 0;
  for (unsigned set = 0; set < 1U << static_cast<unsigned>(vectors); ++set) {
    if (4 * std::popcount(set) >= 3 * vectors) sets |= std::int64_t{1} << set;
  }
  return sets;
}

}  // namespace

Bool is_wide(Emitter& e, PairTile& t, const MicroTile& micro) {
  const std::int64_t sets = wide_sets(t.key.tiling.micro_vectors);
  return e.equal(e.bit_and(e.lshr(e.index(sets), micro.visited), e.index(1)), e.index(1));
}

void for_visited_panels(Emitter& e, PairTile& t, const MicroTile& micro, std::array<const char*, 2> names,
                        llvm::function_ref<void(const MicroTile&)> body) {
  e.for_range(names[0], e.index(0), e.index(t.key.tiling.micro_vectors), e.index(1), [&](Index panel) {
    const Index bit = e.bit_and(e.lshr(micro.visited, panel), e.index(1));
    e.if_then(names[1], e.equal(bit, e.index(1)), [&] {
      MicroTile from = micro;
      from.column = e.add(micro.column, e.mul(panel, e.index(e.lanes())));
      body(from);
    });
  });
}

//            vectors panels
//          +----+----+----+----+
//   row 0  |    |    |    |    |     acc[r][j] += rows[r][d] * panel[j][d]
//   row 1  |    |    |    |    |     for (d = 0; d < depth; ++d)
//   ...    +----+----+----+----+
// A panel holds `depth` vectors; the panel of column kv begins at cell kv * depth.
Values emit_panel_product(Emitter& e, PairTile& t, const KeyTile& keys, const MicroTile& micro, const PanelProduct& of) {
  const int rows = t.key.tiling.micro_rows;
  const Ptr panels = at_cell(e, of.panels, e.mul(e.add(keys.kv, micro.column), e.index(of.depth)));
  const auto load = [&](Ptr panel, Index) {
    CellVectors k;
    for (int j = 0; j < of.vectors; ++j) {
      k.push_back(load_cells(e, at_cell(e, panel, e.index(std::int64_t{j} * e.lanes() * of.depth)), vector_bytes(e)));
    }
    return k;
  };
  const Product product{.name = of.name,
                        .begin = e.index(0),
                        .end = e.index(of.depth),
                        .rows = rows,
                        .factors = of.rows,
                        .factor_stride = of.row_cells,
                        .vectors = panels};
  const Values zeros(static_cast<std::size_t>(rows * of.vectors), e.broadcast(e.real(0.0)).value);
  return emit_product(e, product, zeros, load, [&](Ptr panel) { return at_cell(e, panel, e.index(e.lanes())); });
}

}  // namespace flexjit::codegen
