// The gradient of a captured buffer, as the caller has it -> how its sums lie while they are added up: dense, over the elements
// that the gradient has; what is repeated over a dimension has stride 0 there.
#pragma once

#include <array>
#include <cstdint>
#include <functional>

#include "flexjit/tensor.h"

namespace flexjit::engine {

struct DenseSums {
  explicit DenseSums(const MutableTensorView& gradient);

  // Whether the gradient's own memory lies like this.
  bool lies_in(const MutableTensorView& gradient) const;
  // Each element rounded once, in the order of the sums.
  void write(const MutableTensorView& gradient, const std::function<double(std::int64_t)>& sum) const;

  int rank = 0;
  std::int64_t count = 1;
  std::array<std::int64_t, kMaxRank> extents{}, strides{};
};

}  // namespace flexjit::engine
