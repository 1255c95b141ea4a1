// Slopes of dividends by difference quotients at the origin; constant divisors by their range.
#include "mask/derive/axis_breaks.h"

#include <algorithm>
#include <optional>

namespace flexjit::mask {

namespace {

// The ranges of all nodes at one position.
std::vector<ir::Range> values_at(ir::IntervalAnalysis& analysis, ir::Box box, std::int32_t q, std::int32_t kv) {
  box.q_lo = box.q_hi = q;
  box.kv_lo = box.kv_hi = kv;
  const std::span<const ir::Range> ranges = analysis.run(box);
  return {ranges.begin(), ranges.end()};
}

std::optional<double> difference(const ir::Range& a, const ir::Range& b) {
  if (!a.is_point() || !b.is_point()) return std::nullopt;
  return a.lo - b.lo;
}

}  // namespace

AxisBreaks::AxisBreaks(const ir::Program& program, ir::IntervalAnalysis& analysis, std::int32_t b, std::int32_t h) {
  const ir::Box plane{.b_lo = b, .b_hi = b, .h_lo = h, .h_hi = h};
  const std::vector<bool> in_mask = ir::reachable(program, program.mask());
  const auto divides = [&](std::uint32_t i) {
    const ir::Op op = program.nodes()[i].op;
    return in_mask[i] && program.nodes()[i].type == ir::Type::kInt && (op == ir::Op::kFloorDiv || op == ir::Op::kMod);
  };
  bool any = false;
  for (std::uint32_t i = 0; i < program.size(); ++i) any = any || divides(i);
  if (!any) return;
  const std::vector<ir::Range> origin = values_at(analysis, plane, 0, 0), along_q = values_at(analysis, plane, 1, 0),
                               along_kv = values_at(analysis, plane, 0, 1);
  for (std::uint32_t i = 0; i < program.size(); ++i) {
    if (!divides(i)) continue;
    const std::uint32_t dividend = program.operand(ir::Id{i}, 0).index, divisor = program.operand(ir::Id{i}, 1).index;
    const ir::Range& by = origin[divisor];
    if (!by.is_point() || by.lo < 2 || by != along_q[divisor] || by != along_kv[divisor]) continue;
    const auto in_q = difference(along_q[dividend], origin[dividend]), in_kv = difference(along_kv[dividend], origin[dividend]);
    const Period period{static_cast<std::int64_t>(by.lo), static_cast<std::int64_t>(origin[dividend].lo)};
    if (in_q == 1.0 && in_kv == 0.0) q_.push_back(period);
    if (in_q == 0.0 && in_kv == 1.0) kv_.push_back(period);
  }
  for (std::vector<Period>* periods : {&q_, &kv_}) std::ranges::sort(*periods, std::greater{}, &Period::divisor);
}

std::int32_t AxisBreaks::split(const std::vector<Period>& periods, std::int32_t lo, std::int32_t hi) {
  const std::int64_t middle = (std::int64_t{lo} + hi + 1) / 2;
  for (const Period& period : periods) {
    const std::int64_t rest = ((middle + period.offset) % period.divisor + period.divisor) % period.divisor;
    const std::int64_t below = middle - rest, above = below + period.divisor;
    const bool has_below = below > lo, has_above = above <= hi;
    if (!has_below && !has_above) continue;
    const bool nearer_below = has_below && (!has_above || middle - below <= above - middle);
    return static_cast<std::int32_t>(nearer_below ? below : above);
  }
  return static_cast<std::int32_t>(middle);
}

}  // namespace flexjit::mask
