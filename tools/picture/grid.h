// One plane of a block mask -> at most max_side x max_side cells, each of which knows what the blocks below it are: what every
// picture of a mask is drawn from.
#pragma once

#include <cstdint>
#include <vector>

#include "flexjit/block_mask.h"

namespace flexjit::tools {

struct Cell {
  std::int64_t blocks = 0;  // empty ones included
  std::int64_t full = 0, partial = 0;
  std::int64_t evaluated = 0;  // blocks of any kind of which elements were evaluated

  std::int64_t empty() const { return blocks - full - partial; }
  // Worth hatching: elsewhere the few blocks that were evaluated show as the cell's mixed colour.
  bool often_evaluated() const { return evaluated * 4 >= blocks; }
};

struct Grid {
  std::int32_t rows = 0, columns = 0;  // 0 where there is no block
  std::vector<Cell> cells;             // row by row
  BlockCounts counts;                  // of the plane

  const Cell& at(std::int32_t row, std::int32_t column) const {
    return cells[static_cast<std::size_t>(row) * static_cast<std::size_t>(columns) + static_cast<std::size_t>(column)];
  }
};

struct GridRequest {
  const BlockMask& mask;
  const std::vector<BlockPosition>& evaluated;  // of all planes
  BlockPosition plane;
  std::int32_t max_side = 256;
};

Grid make_grid(const GridRequest& request);

// The plane of the mask that stands for batch entry b and head h.
BlockPosition plane_of(const BlockMaskShape& shape, std::int32_t b, std::int32_t h);

}  // namespace flexjit::tools
