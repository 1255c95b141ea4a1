// The name of a feature map, as in "favor(W, 1e-4)" -> its text in the language.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "diagnostics/report.h"

namespace flexjit::engine {

struct FeatureMapSizes {
  std::int32_t head_dim = 0;
  std::int32_t features = 0;
  double scale = 1;  // of favor and trig, above 0
};

struct NamedFeatureMap {
  std::string text;
  bool takes_scale = false;
};

// Empty: the text does not have the form `name` or `name(arguments)` of a map that there is, and is an expression itself.
// Arguments that are too few or too many are a finding.
std::optional<NamedFeatureMap> find_feature_map(std::string_view text, const FeatureMapSizes& sizes, Report& report);

}  // namespace flexjit::engine
