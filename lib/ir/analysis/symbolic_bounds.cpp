// One forward loop over the int nodes. Sums and multiples keep forms symbolic; the operations that are not linear keep those
// forms that are known to survive them (x // c <= x for x >= 0, x % n <= n - 1, min(x, y) <= both) and else fall back to
// numbers.
#include "ir/analysis/symbolic_bounds.h"

#include <algorithm>
#include <limits>

#include "ir/evaluate/arithmetic.h"

namespace flexjit::ir {
namespace {

constexpr std::size_t kMaxForms = 4;

SymbolicBounds between(std::int64_t lo, std::int64_t hi) { return {{Linear::constant(lo)}, {Linear::constant(hi)}}; }
SymbolicBounds any_int() { return between(kInt32Min, kInt32Max); }

std::vector<Linear> concat(std::vector<Linear> a, const std::vector<Linear>& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

std::vector<Linear> shifted(const std::vector<Linear>& forms, std::int64_t by) {
  std::vector<Linear> result;
  for (const Linear& form : forms) {
    if (auto moved = form.plus(Linear::constant(by), 1)) result.push_back(*std::move(moved));
  }
  return result;
}

SymbolicBounds captured(DType dtype) {
  if (dtype == DType::kU8) return between(0, 255);
  if (dtype == DType::kI8) return between(-128, 127);
  return any_int();
}

}  // namespace

SymbolicAnalysis::SymbolicAnalysis(const Program& program, const Interface& interface)
    : program_(program), nonnegative_params_(program.params().size()), bounds_(program.size()) {
  for (const BufferInterface& buffer : interface.buffers) {
    for (const Extent& extent : buffer.extents) {
      if (extent.kind == Extent::Kind::kParam) nonnegative_params_[extent.param] = true;
    }
  }
  for (std::uint32_t i = 0; i < program.size(); ++i) {
    if (program.node(Id{i}).type != Type::kInt) continue;
    const SymbolicBounds found = eval(Id{i});
    bounds_[i].lower = strongest_lower(concat({Linear::constant(kInt32Min)}, found.lower));
    bounds_[i].upper = strongest_upper(concat({Linear::constant(kInt32Max)}, found.upper));
  }
}

bool SymbolicAnalysis::proves_inside(Id id, const Extent& extent) const {
  const SymbolicBounds& bounds = bounds_[id.index];
  if (extent.kind == Extent::Kind::kAny || least(bounds) < 0) return false;
  const Linear size = extent.kind == Extent::Kind::kLiteral   ? Linear::constant(extent.literal)
                      : extent.kind == Extent::Kind::kBuiltin ? Linear::symbol(extent.builtin, 0)
                                                              : Linear::symbol(Op::kParam, extent.param);
  const auto last = size.plus(Linear::constant(1), -1);
  return last && std::ranges::any_of(bounds.upper, [&](const Linear& form) { return at_most(form, *last); });
}

SymbolicBounds SymbolicAnalysis::eval(Id id) const {
  const Node& node = program_.node(id);
  const TypeRule rule = type_rule(node.op);
  if (rule == TypeRule::kConst) return between(program_.const_int(id), program_.const_int(id));
  if (rule == TypeRule::kVariable) return {{Linear::symbol(node.op, node.payload)}, {Linear::symbol(node.op, node.payload)}};
  if (node.op == Op::kRead) return captured(program_.buffers()[program_.read(id).buffer].dtype);
  if (node.op == Op::kBoolToInt) return between(0, 1);
  if (node.op == Op::kFloatToInt || node.op == Op::kLongToInt) return any_int();
  const auto operands = program_.operands(id);
  const SymbolicBounds& last = bounds_[operands.back().index];
  return eval_operation(node, bounds_[operands[operands.size() == 3 ? 1 : 0].index], last);
}

// For a choice `a` and `b` are its arms.
SymbolicBounds SymbolicAnalysis::eval_operation(const Node& node, const SymbolicBounds& a, const SymbolicBounds& b) const {
  if (node.op == Op::kAdd) return without_wrap(sum(a, b));
  if (node.op == Op::kSub) return without_wrap(sum(a, scaled(b, -1)));
  if (node.op == Op::kNeg) return without_wrap(scaled(a, -1));
  if (node.op == Op::kMul) return without_wrap(eval_product(a, b));
  if (node.op == Op::kMin) return {below_both(a.lower, b.lower), concat(a.upper, b.upper)};
  if (node.op == Op::kMax) return {concat(a.lower, b.lower), above_both(a.upper, b.upper)};
  if (node.op == Op::kSelect) return {below_both(a.lower, b.lower), above_both(a.upper, b.upper)};
  if (node.op == Op::kFloorDiv) return eval_quotient(a, b);
  if (node.op == Op::kMod) return eval_modulo(a, b);
  if (node.op == Op::kAbs) return eval_absolute(a);
  if (node.op == Op::kAnd) return eval_mask(a, b);
  const bool known_count = node.op == Op::kShr && least(b) == greatest(b) && least(b) >= 0 && least(b) < 31;
  if (known_count) return eval_quotient(a, between(std::int64_t{1} << least(b), std::int64_t{1} << least(b)));
  return any_int();
}

SymbolicBounds SymbolicAnalysis::without_wrap(SymbolicBounds bounds) const {
  if (bounds.lower.empty() || bounds.upper.empty()) return any_int();
  return least(bounds) < kInt32Min || greatest(bounds) > kInt32Max ? any_int() : bounds;
}

SymbolicBounds SymbolicAnalysis::scaled(const SymbolicBounds& a, std::int64_t factor) const {
  SymbolicBounds result;
  auto scale = [&](const std::vector<Linear>& from, std::vector<Linear>& to) {
    for (const Linear& form : from) {
      if (auto product = form.times(factor)) to.push_back(*std::move(product));
    }
  };
  scale(a.lower, factor >= 0 ? result.lower : result.upper);
  scale(a.upper, factor >= 0 ? result.upper : result.lower);
  return result;
}

SymbolicBounds SymbolicAnalysis::sum(const SymbolicBounds& a, const SymbolicBounds& b) const {
  SymbolicBounds result;
  auto add = [](const std::vector<Linear>& xs, const std::vector<Linear>& ys, std::vector<Linear>& to) {
    for (const Linear& x : xs) {
      for (const Linear& y : ys) {
        if (auto total = x.plus(y, 1)) to.push_back(*std::move(total));
      }
    }
  };
  add(a.lower, b.lower, result.lower);
  add(a.upper, b.upper, result.upper);
  return result;
}

SymbolicBounds SymbolicAnalysis::eval_product(const SymbolicBounds& a, const SymbolicBounds& b) const {
  if (least(b) == greatest(b)) return scaled(a, least(b));
  if (least(a) == greatest(a)) return scaled(b, least(a));
  const auto [lo, hi] =
      std::minmax({least(a) * least(b), least(a) * greatest(b), greatest(a) * least(b), greatest(a) * greatest(b)});
  return between(lo, hi);
}

SymbolicBounds SymbolicAnalysis::eval_quotient(const SymbolicBounds& a, const SymbolicBounds& b) const {
  if (least(b) < 1) return any_int();
  if (least(a) < 0) return between(least(a), std::max<std::int64_t>(greatest(a), 0));
  return {{Linear::constant(least(a) / greatest(b))}, concat(a.upper, {Linear::constant(greatest(a) / least(b))})};
}

SymbolicBounds SymbolicAnalysis::eval_modulo(const SymbolicBounds& a, const SymbolicBounds& b) const {
  if (least(b) >= 1) {
    const std::vector<Linear> below_divisor = shifted(b.upper, -1);
    return {{Linear::constant(0)}, least(a) >= 0 ? concat(below_divisor, a.upper) : below_divisor};
  }
  if (greatest(b) <= -1) return {shifted(b.lower, 1), {Linear::constant(0)}};
  return any_int();
}

SymbolicBounds SymbolicAnalysis::eval_absolute(const SymbolicBounds& a) const {
  if (least(a) >= 0) return a;
  if (least(a) <= kInt32Min) return any_int();
  return {{Linear::constant(0)}, above_both(a.upper, scaled(a, -1).upper)};
}

// x & y is at most each of the two that is not negative.
SymbolicBounds SymbolicAnalysis::eval_mask(const SymbolicBounds& a, const SymbolicBounds& b) const {
  if (least(a) < 0 && least(b) < 0) return any_int();
  std::vector<Linear> upper = least(a) >= 0 ? a.upper : std::vector<Linear>();
  if (least(b) >= 0) upper = concat(std::move(upper), b.upper);
  return {{Linear::constant(0)}, upper};
}

std::vector<Linear> SymbolicAnalysis::below_both(const std::vector<Linear>& a, const std::vector<Linear>& b) const {
  std::vector<Linear> result;
  auto keep = [&](const std::vector<Linear>& from, const std::vector<Linear>& other) {
    for (const Linear& x : from) {
      if (std::ranges::any_of(other, [&](const Linear& y) { return at_most(x, y); })) result.push_back(x);
    }
  };
  keep(a, b);
  keep(b, a);
  result.push_back(Linear::constant(std::min(least({a, {}}), least({b, {}}))));
  return result;
}

std::vector<Linear> SymbolicAnalysis::above_both(const std::vector<Linear>& a, const std::vector<Linear>& b) const {
  std::vector<Linear> result;
  auto keep = [&](const std::vector<Linear>& from, const std::vector<Linear>& other) {
    for (const Linear& x : from) {
      if (std::ranges::any_of(other, [&](const Linear& y) { return at_most(y, x); })) result.push_back(x);
    }
  };
  keep(a, b);
  keep(b, a);
  result.push_back(Linear::constant(std::max(greatest({{}, a}), greatest({{}, b}))));
  return result;
}

std::vector<Linear> SymbolicAnalysis::strongest_lower(const std::vector<Linear>& forms) const {
  std::vector<Linear> kept;
  for (const Linear& form : forms) {
    auto implied_by = [&](const Linear& other) { return at_most(form, other); };
    if (std::ranges::any_of(kept, implied_by)) continue;
    std::erase_if(kept, [&](const Linear& other) { return at_most(other, form); });
    if (kept.size() < kMaxForms) kept.push_back(form);
  }
  return kept;
}

std::vector<Linear> SymbolicAnalysis::strongest_upper(const std::vector<Linear>& forms) const {
  std::vector<Linear> kept;
  for (const Linear& form : forms) {
    auto implied_by = [&](const Linear& other) { return at_most(other, form); };
    if (std::ranges::any_of(kept, implied_by)) continue;
    std::erase_if(kept, [&](const Linear& other) { return at_most(form, other); });
    if (kept.size() < kMaxForms) kept.push_back(form);
  }
  return kept;
}

std::int64_t SymbolicAnalysis::least(const SymbolicBounds& a) const {
  std::int64_t best = std::numeric_limits<std::int64_t>::min();
  for (const Linear& form : a.lower) best = std::max(best, form.least(nonnegative_params_));
  return best;
}

std::int64_t SymbolicAnalysis::greatest(const SymbolicBounds& a) const {
  std::int64_t best = std::numeric_limits<std::int64_t>::max();
  for (const Linear& form : a.upper) {
    if (const auto negated = form.times(-1)) best = std::min(best, -negated->least(nonnegative_params_));
  }
  return best;
}

bool SymbolicAnalysis::at_most(const Linear& a, const Linear& b) const {
  const auto difference = b.plus(a, -1);
  return difference && difference->least(nonnegative_params_) >= 0;
}

}  // namespace flexjit::ir
