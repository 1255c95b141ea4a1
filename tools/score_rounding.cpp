// The inspector's view of ranges has the nodes of the compiled program, operands first. It knows nothing of the score itself,
// whose size follows from q and k here, and so do the sums and products with it.
#include "score_rounding.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <string_view>
#include <vector>

#include "flexjit/engine.h"
#include "flexjit/inspect.h"

namespace flexjit::tools {
namespace {

using Json = nlohmann::json;

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

ScoreRounding rounding_of(const Json& program, const Interval& score) {
  const Json& nodes = program["nodes"];
  if (!program["score"].is_number()) return {};
  std::vector<bool> wanted(nodes.size(), false);
  wanted[program["score"].get<std::size_t>()] = true;
  for (std::size_t i = nodes.size(); i-- > 0;) {
    if (!wanted[i]) continue;
    for (const Json& operand : nodes[i]["operands"]) wanted[operand.get<std::size_t>()] = true;
  }
  ScoreRounding rounding;
  std::vector<Interval> ranges;
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    const Json& node = nodes[i];
    const std::string op = node["op"];
    Interval range = op == "score" ? score : range_of(node);
    if (const Json& operands = node["operands"]; !range.is_bounded() && operands.size() == 2)
      range = combined(op, ranges[operands[0].get<std::size_t>()], ranges[operands[1].get<std::size_t>()]);
    ranges.push_back(range);
    if (!wanted[i] || node["type"] != "float") continue;
    const double roundings = roundings_of(op);
    if (range.is_bounded() && range.least() > 0)  // not an infinity, which no rounding moves
      rounding.absolute += roundings * range.least();
    else
      rounding.of_size += roundings;
  }
  return rounding;
}

}  // namespace

ScoreRounding score_rounding(const AttentionSpec& spec, const Problem& problem, const Bindings& bindings) {
  const Bindings* bound = bindings.params.empty() && bindings.buffers.empty() ? nullptr : &bindings;
  const auto views =
      inspect(spec, {}, {.views = {InspectView::kIntervals}, .sizes = mask_options_of(problem.sizes), .bindings = bound});
  return views ? rounding_of(Json::parse(views->front().json), score_of(spec, problem)) : ScoreRounding{};
}

}  // namespace flexjit::tools
