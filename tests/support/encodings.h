// Elements of the float dtypes, and of i8, into numbers and back, sharing no code with the library: they are decoded by their
// definition and encoded by a search among all of them.
#pragma once

#include <span>
#include <vector>

#include "flexjit/tensor.h"

namespace flexjit::test {

double read_element(DType dtype, const unsigned char* at);
void write_element(DType dtype, unsigned char* at, double value);  // the nearest, ties to even

// The element nearest to `value`; itself for f64.
double nearest(DType dtype, double value);
std::vector<unsigned char> encode(DType dtype, std::span<const double> values);

}  // namespace flexjit::test
