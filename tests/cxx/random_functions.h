// Random C++ functions of two positions, each an int or a float: every operator on ints of every width, conversions, branches,
// loops. Free of what C++ leaves open: shift counts are below the width, divisors are not 0, and signed arithmetic is done on
// small values or on unsigned ones.
#pragma once

#include <cstdint>
#include <string>

namespace flexjit::cxx_test {

// The body of `int NAME(int q_idx, int kv_idx)`.
std::string random_function(std::uint64_t seed);

// The same of `float NAME(int q_idx, int kv_idx)`, which reads the floats kValues[8]: arithmetic whose every operation C++
// rounds to float, comparisons, NaN and infinities, ints and floats mixed, floats cut to ints where they are in range.
std::string random_float_function(std::uint64_t seed);
extern const char* const kFloatValues;  // C++: the definition of kValues

}  // namespace flexjit::cxx_test
