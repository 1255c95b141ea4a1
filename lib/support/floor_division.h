// Division of floats towards -inf, and its remainder, as exact as a double can say it, whatever the size of the quotient: the
// meaning of `//` and `%` in the checker's constants, in the folder and in the interpreter. Both round once more where fp32 is
// asked for.
#pragma once

#include <cmath>

namespace flexjit::support {

// a - floor(a / b) * b with the exact floor, rounded once: in [0, b] for b > 0, in [b, 0] for b < 0, with the sign of b. NaN
// for b == 0 and for an infinite a.
inline double floor_modulo(double a, double b) {
  const double rest = std::fmod(std::fabs(a), std::fabs(b));
  const bool same_signs = std::signbit(a) == std::signbit(b);
  return std::copysign(same_signs || rest == 0 ? rest : std::fabs(b) - rest, b);
}

// floor(a / b) with the exact quotient where the result has at most 51 bits, else within an ulp of it; a / b for b == 0 and for
// an infinite a.
inline double floor_quotient(double a, double b) {
  const double magnitude = std::fabs(a), divisor = std::fabs(b);
  if (divisor == 0 || std::isinf(a)) return a / b;
  const double rest = std::fmod(magnitude, divisor);
  const double whole = std::nearbyint((magnitude - rest) / divisor);
  if (std::signbit(a) == std::signbit(b)) return whole;
  return rest == 0 ? -whole : -(whole + 1);
}

}  // namespace flexjit::support
