// The inspector's view of ranges has the nodes of the compiled program, operands first. It knows nothing of the score itself,
// whose size follows from q and k here, and so do the sums and products with it.
#include "measure/score_rounding.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "flexjit/engine.h"
#include "flexjit/inspect.h"

namespace flexjit::tools {
namespace {

using Json = nlohmann::ordered_json;

constexpr double kInfinity = std::numeric_limits<double>::infinity();

struct Interval {
  double lo = -kInfinity, hi = kInfinity;

  bool is_bounded() const { return std::isfinite(lo) && std::isfinite(hi); }
  // The least that a value can be, but for its sign.
  double least() const { return lo > 0 ? lo : hi < 0 ? -hi : 0; }
};

// Units that the result of the operation may be off by; 0: exact.
double roundings_of(std::string_view op) {
  constexpr std::string_view kRounded[] = {"add", "sub", "mul", "div", "sqrt", "int_to_float", "mod"};
  constexpr std::string_view kFunctions[] = {"exp", "exp2", "log", "log2", "log1p", "tanh", "erf", "sin", "cos", "pow"};
  constexpr double kFunction = 4;
  if (std::ranges::find(kRounded, op) != std::end(kRounded)) return 1;
  return std::ranges::find(kFunctions, op) != std::end(kFunctions) ? kFunction : 0;
}

double number(const Json& json) {
  if (json.is_number()) return json.get<double>();
  return json == "inf" ? kInfinity : json == "-inf" ? -kInfinity : std::nan("");
}

Interval range_of(const Json& node) {
  const Json& range = node["range"];
  if (!range.is_object() || range["may_be_nan"].get<bool>()) return {};
  return {number(range["least"]), number(range["greatest"])};
}

// Of the operations that carry a size through; unbounded for all others.
Interval combined(std::string_view op, const Interval& a, const Interval& b) {
  if (!a.is_bounded() || !b.is_bounded()) return {};
  if (op == "add") return {a.lo + b.lo, a.hi + b.hi};
  if (op == "sub") return {a.lo - b.hi, a.hi - b.lo};
  if (op != "mul") return {};
  const auto [lo, hi] = std::minmax({a.lo * b.lo, a.lo * b.hi, a.hi * b.lo, a.hi * b.hi});
  return {lo, hi};
}

double largest_row_norm(const Array& array, std::int64_t dim) {
  double largest = 0;
  for (std::int64_t i = 0, n = array.count(); i < n;) {
    double sum = 0;
    for (const std::int64_t end = i + dim; i < end; ++i) sum += number_at(array, i) * number_at(array, i);
    if (std::isfinite(sum)) largest = std::max(largest, sum);
  }
  return std::sqrt(largest);
}

// |q k| <= |q| |k|.
Interval score_of(const AttentionSpec& spec, const Problem& problem) {
  const std::int64_t dim = problem.sizes.head_dim;
  const double scale =
      spec.scale ? std::abs(static_cast<double>(*spec.scale)) : 1 / std::sqrt(static_cast<double>(problem.sizes.head_dim));
  const double largest = scale * largest_row_norm(problem.q, dim) * largest_row_norm(problem.k, dim);
  return {-largest, largest};
}

// What a value may be off by, in units of rounding: of its own size, and beside it; and how many times the relative error of q
// k shows in it: twice in score * score, ten times in exp(score) where the score is 10.
struct Error {
  double of_size = 0, absolute = 0, of_score = 0;
};

struct Operand {
  Error error;
  Interval range;

  double largest(double unbounded) const {
    return range.is_bounded() ? std::max(std::abs(range.lo), std::abs(range.hi)) : unbounded;
  }
  double relative() const { return error.of_size + kOfScore * error.of_score; }

  static constexpr double kOfScore = 16;  // roundings of q k, which are those of its products, larger than their sum
};

constexpr double kMostExponent = 128;  // of a result that is finite

// Of operations whose result moves with their operands as those do: sums, choices, and functions that are no steeper than their
// argument.
Error largest_of(std::span<const Operand> operands, bool is_sum) {
  Error error;
  for (const Operand& x : operands) {
    error.of_size = std::max(error.of_size, x.error.of_size);
    error.of_score = std::max(error.of_score, x.error.of_score);
    error.absolute = is_sum ? error.absolute + x.error.absolute : std::max(error.absolute, x.error.absolute);
  }
  return error;
}

Error product_of(const Operand& a, const Operand& b, bool is_quotient) {
  const double by = is_quotient ? (b.range.least() > 0 ? 1 / b.range.least() : 1) : b.largest(1);
  return {.of_size = a.error.of_size + b.error.of_size,
          .absolute = a.error.absolute * by + (is_quotient ? 0 : b.error.absolute * a.largest(1)),
          .of_score = a.error.of_score + b.error.of_score};
}

// What the operands' errors make of the result, without its own rounding.
Error carried(std::string_view op, std::span<const Operand> x) {
  if (x.empty()) return {.of_size = 0, .absolute = 0, .of_score = op == "score" ? 1.0 : 0.0};
  if (op == "mul" || op == "div") return product_of(x[0], x[1], op == "div");
  if (op == "exp" || op == "exp2") {
    const double times = std::min(x[0].largest(kMostExponent), kMostExponent);
    return {x[0].error.of_size * times + x[0].error.absolute, 0, x[0].error.of_score * times};
  }
  if (op == "pow") {
    const double times = std::min(x[1].largest(kMostExponent), kMostExponent);
    return {x[0].error.of_size * times + kMostExponent * (x[1].error.of_size + x[1].error.absolute), 0,
            x[0].error.of_score * times + kMostExponent * x[1].error.of_score};
  }
  if (op == "log" || op == "log2" || op == "log1p") return {0, x[0].relative(), 0};
  if (op == "sin" || op == "cos" || op == "mod") return {0, x[0].relative() * x[0].largest(1) + x[0].error.absolute, 0};
  return largest_of(x, op == "add" || op == "sub");
}

ScoreRounding rounding_of(const Json& program, const Interval& score) {
  if (!program["score"].is_number()) return {};
  std::vector<Operand> values;
  std::vector<Operand> operands;
  for (const Json& node : program["nodes"]) {
    const std::string op = node["op"];
    operands.clear();
    for (const Json& operand : node["operands"]) operands.push_back(values[operand.get<std::size_t>()]);
    Operand value{{}, op == "score" ? score : range_of(node)};
    if (!value.range.is_bounded() && operands.size() == 2) value.range = combined(op, operands[0].range, operands[1].range);
    if (node["type"] == "float") {
      value.error = carried(op, operands);
      const bool is_far = value.range.is_bounded() && value.range.least() > 0;  // not an infinity, which no rounding moves
      (is_far ? value.error.absolute : value.error.of_size) += roundings_of(op) * (is_far ? value.range.least() : 1);
    }
    values.push_back(value);
  }
  const Error& error = values[program["score"].get<std::size_t>()].error;
  return {error.of_size + Operand::kOfScore * std::max(error.of_score - 1, 0.0), error.absolute};
}

}  // namespace

ScoreRounding score_rounding(const AttentionSpec& spec, const Problem& problem, const Bindings& bindings) {
  const Bindings* bound = bindings.params.empty() && bindings.buffers.empty() ? nullptr : &bindings;
  const auto views =
      inspect(spec, {}, {.views = {InspectView::kIntervals}, .sizes = mask_options_of(problem.sizes), .bindings = bound});
  return views ? rounding_of(Json::parse(views->front().json), score_of(spec, problem)) : ScoreRounding{};
}

}  // namespace flexjit::tools
