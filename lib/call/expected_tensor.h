// One tensor of a call against what it must be: its rank, its element type, the extents that other tensors have.
#pragma once

#include <cstdint>
#include <vector>

#include "call/validate.h"

namespace flexjit::engine {

struct Dimension {
  const char* name;
  std::int64_t extent;
  const char* owner;
};

struct Expected {
  const char* name;
  DType dtype;
  const char* layout;
  std::vector<Dimension> dimensions;
};

bool usable_extents(const TensorView& view);
// False where the rank is wrong, so that nothing can be said of dimensions.
bool check_rank(const Expected& expected, const TensorView& view, Report& report);
// Of the rank that is expected.
void check_tensor(const Expected& expected, const TensorView& view, Report& report);
void check_inner_stride(const char* name, const TensorView& view, Report& report);
// check_tensor of one that is written.
void check_output(const Expected& expected, const TensorView& view, Report& report);

}  // namespace flexjit::engine
