// A row of a block mask -> the key columns that a tile of queries visits, cut at the kernel's panels. The blocks of the mask
// and the tiles of the kernel are independent; this is where they meet.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "flexjit/block_mask.h"
#include "plan/kernel_abi.h"
#include "runtime/sequences.h"

namespace flexjit::runtime {

// Query rows [q_begin, q_begin + q_count) of one plane; at least one row, all in one row of mask blocks.
struct TileRows {
  std::int32_t b = 0;
  std::int32_t h = 0;
  std::int32_t q_begin = 0;
  std::int32_t q_count = 0;
};

// Appends spans as kernel_abi.h describes them, maximal: two that touch differ in kind. Exactly the columns of the blocks
// that are not empty are in them. Keeps no memory of its own.
class SpanMaker {
 public:
  // For the tiles to come. `mask` null: every pair is allowed. It must outlive them, as `holes`, ascending: keys that nobody
  // visits.
  void start(const BlockMask* mask, std::int32_t kv_len, std::int32_t panel, std::span<const KeyRange> holes = {});
  void append(const TileRows& rows, std::vector<plan::SpanArg>& spans);

 private:
  void append_run(std::int64_t begin, std::int64_t end, bool all_allowed);
  void append_part(std::int64_t begin, std::int64_t end, bool all_allowed);
  void append_span(std::int64_t begin, std::int64_t end, plan::SpanKind kind);

  const BlockMask* mask_ = nullptr;
  std::int32_t kv_len_ = 0;
  std::int32_t panel_ = 1;
  std::span<const KeyRange> holes_;
  std::vector<plan::SpanArg>* spans_ = nullptr;  // of the tile in progress
  std::size_t first_span_ = 0;
};

// The columns of `a` or `b`, both lists of spans of one row of blocks: masked unless all allowed in both. Replaces `united`.
void unite_spans(std::span<const plan::SpanArg> a, std::span<const plan::SpanArg> b, std::vector<plan::SpanArg>& united);

// Score columns that `spans` visit.
std::int64_t columns_of(std::span<const plan::SpanArg> spans);

}  // namespace flexjit::runtime
