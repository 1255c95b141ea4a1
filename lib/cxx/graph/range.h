// Ranges of ints: what is known of a value from where it came, so that C++'s operations can be said in the forms that a person
// would have written in the language, `q_idx // 128` where `q_idx / 128` cannot be negative.
#pragma once

#include <cstdint>

namespace flexjit::cxx {

// lo <= value <= hi, of an int or an int64; bools and floats have none.
struct Range {
  std::int64_t lo = 0;
  std::int64_t hi = 0;

  bool is_inside(Range outer) const { return lo >= outer.lo && hi <= outer.hi; }
  bool operator==(const Range&) const = default;
};

// All that a width of 8, 16, 32 or 64 bits holds; unsigned ones of 64 bits end where signed ones do.
Range range_of(int bits, bool is_signed);
inline constexpr Range kAnyInt{INT32_MIN, INT32_MAX};
inline constexpr Range kAnyLong{INT64_MIN, INT64_MAX};

// Of the exact results; where one of them does not fit into `all`, which wraps, all of it.
Range sum(Range a, Range b, Range all);
Range difference(Range a, Range b, Range all);
Range product(Range a, Range b, Range all);
// Of floor division and modulo by a divisor that is not 0 (which gives 0).
Range quotient(Range a, Range b, Range all);
Range remainder(Range a, Range b, Range all);

Range both(Range a, Range b);    // the values of either
Range common(Range a, Range b);  // the values in both; `a` where there is none

}  // namespace flexjit::cxx
