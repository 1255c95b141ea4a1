// Where a kernel keeps what in its per-thread scratch: shared by the planner, which sums it, and codegen, which addresses it.
#pragma once

#include <cstdint>

#include "plan/kernel_key.h"

namespace flexjit::plan {

inline constexpr std::int64_t kCacheLine = 64;  // bytes

// Of one group of micro_rows rows in one key tile, as 64-bit integers.
struct Visit {
  std::int64_t visited;       // a bit for each panel that has an allowed pair
  std::int64_t whole;         // a bit for each panel that has no other
  std::int64_t begin, end;    // the columns of the visited panels
  std::int64_t first, after;  // the columns that any row allows
};

// Sections of a scratch one after the other, each at a multiple of 64 bytes.
class Sections {
 public:
  std::int64_t place(std::int64_t bytes) {
    const std::int64_t at = end_;
    end_ += (bytes + kLine - 1) / kLine * kLine;
    return at;
  }
  std::int64_t end() const { return end_; }

 private:
  static constexpr std::int64_t kLine = 64;
  std::int64_t end_ = 0;
};

// Of a tile of rows and keys, what its program keeps of them and which pairs it visits. Byte offsets; table entries have 4
// bytes, of which some values take two; entries of ranges are pairs of values: the least, the greatest.
struct TileSections {
  std::int64_t row_values = 0;     // [values][q_tile], sub-expressions of q_idx alone
  std::int64_t column_values = 0;  // [values][kv_tile], sub-expressions of kv_idx alone
  std::int64_t diagonal_values =
      0;  // [values][diagonals], sub-expressions of kv_idx - q_idx alone; column c, row r at c - r + q_tile - 1
  std::int64_t row_ranges = 0;     // [values][groups of micro_rows], of row values
  std::int64_t column_ranges = 0;  // [values][panels], of column values
  std::int64_t visits = 0;         // [groups of micro_rows], Visit
  std::int64_t diagonals = 0;
};
// Diagonals of a tile, in whole vectors.
std::int64_t diagonals_of(const KernelKey& key);
TileSections place_tile(const KernelKey& key, Sections& sections);

// Byte offsets. Reals are fp64 in fp64 kernels, else fp32; row strides in reals.
struct ScratchLayout : TileSections {
  std::int64_t q = 0;          // [q_tile][k_depth] cells, scaled; in bf16 by a power of two alone
  std::int64_t s = 0;          // [q_tile][s_stride], scores, then weights (as cells) in their place
  std::int64_t o = 0;          // [q_tile][v_padded], unnormalised output
  std::int64_t max_lanes = 0;  // [q_tile][lanes], running maximum of each lane
  std::int64_t sum_lanes = 0;  // [q_tile][lanes], running sum of each lane
  std::int64_t row_max = 0;    // [q_tile], the maximum that o and sum_lanes are relative to
  std::int64_t base = 0;       // [q_tile], what is added to the scores of the current key tile
  std::int64_t rescale = 0;    // [q_tile], factor of o and sum_lanes in the current key tile
  std::int64_t least = 0;      // [q_tile], log2 of a weight below which a key takes no part in the careful pass
  std::int64_t unsettled = 0;  // [q_tile], int32: 0 where the output is written for good
  std::int64_t bytes = 0;
  std::int64_t s_stride = 0;
};

// Reals of a row of scores: a tile of keys and the strip that may overrun it.
std::int64_t score_stride_of(const KernelKey& key);

ScratchLayout scratch_of(const KernelKey& key);
// Cells of one query or key.
std::int32_t k_depth_of(const KernelKey& key);

}  // namespace flexjit::plan
