// One exhaustive switch gives every operation its meaning on ints and on floats. Floats are computed in fp64 and stored through
// the rounding asked for.
#include "ir/evaluate/lanes.h"

#include <cmath>
#include <type_traits>

#include "ir/evaluate/arithmetic.h"
#include "support/check.h"
#include "support/floor_division.h"
#include "support/philox.h"

namespace flexjit::ir {
namespace {

template <typename Round>
class Evaluator {
 public:
  Evaluator(const LaneOperation& operation, Lanes& out, int count)
      : operation_(operation), operands_(operation.operands), out_(out), count_(count) {}

  // One line an operation, so that the table can be read against ops.def; splitting it would hide the order.
  void run() const {
    switch (operation_.op) {
      case Op::kNeg: return numeric(wrap_neg, [](double a) { return -a; });
      case Op::kAdd: return numeric(wrap_add, [](double a, double b) { return a + b; });
      case Op::kSub: return numeric(wrap_sub, [](double a, double b) { return a - b; });
      case Op::kMul: return numeric(wrap_mul, [](double a, double b) { return a * b; });
      case Op::kDiv: return floats([](double a, double b) { return a / b; });
      case Op::kFloorDiv: return numeric(floor_div, support::floor_quotient);
      case Op::kMod: return numeric(floor_mod, support::floor_modulo);
      case Op::kMin: return numeric([](auto a, auto b) { return a < b ? a : b; });
      case Op::kMax: return numeric([](auto a, auto b) { return a > b ? a : b; });
      case Op::kClamp: return clamp();
      case Op::kAbs: return numeric(wrap_abs, [](double a) { return std::fabs(a); });
      case Op::kAnd: return ints([](auto a, auto b) { return a & b; });
      case Op::kOr: return ints([](auto a, auto b) { return a | b; });
      case Op::kXor: return ints([](auto a, auto b) { return a ^ b; });
      case Op::kNot:
        return operation_.operand_type == Type::kBool ? ints([](auto a) { return a ^ 1; }) : ints([](auto a) { return ~a; });
      case Op::kShl: return ints(shift_left);
      case Op::kShr: return ints(shift_right);
      case Op::kEq: return compare([](auto a, auto b) { return a == b; });
      case Op::kNe: return compare([](auto a, auto b) { return a != b; });
      case Op::kLt: return compare([](auto a, auto b) { return a < b; });
      case Op::kLe: return compare([](auto a, auto b) { return a <= b; });
      case Op::kGt: return compare([](auto a, auto b) { return a > b; });
      case Op::kGe: return compare([](auto a, auto b) { return a >= b; });
      case Op::kSelect: return select();
      case Op::kIntToFloat:
        return operation_.operand_type == Type::kLong ? longs_to_floats() : over(&Lanes::i, &Lanes::f, Round());
      case Op::kFloatToInt: return over(&Lanes::f, &Lanes::i, float_to_int);
      case Op::kBoolToInt: return over(&Lanes::i, &Lanes::i, [](int a) { return a; });
      case Op::kIntToLong: return over(&Lanes::i, &Lanes::l, [](int a) { return std::int64_t{a}; });
      case Op::kLongToInt: return over(&Lanes::l, &Lanes::i, long_to_int);
      case Op::kPhilox:
        return random(
            [](const support::PhiloxWords& c, const support::PhiloxWords& key) { return support::philox(c, key)[0]; });
      case Op::kPhiloxOfFour:
        return random([](const support::PhiloxWords& c, const support::PhiloxWords& key) {
          return support::philox({c[0], c[1] >> 2U, c[2], c[3]}, key)[c[1] & 3U];
        });
      case Op::kFloor: return floats([](double a) { return std::floor(a); });
      case Op::kCeil: return floats([](double a) { return std::ceil(a); });
      case Op::kRound: return floats([](double a) { return std::nearbyint(a); });
      case Op::kSqrt: return floats([](double a) { return std::sqrt(a); });
      case Op::kExp: return floats([](double a) { return std::exp(a); });
      case Op::kExp2: return floats([](double a) { return std::exp2(a); });
      case Op::kLog: return floats([](double a) { return std::log(a); });
      case Op::kLog2: return floats([](double a) { return std::log2(a); });
      case Op::kLog1p: return floats([](double a) { return std::log1p(a); });
      case Op::kTanh: return floats([](double a) { return std::tanh(a); });
      case Op::kErf: return floats([](double a) { return std::erf(a); });
      case Op::kSin: return floats([](double a) { return std::sin(a); });
      case Op::kCos: return floats([](double a) { return std::cos(a); });
      case Op::kPow: return floats([](double a, double b) { return std::pow(a, b); });
      case Op::kConst:
      case Op::kScore:
      case Op::kScoreGrad:
      case Op::kRowValue:
      case Op::kSumSq:
      case Op::kFeature:
      case Op::kBatch:
      case Op::kHead:
      case Op::kQIdx:
      case Op::kKvIdx:
      case Op::kQLen:
      case Op::kKvLen:
      case Op::kNumHeads:
      case Op::kNumKvHeads:
      case Op::kKvHead:
      case Op::kBatchSize:
      case Op::kQOffset:
      case Op::kKvOffset:
      case Op::kParam:
      case Op::kRead:
      case Op::kDot:
      case Op::kAccumulate:
      case Op::kAccumulateRow: break;
    }
    FLEXJIT_CHECK(false, std::string(mnemonic(operation_.op)) + " is not evaluated from its operands alone");
  }

 private:
  // The count is no member here: what a lane writes could change that one, so that no loop would be vectorised.
  template <typename F>
  static void each(int count, F f) {
    for (int l = 0; l < count; ++l) f(l);
  }

  // out = f(a), from and to lanes of any type.
  template <typename From, typename To, typename F>
  void over(std::vector<From> Lanes::* from, std::vector<To> Lanes::* to, F f) const {
    const From* a = (operands_[0]->*from).data();
    To* out = (out_.*to).data();
    each(count_, [=](int l) { out[l] = f(a[l]); });
  }

  // In one rounding.
  void longs_to_floats() const {
    over(&Lanes::l, &Lanes::f, [](std::int64_t a) {
      return std::is_same_v<Round, RoundToFp32> ? static_cast<double>(static_cast<float>(a)) : static_cast<double>(a);
    });
  }

  template <typename F>
  void ints(F f) const {
    if (operation_.operand_type == Type::kLong) {
      ints_of(&Lanes::l, f);
    } else {
      ints_of(&Lanes::i, f);
    }
  }
  template <typename T, typename F>
  void ints_of(std::vector<T> Lanes::* lanes, F f) const {
    const T* a = (operands_[0]->*lanes).data();
    T* out = (out_.*lanes).data();
    if constexpr (std::is_invocable_v<F, T>) {
      each(count_, [=](int l) { out[l] = f(a[l]); });
    } else {
      const T* b = (operands_[1]->*lanes).data();
      each(count_, [=](int l) { out[l] = f(a[l], b[l]); });
    }
  }

  template <typename F>
  void floats(F f) const {
    const double* a = operands_[0]->f.data();
    double* out = out_.f.data();
    if constexpr (std::is_invocable_v<F, double>) {
      each(count_, [=](int l) { out[l] = Round()(f(a[l])); });
    } else {
      const double* b = operands_[1]->f.data();
      each(count_, [=](int l) { out[l] = Round()(f(a[l], b[l])); });
    }
  }

  template <typename I, typename F>
  void numeric(I of_ints, F of_floats) const {
    if (operation_.operand_type == Type::kFloat) {
      floats(of_floats);
    } else {
      ints(of_ints);
    }
  }
  template <typename F>
  void numeric(F f) const {
    numeric([f](auto a, auto b) { return f(a, b); }, [f](double a, double b) { return f(a, b); });
  }

  template <typename F>
  void compare(F f) const {
    std::int32_t* out = out_.i.data();
    auto over = [count = count_, out, f](const auto* a, const auto* b) {
      each(count, [=](int l) { out[l] = f(a[l], b[l]) ? 1 : 0; });
    };
    if (operation_.operand_type == Type::kFloat) {
      over(operands_[0]->f.data(), operands_[1]->f.data());
    } else if (operation_.operand_type == Type::kLong) {
      over(operands_[0]->l.data(), operands_[1]->l.data());
    } else {
      over(operands_[0]->i.data(), operands_[1]->i.data());
    }
  }

  // word(counter, key) as a float in [0, 1].
  template <typename F>
  void random(F word) const {
    for (std::size_t l = 0; l < static_cast<std::size_t>(count_); ++l) {
      const auto at = [&](std::size_t i) { return static_cast<std::uint32_t>(operands_[i]->i[l]); };
      out_.f[l] = static_cast<double>(static_cast<float>(word({at(0), at(1), at(2), at(3)}, {at(4), at(5)}))) * 0x1p-32;
    }
  }

  void clamp() const {
    const double *x = operands_[0]->f.data(), *lo = operands_[1]->f.data(), *hi = operands_[2]->f.data();
    double* out = out_.f.data();
    each(count_, [=](int l) {
      const double above = x[l] > lo[l] ? x[l] : lo[l];
      out[l] = Round()(above < hi[l] ? above : hi[l]);
    });
  }

  void select() const {
    const std::int32_t* condition = operands_[0]->i.data();
    auto over = [count = count_, condition](const auto* a, const auto* b, auto* out) {
      each(count, [=](int l) { out[l] = condition[l] != 0 ? a[l] : b[l]; });
    };
    if (operation_.operand_type == Type::kFloat) {
      over(operands_[1]->f.data(), operands_[2]->f.data(), out_.f.data());
    } else if (operation_.operand_type == Type::kLong) {
      over(operands_[1]->l.data(), operands_[2]->l.data(), out_.l.data());
    } else {
      over(operands_[1]->i.data(), operands_[2]->i.data(), out_.i.data());
    }
  }

  const LaneOperation& operation_;
  const std::array<const Lanes*, kMaxOperands>& operands_;
  Lanes& out_;
  int count_;
};

}  // namespace

void evaluate(const LaneOperation& operation, Lanes& out, int count) {
  if (operation.precision == Precision::kFp32) {
    Evaluator<RoundToFp32>(operation, out, count).run();
  } else {
    Evaluator<KeepFp64>(operation, out, count).run();
  }
}

}  // namespace flexjit::ir
