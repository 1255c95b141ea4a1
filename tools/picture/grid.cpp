// Cell i of n covers the blocks [i * blocks / n, (i + 1) * blocks / n), so that cells differ by one block at most and cover the
// mask exactly, whatever its size. A row of blocks comes as runs, whose number does not grow with a causal mask's area.
#include "picture/grid.h"

#include <algorithm>

namespace flexjit::tools {
namespace {

// Blocks of one side onto cells.
class Side {
 public:
  Side(std::int32_t blocks, std::int32_t max_side) : blocks_(blocks), cells_(std::min(blocks, max_side)) {}

  std::int32_t cells() const { return cells_; }
  std::int32_t begin(std::int32_t cell) const { return static_cast<std::int32_t>(std::int64_t{cell} * blocks_ / cells_); }
  std::int32_t size(std::int32_t cell) const { return begin(cell + 1) - begin(cell); }
  std::int32_t cell_of(std::int32_t block) const {
    return static_cast<std::int32_t>(((std::int64_t{block} + 1) * cells_ - 1) / blocks_);
  }

 private:
  std::int32_t blocks_, cells_;
};

void add_run(const BlockRun& run, const Side& columns, Cell* row) {
  for (std::int32_t begin = run.kv_begin; begin < run.kv_end;) {
    const std::int32_t cell = columns.cell_of(begin);
    const std::int32_t end = std::min(run.kv_end, columns.begin(cell + 1));
    (run.kind == BlockKind::kFull ? row[cell].full : row[cell].partial) += end - begin;
    begin = end;
  }
}

}  // namespace

BlockPosition plane_of(const BlockMaskShape& shape, std::int32_t b, std::int32_t h) {
  return {.b = shape.batch == 1 ? 0 : b, .h = shape.heads == 1 ? 0 : h};
}

Grid make_grid(const GridRequest& request) {
  const BlockMaskShape& shape = request.mask.shape();
  const Side rows(shape.q_blocks(), request.max_side), columns(shape.kv_blocks(), request.max_side);
  Grid grid;
  if (rows.cells() == 0 || columns.cells() == 0) return grid;
  grid.rows = rows.cells();
  grid.columns = columns.cells();
  for (std::int32_t row = 0; row < grid.rows; ++row)
    for (std::int32_t column = 0; column < grid.columns; ++column)
      grid.cells.push_back({.blocks = std::int64_t{rows.size(row)} * columns.size(column)});
  const auto row_cells = [&](std::int32_t q_block) {
    return &grid.cells[std::size_t(rows.cell_of(q_block)) * std::size_t(grid.columns)];
  };

  std::vector<BlockRun> runs;
  for (std::int32_t q_block = 0; q_block < shape.q_blocks(); ++q_block) {
    request.mask.row_runs(request.plane.b, request.plane.h, q_block, runs);
    for (const BlockRun& run : runs) add_run(run, columns, row_cells(q_block));
  }
  for (const BlockPosition& block : request.evaluated)
    if (block.b == request.plane.b && block.h == request.plane.h)
      ++row_cells(block.q_block)[columns.cell_of(block.kv_block)].evaluated;
  for (const Cell& cell : grid.cells) {
    grid.counts.full += cell.full;
    grid.counts.partial += cell.partial;
    grid.counts.empty += cell.empty();
  }
  return grid;
}

}  // namespace flexjit::tools
