// Rows of a tensor of any float dtype <-> fp64.
#pragma once

#include <cstdint>
#include <span>

#include "flexjit/tensor.h"

namespace flexjit::support {

// values = the elements from data[offset] on; exact. `dtype` is f32, f64, f16 or bf16; `offset` in elements.
void read_elements(DType dtype, const void* data, std::int64_t offset, std::span<double> values);

// Each value is rounded once, to nearest, ties to even; too large gives infinity.
void write_elements(DType dtype, void* data, std::int64_t offset, std::span<const double> values);

}  // namespace flexjit::support
