// The tensors of a call as fp32: where they lie if they are, else as a copy.
#pragma once

#include <cstdint>
#include <vector>

#include "flexjit/tensor.h"
#include "variants/product.h"

namespace flexjit::variants {

// Of a tensor (batch, heads, length, dim) of f32, bf16 or f16 whose innermost stride is 1, or has no data.
class Floats {
 public:
  explicit Floats(const TensorView& view);
  Floats(const Floats&) = delete;
  Floats& operator=(const Floats&) = delete;

  // (length, dim)
  Matrix of(std::int64_t b, std::int64_t h) const { return {data_ + b * strides_[0] + h * strides_[1], strides_[2], 1}; }

 private:
  std::vector<float> copy_;
  const float* data_;
  std::array<std::int64_t, 4> strides_;
};

// Dense rows of fp32 into rows of a tensor, each element rounded once. `rows` may be fewer than the tensor has.
void write_floats(const float* values, const MutableTensorView& view, std::int64_t b, std::int64_t h, std::int64_t rows);

}  // namespace flexjit::variants
