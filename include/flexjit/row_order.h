// Rows in another order than that in which they lie: tokens that see each other stand together, so that blocks are full or
// empty.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "flexjit/attention.h"
#include "flexjit/backward.h"
#include "flexjit/export.h"
#include "flexjit/result.h"
#include "flexjit/spec.h"
#include "flexjit/variants.h"

namespace flexjit {

// Orders of an image of height x width tokens in raster order: the position of each row, each once. Window by window as they
// lie in the rolled image, and there row by row; what pads is left out.
FLEXJIT_API Result<std::vector<std::int32_t>> window_order(const SwinOptions& image);

struct ImageSize {
  std::int32_t height = 1, width = 1;
};
// Tile by tile; those at the ends may be smaller.
FLEXJIT_API Result<std::vector<std::int32_t>> tile_order(const ImageSize& image, const ImageSize& tile);
// Along Morton's curve, the bits of row and column by turns.
FLEXJIT_API Result<std::vector<std::int32_t>> morton_order(const ImageSize& image);

// The same pattern for rows that are in an order: q_idx and kv_idx are what they were, read from the buffer row_order, i32
// (q_len), which run_in_order() binds. Of texts alone, since flags mean rows as they lie. Errors: `bad-option` for a spec with
// causal, window, alibi or masks as flags, or linear weights; a text that has the names q_idx, q, kv_idx or kv for something
// else does not compile.
FLEXJIT_API Result<AttentionSpec> in_order(const AttentionSpec& spec);

// run() of such a pattern: q, k and v are read in `order`, out, lse and max_scores written where they belong. q_len and
// kv_len are the length of the order. Buffers, and the derivation of block masks, are as the text says; a given block mask is
// of the order's rows. The result is that of the pattern without an order, up to rounding. Errors: those of run(); `bad-option`
// for an order that does not have each position once, sequences, plans or rotary.
FLEXJIT_API Result<RunStats> run_in_order(const Attention& attention, std::span<const std::int32_t> order, const RunArgs& args);
// run_backward() of such a call, on copies in the order; gradients, too, are given and written where they belong.
FLEXJIT_API Result<RunStats> run_backward_in_order(const Attention& attention, std::span<const std::int32_t> order,
                                                   const RunArgs& forward, const Gradients& gradients);

}  // namespace flexjit
