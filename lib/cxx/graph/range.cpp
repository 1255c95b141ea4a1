// In 128 bits, where nothing wraps.
#include "cxx/graph/range.h"

#include <algorithm>
#include <initializer_list>

namespace flexjit::cxx {
namespace {

using Wide = __int128;

Range fitted(Wide lo, Wide hi, Range all) {
  if (lo < all.lo || hi > all.hi) return all;
  return {static_cast<std::int64_t>(lo), static_cast<std::int64_t>(hi)};
}

Range around(std::initializer_list<Wide> values, Range all) { return fitted(std::min(values), std::max(values), all); }

Wide wide_quotient(Wide a, Wide b) { return a / b - (a % b != 0 && (a < 0) != (b < 0) ? 1 : 0); }

}  // namespace

Range range_of(int bits, bool is_signed) {
  if (bits == 64) return kAnyLong;
  const std::int64_t count = std::int64_t{1} << bits;
  return is_signed ? Range{-count / 2, count / 2 - 1} : Range{0, count - 1};
}

Range sum(Range a, Range b, Range all) { return fitted(Wide{a.lo} + b.lo, Wide{a.hi} + b.hi, all); }

Range difference(Range a, Range b, Range all) { return fitted(Wide{a.lo} - b.hi, Wide{a.hi} - b.lo, all); }

Range product(Range a, Range b, Range all) {
  return around({Wide{a.lo} * b.lo, Wide{a.lo} * b.hi, Wide{a.hi} * b.lo, Wide{a.hi} * b.hi}, all);
}

Range quotient(Range a, Range b, Range all) {
  if (b.lo <= 0 && b.hi >= 0) return all;
  return around({wide_quotient(a.lo, b.lo), wide_quotient(a.lo, b.hi), wide_quotient(a.hi, b.lo), wide_quotient(a.hi, b.hi)},
                all);
}

Range remainder(Range a, Range b, Range all) {
  if (b.lo < 0) return all;
  return {0, a.lo >= 0 ? std::min(a.hi, std::max<std::int64_t>(b.hi - 1, 0)) : std::max<std::int64_t>(b.hi - 1, 0)};
}

Range both(Range a, Range b) { return {std::min(a.lo, b.lo), std::max(a.hi, b.hi)}; }

Range common(Range a, Range b) {
  const Range range{std::max(a.lo, b.lo), std::min(a.hi, b.hi)};
  return range.lo <= range.hi ? range : a;
}

}  // namespace flexjit::cxx
