// What both oracles compute with: long double, or the roundings that results of a low precision would have at best.
#pragma once

#include <limits>
#include <optional>

#include "support/encodings.h"
#include "support/oracle.h"

namespace flexjit::test {

inline constexpr Real kMasked = -std::numeric_limits<Real>::infinity();

// Arithmetic that rounds results to `low` and sums to fp32, or does neither.
struct Arithmetic {
  std::optional<DType> low;
  Real result(Real value) const { return low ? nearest(*low, static_cast<double>(value)) : value; }
  Real sum(Real value) const { return low ? nearest(DType::kF32, static_cast<double>(value)) : value; }
};

}  // namespace flexjit::test
