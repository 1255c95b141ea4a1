// Rows of a tensor <-> fp64.
#pragma once

#include <cstdint>
#include <span>

#include "flexjit/tensor.h"

namespace flexjit::support {

// values = the elements from data[offset] on, of any dtype; exact but for large i64. `offset` in elements.
void read_elements(DType dtype, const void* data, std::int64_t offset, std::span<double> values);

// Each value is rounded once, to nearest, ties to even; too large gives infinity, of fp8 the
// largest number. `dtype` is a float.
void write_elements(DType dtype, void* data, std::int64_t offset, std::span<const double> values);

}  // namespace flexjit::support
