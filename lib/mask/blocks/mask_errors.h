// What is wrong with the shape or the bytes of a block mask, as diagnostics.
#pragma once

#include <string>

#include "flexjit/block_mask.h"

namespace flexjit::mask {

Diagnostic shape_error(std::string message);
Diagnostic bytes_error(std::string message);
// What a mask may have at most of each; beyond this the block size is a mistake. A row of blocks takes some thirty bytes, a
// column eight, whatever is in them.
inline constexpr std::int64_t kMaxBlockRows = std::int64_t{1} << 28;    // over all planes
inline constexpr std::int64_t kMaxBlocksASide = std::int64_t{1} << 26;  // of one plane

// Rows of blocks over all planes, those of the transposed mask if they are more. A plane without blocks counts as a row, so
// that loops over planes end. Saturates. Nothing of the shape may be negative, no block size 0.
std::int64_t block_rows(const BlockMaskShape& shape);

// Block sizes below 1, negative lengths or planes, more blocks than the limits. Every way to make a mask asks this first.
Diagnostics check_shape(const BlockMaskShape& shape);

}  // namespace flexjit::mask
