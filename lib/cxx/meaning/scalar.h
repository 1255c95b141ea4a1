// C++'s arithmetic types and values of them.
#pragma once

#include <cstdint>

#include "cxx/graph/graph.h"

namespace flexjit::cxx {

struct ScalarType {
  enum class Base : std::uint8_t { kBool, kInt, kFloat, kDouble };
  Base base = Base::kInt;
  std::uint8_t bits = 32;  // of kInt: 8, 16, 32 or 64
  bool is_signed = true;   // of kInt

  bool is_int() const { return base == Base::kInt; }
  bool is_floating() const { return base == Base::kFloat || base == Base::kDouble; }
  bool operator==(const ScalarType&) const = default;
};

inline constexpr ScalarType kBoolType{ScalarType::Base::kBool, 1, false};
inline constexpr ScalarType kIntType{ScalarType::Base::kInt, 32, true};
inline constexpr ScalarType kLongType{ScalarType::Base::kInt, 64, true};
inline constexpr ScalarType kFloatType{ScalarType::Base::kFloat, 32, true};
inline constexpr ScalarType kDoubleType{ScalarType::Base::kDouble, 64, true};

// How a node's floats, which are of the pattern's precision, stand to the value that C++ has.
enum class Digits : std::uint8_t {
  kExact,    // they are it
  kRounded,  // they are it after one more rounding, to the pattern's precision
};

// Ints of fewer than 32 bits are ints in their range. Unsigned ints are the ints of their bits: those of 32 bits from 2^31 on
// are negative, those of 64 bits from 2^63 on.
struct Scalar {
  NodeId id{};
  ScalarType type{};
  Digits digits = Digits::kExact;
  bool operator==(const Scalar&) const = default;
};

}  // namespace flexjit::cxx
