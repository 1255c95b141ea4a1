// What a program's `float` is: fp32, or fp64 where the tensors of its kernel are fp64. Literals, params and what is read or
// computed are rounded to it, and to nothing else.
#pragma once

#include <cstdint>

namespace flexjit::support {

enum class Precision : std::uint8_t { kFp32, kFp64 };

inline double rounded(Precision precision, double value) {
  return precision == Precision::kFp32 ? static_cast<double>(static_cast<float>(value)) : value;
}

}  // namespace flexjit::support
