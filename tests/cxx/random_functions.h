// Random C++ functions of two positions, each an int: every operator on ints of every width, conversions, branches, loops. Free
// of what C++ leaves open: shift counts are below the width, divisors are not 0, and signed arithmetic is done on small values
// or on unsigned ones.
#pragma once

#include <cstdint>
#include <string>

namespace flexjit::cxx_test {

// The body of `int NAME(int q_idx, int kv_idx)`.
std::string random_function(std::uint64_t seed);

}  // namespace flexjit::cxx_test
