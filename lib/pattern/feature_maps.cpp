// A table of templates, and the arguments between the parentheses put into one of them.
#include "pattern/feature_maps.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

namespace flexjit::engine {

namespace {

struct FeatureMap {
  std::string_view name;
  std::size_t matrices, numbers;
  std::string_view default_number;  // of the last one
  std::string_view text;
};

constexpr std::array kFeatureMaps = {
#define FLEXJIT_FEATURE_MAP(name, matrices, numbers, default_number, text) \
  FeatureMap{name, matrices, numbers, default_number, text},
#include "pattern/feature_maps.def"
#undef FLEXJIT_FEATURE_MAP
};

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kSpace = " \t\n";
  const std::size_t begin = text.find_first_not_of(kSpace);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kSpace) + 1 - begin);
}

// "name(a, b)" -> its name and arguments; no arguments without parentheses.
struct Called {
  std::string_view name;
  std::vector<std::string_view> arguments{};
};
Called called(std::string_view text) {
  text = trimmed(text);
  const std::size_t open = text.find('(');
  if (open == std::string_view::npos || !text.ends_with(')')) return {text};
  if (text.find_first_of("()", open + 1) != text.size() - 1) return {text};  // more than one call
  Called call{trimmed(text.substr(0, open))};
  std::string_view rest = text.substr(open + 1, text.size() - open - 2);
  while (!trimmed(rest).empty()) {
    const std::size_t comma = std::min(rest.find(','), rest.size());
    call.arguments.push_back(trimmed(rest.substr(0, comma)));
    rest.remove_prefix(std::min(comma + 1, rest.size()));
  }
  return call;
}

void replace(std::string& text, std::string_view placeholder, std::string_view with) {
  for (std::size_t at = text.find(placeholder); at != std::string::npos; at = text.find(placeholder, at + with.size()))
    text.replace(at, placeholder.size(), with);
}

// With a point or an exponent: a float of the language.
std::string as_float(double value) {
  std::string text = fmt::format("{}", value);
  return text.find_first_of(".e") == std::string::npos ? text + ".0" : text;
}

}  // namespace

std::optional<NamedFeatureMap> find_feature_map(std::string_view text, const FeatureMapSizes& sizes, Report& report) {
  const Called call = called(text);
  const auto found = std::ranges::find(kFeatureMaps, call.name, &FeatureMap::name);
  if (found == kFeatureMaps.end()) return std::nullopt;
  // `relu(x)` is the language's function.
  if (found->matrices == 0 && std::ranges::find(call.arguments, "x") != call.arguments.end()) return std::nullopt;
  const std::size_t most = found->matrices + found->numbers, fewest = most - (found->default_number.empty() ? 0 : 1);
  if (call.arguments.size() < fewest || call.arguments.size() > most) {
    report.add(Finding::kBadOption, "linear.feature_map", fmt::format("\"{}\"", text),
               fmt::format("`{}` takes {} matrices and {} numbers{}", found->name, found->matrices, found->numbers,
                           found->default_number.empty() ? "" : fmt::format(", the last of which may be left out")));
    return NamedFeatureMap{"x"};
  }
  NamedFeatureMap map{std::string(found->text)};
  map.takes_scale = map.text.find("{c}") != std::string::npos;
  if (found->matrices == 1) replace(map.text, "{w}", call.arguments[0]);
  for (std::size_t i = 0; i < found->numbers; ++i) {
    const std::size_t argument = found->matrices + i;
    replace(map.text, fmt::format("{{{}}}", i),
            argument < call.arguments.size() ? call.arguments[argument] : found->default_number);
  }
  replace(map.text, "{c}", as_float(std::sqrt(sizes.scale)));
  replace(map.text, "{half}", as_float(sizes.scale / 2));
  replace(map.text, "{d}", std::to_string(sizes.head_dim));
  replace(map.text, "{m}", std::to_string(sizes.features));
  return map;
}

}  // namespace flexjit::engine
