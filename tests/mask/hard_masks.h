// Masks that are costly to derive, as texts with their tables and as predicates on plain ints: video attention over frames,
// chosen blocks, packed positions, windows in space, stripes, lists of ranges and matrices of rules.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "ir/evaluate/environment.h"
#include "ir/program/program.h"
#include "support/brute_force.h"

namespace flexjit::test {

struct HardMask {
  std::string name, text;
  test::Allowed allowed;
  bool by_batch = false;
  std::vector<std::shared_ptr<std::vector<std::int32_t>>> memory;  // what `buffers` view
  std::vector<std::shared_ptr<std::vector<std::int64_t>>> wide_memory;
  std::vector<TensorView> buffers;
  std::vector<Scalar> params;
  ir::Program program;  // of the text, simplified and with its reads proved as for a kernel

  // Valid while the mask lives and is not moved.
  ir::Environment environment(const BlockMaskShape& shape) const;
};

HardMask radial(int tokens, int least);  // tokens a frame, least width of a band
// NSA: lists of `count` blocks a query, near and far ones, of ints or longs.
HardMask chosen_blocks(int length, int block, int count, DType dtype = DType::kI32);
HardMask position_reset(int length, int mean);            // packed sequences of about `mean` positions
HardMask unguarded_position_reset(int length, int mean);  // with the keys behind a query as well
HardMask position_reset_by_batch(int length, int batch);
HardMask window_3d(int frames, int rows, int columns);  // 3 x 5 x 5, inside at the borders
HardMask stripes(int window, int period, int from);     // a window, and the columns kv % period >= from
HardMask strided(int stride);
HardMask nested_digits(int inner, int outer);  // of both indices, equal
HardMask range_list(int length);
HardMask rule_matrix(int length);
HardMask global_tokens(int length);  // some rows and some columns whole, and a window

// All of them, for lengths of q and kv.
std::vector<HardMask> hard_masks(int length);

}  // namespace flexjit::test
