// Grammar-directed generation, one small function a kind of expression. The bounds follow first-order error analysis.
#include "random_expression.h"

#include <algorithm>
#include <cmath>

namespace flexjit::conformance {
namespace {

constexpr double kEps = 6e-8;       // half an ulp of fp32 at 1
constexpr double kUlps = 8 * kEps;  // what a transcendental function may be off, relatively
constexpr double kAnyInt = 2147483648.0;
constexpr double kRootError = 2e-6;  // of a generated score
constexpr double kRootMagnitude = 8;

double sum_of(double a, double b) { return std::min(a + b, kAnyInt); }
double product_of(double a, double b) { return std::min(a * b, kAnyInt); }

class Generator {
 public:
  Generator(Random& random, std::vector<NamedExpression>& lets) : random_(random), lets_(lets) {}

  Expression integer(int depth) {
    if (depth <= 0) return integer_leaf();
    switch (random_.integer(0, 6)) {
      case 0: return integer_leaf();
      case 1: return integer_call(depth);
      case 2: return choice(Kind::kInt, boolean(depth - 1), integer(depth - 1), integer(depth - 1));
      case 3: return node(Kind::kInt, "int($0)", {random_.chance(0.5) ? boolean(depth - 1) : exact(depth - 1)}, kAnyInt);
      case 4: return integer_read(depth);
      default: return integer_operator(depth);
    }
  }

  Expression boolean(int depth) {
    if (depth <= 0) return boolean_leaf();
    switch (random_.integer(0, 7)) {
      case 0: return boolean_leaf();
      case 1: return node(Kind::kBool, pick({"$0 in {0, 3, 17}", "bool($0)"}), {integer(depth - 1)}, 1);
      case 2: return node(Kind::kBool, pick({"!$0", "~$0", "(not $0)"}), {boolean(depth - 1)}, 1);
      case 3: return choice(Kind::kBool, boolean(depth - 1), boolean(depth - 1), boolean(depth - 1));
      case 4: return comparison(exact(depth - 1), exact(depth - 1));
      case 5: return comparison(integer(depth - 1), integer(depth - 1));
      case 6: return boolean_read(depth);
      default:
        return node(
            Kind::kBool,
            pick({"$0 && $1", "$0 || $1", "$0 and $1", "$0 or $1", "$0 & $1", "$0 | $1", "$0 ^ $1", "$0 == $1", "$0 != $1"}),
            {boolean(depth - 1), boolean(depth - 1)}, 1);
    }
  }

  // A float that kernel and reference round alike.
  Expression exact(int depth) {
    if (depth <= 0) return exact_leaf();
    switch (random_.integer(0, 6)) {
      case 0: return exact_leaf();
      case 1: return node(Kind::kFloat, "float($0)", {bounded_integer(depth - 1)}, 64);
      case 2: return exact_call(depth);
      case 3: return choice(Kind::kFloat, boolean(depth - 1), exact(depth - 1), exact(depth - 1));
      case 4: return float_read(depth);
      case 5: return exact_division(depth);
      default: return exact_operator(depth);
    }
  }

  // Any float; the score too.
  Expression real(int depth) {
    if (depth <= 0) return random_.chance(0.6) ? score() : exact_leaf();
    switch (random_.integer(0, 7)) {
      case 0: return score();
      case 1: return exact(depth);
      case 2: return choice(Kind::kFloat, boolean(depth - 1), real(depth - 1), real(depth - 1));
      case 3:
      case 4: return function(depth);
      case 5: return random_.chance(0.3) ? dot() : power(depth);
      default: return arithmetic(depth);
    }
  }

  // A read that nothing proves in range: kernel and reference must report it alike.
  Expression unproved_read(int depth) {
    return node(Kind::kFloat, "f1[$0]", {node(Kind::kInt, "$0 + $1", {literal(0, 30), bounded_integer(depth)}, 90)}, 6);
  }

 private:
  Expression node(Kind kind, std::string form, std::vector<Expression> operands, double magnitude, double error = 0) {
    return {kind, std::move(form), std::move(operands), magnitude, error};
  }
  Expression leaf(Kind kind, std::string text, double magnitude, double error = 0) {
    bool compound = text.find(' ') != std::string::npos || text.front() == '-';
    return {kind, compound ? "(" + text + ")" : std::move(text), {}, magnitude, error};
  }
  std::string pick(std::initializer_list<std::string_view> forms) {
    return std::string(forms.begin()[random_.integer(0, static_cast<std::int32_t>(forms.size()) - 1)]);
  }
  Expression literal(std::int32_t lo, std::int32_t hi) {
    std::int32_t value = random_.integer(lo, hi);
    return leaf(Kind::kInt, std::to_string(value), std::abs(value));
  }
  Expression score() { return leaf(Kind::kFloat, "score", 6, 1e-6); }

  // One of the lets so far, where there is one of the kind.
  bool use_let(Kind kind, Expression& chosen) {
    std::vector<const NamedExpression*> fitting;
    for (const NamedExpression& let : lets_)
      if (let.value.kind == kind) fitting.push_back(&let);
    if (fitting.empty() || !random_.chance(0.25)) return false;
    const NamedExpression& let =
        *fitting[static_cast<std::size_t>(random_.integer(0, static_cast<std::int32_t>(fitting.size()) - 1))];
    chosen = leaf(kind, let.name, let.value.magnitude, let.value.error);
    return true;
  }

  Expression choice(Kind kind, Expression condition, Expression yes, Expression no) {
    double magnitude = std::max(yes.magnitude, no.magnitude), error = std::max(yes.error, no.error);
    return node(kind, pick({"($0 ? $1 : $2)", "where($0, $1, $2)"}), {std::move(condition), std::move(yes), std::move(no)},
                magnitude, error);
  }

  Expression comparison(Expression a, Expression b) {
    return node(Kind::kBool, pick({"$0 < $1", "$0 <= $1", "$0 > $1", "$0 >= $1", "$0 == $1", "$0 != $1"}),
                {std::move(a), std::move(b)}, 1);
  }

  Expression integer_leaf() {
    Expression chosen;
    if (use_let(Kind::kInt, chosen)) return chosen;
    switch (random_.integer(0, 9)) {
      case 0: return literal(-3, 3);
      case 1: return literal(4, 70);
      case 2: return leaf(Kind::kInt, pick({"2147483647", "(-2147483647 - 1)", "0x7fff", "65536"}), kAnyInt);
      case 3: return leaf(Kind::kInt, pick({"small", "b", "h", "kv_head", "batch_size", "num_heads", "num_kv_heads"}), 8);
      case 4: return leaf(Kind::kInt, pick({"large", "q_len", "kv_len"}), kAnyInt);
      default: return leaf(Kind::kInt, pick({"q_idx", "kv_idx", "q", "kv"}), 100);
    }
  }

  Expression integer_operator(int depth) {
    Expression a = integer(depth - 1), b = integer(depth - 1);
    double both = std::max(a.magnitude, b.magnitude);
    switch (random_.integer(0, 9)) {
      case 0: return node(Kind::kInt, "$0 + $1", {a, b}, sum_of(a.magnitude, b.magnitude));
      case 1: return node(Kind::kInt, "$0 - $1", {a, b}, sum_of(a.magnitude, b.magnitude));
      case 2: return node(Kind::kInt, "$0 * $1", {a, b}, product_of(a.magnitude, b.magnitude));
      case 3: return node(Kind::kInt, "$0 // $1", {a, b}, sum_of(a.magnitude, 1));
      case 4: return node(Kind::kInt, "$0 % $1", {a, b}, b.magnitude);
      case 5: return node(Kind::kInt, pick({"$0 // $1", "$0 % $1"}), {a, literal(1, 13)}, sum_of(a.magnitude, 13));
      case 6: return node(Kind::kInt, pick({"$0 & $1", "$0 | $1", "$0 ^ $1"}), {a, b}, std::min(2 * both + 1, kAnyInt));
      case 7: return node(Kind::kInt, pick({"$0 << $1", "$0 >> $1"}), {a, b}, kAnyInt);
      case 8: return node(Kind::kInt, pick({"-$0", "~$0"}), {a}, sum_of(a.magnitude, 1));
      default: return node(Kind::kInt, "twist($0, $1)", {a, b}, 11);
    }
  }

  Expression integer_call(int depth) {
    Expression a = integer(depth - 1), b = integer(depth - 1);
    double both = std::max(a.magnitude, b.magnitude);
    switch (random_.integer(0, 2)) {
      case 0: return node(Kind::kInt, "abs($0)", {a}, a.magnitude);
      case 1: return node(Kind::kInt, pick({"min($0, $1)", "max($0, $1)", "max($0, $1, 0)"}), {a, b}, both);
      default: return node(Kind::kInt, "clamp($0, -20, $1)", {a, b}, std::max(20.0, b.magnitude));
    }
  }

  Expression bounded_integer(int depth) {
    return node(Kind::kInt, pick({"$0 % 61", "clamp($0, -60, 60)", "$0 & 63"}), {integer(depth)}, 64);
  }

  // An index that is within [0, extent) whatever its operand is.
  Expression index(const char* extent, int depth) {
    std::string last = std::string(extent) + " - 1";
    std::string form = random_.chance(0.5) ? "clamp($0, 0, " + last + ")" : "$0 % " + std::string(extent);
    return node(Kind::kInt, form, {integer(depth - 1)}, kAnyInt);
  }

  Expression integer_read(int depth) {
    switch (random_.integer(0, 4)) {
      case 0: return node(Kind::kInt, "i1[$0]", {index("40", depth)}, 50);
      case 1: return node(Kind::kInt, "i2[$0, $1]", {index("q_len", depth), index("3", depth)}, kAnyInt);
      case 2: return node(Kind::kInt, "u1[$0]", {index("kv_len", depth)}, 255);
      case 3: return node(Kind::kInt, "($0 >= 0 && $0 < 40 ? i1[$0] : $1)", {integer(0), integer_leaf()}, kAnyInt);
      default: return leaf(Kind::kInt, pick({"s1[kv_idx]", "u1[kv_idx]", "i1[i1[kv_idx % 40] % 40]"}), 255);
    }
  }

  Expression boolean_leaf() {
    Expression chosen;
    if (use_let(Kind::kBool, chosen)) return chosen;
    return leaf(
        Kind::kBool,
        pick({"true", "false", "flag", "q_idx >= kv_idx", "kv_idx % 3 == 1", "m1[kv_idx]", "m2[q_idx, kv_idx]", "h == 0"}), 1);
  }

  Expression boolean_read(int depth) {
    return node(Kind::kBool, pick({"m1[$0]", "m2[q_idx, $0]"}), {index("kv_len", depth)}, 1);
  }

  Expression exact_leaf() {
    Expression chosen;
    if (use_let(Kind::kFloat, chosen) && chosen.error == 0) return chosen;
    switch (random_.integer(0, 3)) {
      case 0: return leaf(Kind::kFloat, pick({"0.0", "0.5", "-1.25", "3.0", "1e-3", "0.1", "pi"}), 4);
      case 1: return leaf(Kind::kFloat, "slope", 1);
      case 2:
        return leaf(
            Kind::kFloat,
            pick({"f1[q_idx % 40]", "f2[h, kv_idx]", "f4[b, h, q_idx, kv_idx]", "bf[kv_idx]", "hf[kv_idx]", "df[kv_idx]"}), 6);
      default: return leaf(Kind::kFloat, pick({"float(q_idx)", "float(kv_idx)", "float(q_idx - kv_idx)"}), 100);
    }
  }

  Expression float_read(int depth) {
    switch (random_.integer(0, 4)) {
      case 0: return node(Kind::kFloat, "f1[$0]", {index("40", depth)}, 6);
      case 1: return node(Kind::kFloat, "f2[$0, $1]", {index("num_heads", depth), index("kv_len", depth)}, 6);
      case 2: return node(Kind::kFloat, "f3[$0, q_idx, $1]", {index("batch_size", depth), index("7", depth)}, 6);
      case 3: return node(Kind::kFloat, "f4[b, h, $0, $1]", {index("q_len", depth), index("kv_len", depth)}, 6);
      default: return node(Kind::kFloat, "($0 >= 0 && $0 < 40 ? f1[$0] : $1)", {integer(0), exact_leaf()}, 100);
    }
  }

  Expression exact_operator(int depth) {
    Expression a = exact(depth - 1), b = random_.chance(0.2) ? bounded_integer(depth - 1) : exact(depth - 1);
    switch (random_.integer(0, 4)) {
      case 0: return tamed(node(Kind::kFloat, "$0 + $1", {a, b}, a.magnitude + b.magnitude));
      case 1: return tamed(node(Kind::kFloat, "$0 - $1", {a, b}, a.magnitude + b.magnitude));
      case 2: return tamed(node(Kind::kFloat, "$0 * $1", {a, b}, a.magnitude * b.magnitude));
      case 3: return node(Kind::kFloat, "-$0", {a}, a.magnitude);
      default: return node(Kind::kFloat, pick({"min($0, $1)", "max($0, $1)"}), {a, b}, std::max(a.magnitude, b.magnitude));
    }
  }

  // Division, floor division and modulo make NaN and infinity of zeros; where() tells them from numbers.
  Expression exact_division(int depth) {
    Expression a = depth > 1 ? exact(1) : exact_leaf(), b = exact_leaf();
    std::string quotient = pick({"$0 / $1", "$0 // $1", "$0 % $1"});
    return node(Kind::kFloat, "where(abs(" + quotient + ") < 1000.0, " + quotient + ", 0.5)", {a, b}, 1000);
  }

  Expression exact_call(int depth) {
    Expression a = exact(depth - 1);
    switch (random_.integer(0, 3)) {
      case 0: return node(Kind::kFloat, pick({"floor($0)", "ceil($0)", "round($0)"}), {a}, a.magnitude + 1);
      case 1: return node(Kind::kFloat, pick({"abs($0)", "relu($0)"}), {a}, a.magnitude);
      case 2: return node(Kind::kFloat, "clamp($0, -2.5, 7.0)", {a}, 7);
      default: return node(Kind::kFloat, "sqrt(abs($0))", {a}, std::sqrt(a.magnitude) + 1);
    }
  }

  // Keeps an exact value where later error bounds stay useful.
  Expression tamed(Expression value) {
    if (value.magnitude <= 1e4) return value;
    return node(Kind::kFloat, "clamp($0, -100.0, 100.0)", {std::move(value)}, 100);
  }

  Expression arithmetic(int depth) {
    Expression a = real(depth - 1), b = real(depth - 1);
    double m = a.magnitude * b.magnitude;
    switch (random_.integer(0, 5)) {
      case 0: return rounded(node(Kind::kFloat, "$0 + $1", {a, b}, a.magnitude + b.magnitude, a.error + b.error));
      case 1: return rounded(node(Kind::kFloat, "$0 - $1", {a, b}, a.magnitude + b.magnitude, a.error + b.error));
      case 2:
        return rounded(
            node(Kind::kFloat, "$0 * $1", {a, b}, m, a.error * b.magnitude + b.error * a.magnitude + a.error * b.error));
      case 3:
        return rounded(
            node(Kind::kFloat, "$0 / (abs($1) + 0.5)", {a, b}, 2 * a.magnitude, 2 * a.error + 4 * a.magnitude * b.error));
      case 4: return node(Kind::kFloat, pick({"-$0", "abs($0)", "relu($0)"}), {a}, a.magnitude, a.error);
      default:
        return node(Kind::kFloat, pick({"min($0, $1)", "max($0, $1)"}), {a, b}, std::max(a.magnitude, b.magnitude),
                    std::max(a.error, b.error));
    }
  }

  Expression rounded(Expression value) {
    value.error += 2 * kEps * value.magnitude;
    return value;
  }

  // f(x) with the argument kept where f is smooth; `slope` bounds its derivative there.
  struct Function {
    const char* form;
    double magnitude;  // 0: grows with the argument
    double slope;
  };
  Expression function(int depth) {
    static constexpr Function kFunctions[] = {
        {"exp(clamp($0, -6.0, 3.0))", 20.1, 20.1},
        {"exp2(clamp($0, -8.0, 4.0))", 16, 11.1},
        {"log(abs($0) + 0.25)", 12, 4},
        {"log2(abs($0) + 0.25)", 18, 6},
        {"log1p(abs($0))", 12, 1},
        {"tanh($0)", 1, 1},
        {"sigmoid($0)", 1, 0.25},
        {"erf($0)", 1, 1.13},
        {"gelu($0)", 0, 1.2},
        {"silu($0)", 0, 1.2},
        {"sin(clamp($0, -20.0, 20.0))", 1, 1},
        {"cos(clamp($0, -20.0, 20.0))", 1, 1},
        {"sqrt(abs($0) + 0.25)", 0, 1},
        {"rsqrt(abs($0) + 0.25)", 2, 4},
        {"softcap($0, 2.0)", 2, 1},
    };
    const Function& chosen = kFunctions[random_.integer(0, static_cast<std::int32_t>(std::size(kFunctions)) - 1)];
    Expression a = real(depth - 1);
    double magnitude = chosen.magnitude == 0 ? a.magnitude + 1 : chosen.magnitude;
    // The argument's own rounding (clamp, + 0.25) counts as an error of the argument.
    double error = chosen.slope * (a.error + kEps * std::min(a.magnitude, 20.0)) + kUlps * magnitude;
    return node(Kind::kFloat, chosen.form, {a}, magnitude, error);
  }

  Expression power(int depth) {
    if (random_.chance(0.3))
      return node(Kind::kFloat, "pow(float($0 % 7 - 3), float($1 % 4))", {integer(depth - 1), integer(depth - 1)}, 27,
                  27 * kUlps);
    Expression a = real(depth - 1), b = real(depth - 1);
    double error = 16 * a.error + 23 * b.error + 64 * kUlps;
    return node(Kind::kFloat, "pow(clamp(abs($0) + 0.5, 0.5, 4.0), clamp($1, -2.0, 2.0))", {a, b}, 16, error);
  }

  Expression dot() { return leaf(Kind::kFloat, "dot(da[b, q_idx, :], dc[kv_idx, :])", 30, 30 * kUlps); }

  Random& random_;
  std::vector<NamedExpression>& lets_;
};

// Brings a float within the bounds of a root.
Expression scaled_root(Expression value) {
  double factor = std::min({1.0, kRootMagnitude / value.magnitude, kRootError / std::max(value.error, 1e-12)});
  if (factor >= 1) return value;
  char text[32];
  std::snprintf(text, sizeof text, "%.4e", factor);
  return {Kind::kFloat,
          "$0 * " + std::string(text),
          {value},
          value.magnitude * factor,
          value.error * factor + kEps * kRootMagnitude};
}

Expression score_root(Generator& generator, Random& random) {
  Expression value = generator.real(random.integer(2, 4));
  while (value.error > 1e-2 || value.magnitude > 1e5) value = generator.real(random.integer(1, 3));
  Expression root = scaled_root(value);
  Expression score{Kind::kFloat, "score", {}, 6, 1e-6};
  if (random.chance(0.5)) root = {Kind::kFloat, "$0 + $1", {score, root}, root.magnitude + 6, root.error + 2e-6};
  if (random.chance(0.15))
    root = {Kind::kFloat, "where($0, $1, -inf)", {generator.boolean(2), root}, root.magnitude, root.error};
  if (random.chance(0.05))
    root = {Kind::kFloat, "$0 + $1", {root, generator.unproved_read(1)}, root.magnitude + 6, root.error + 2e-6};
  return root;
}

}  // namespace

RandomProgram random_program(Random& random) {
  RandomProgram program;
  Generator generator(random, program.lets);
  for (std::int32_t i = random.integer(0, 3); i > 0; --i) {
    std::int32_t kind = random.integer(0, 2);
    Expression value = kind == 0 ? generator.integer(2) : kind == 1 ? generator.boolean(2) : generator.exact(2);
    program.lets.push_back({"v" + std::to_string(program.lets.size()), std::move(value)});
  }
  bool with_mask = random.chance(0.6);
  if (!with_mask || random.chance(0.8)) program.score.push_back(score_root(generator, random));
  if (with_mask) program.mask.push_back(generator.boolean(random.integer(2, 4)));
  return program;
}

}  // namespace flexjit::conformance
