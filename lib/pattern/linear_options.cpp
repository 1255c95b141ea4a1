// A spec of linear weights: its options, its texts with the feature map among them, and what the nest takes of its programs.
#include "pattern/linear_options.h"

#include <fmt/format.h>

#include <cmath>
#include <string>
#include <utility>

#include "ir/lower/lower.h"
#include "pattern/feature_maps.h"
#include "pattern/pattern.h"
#include "plan/sizes/linear.h"
#include "support/dtype.h"

namespace flexjit::engine {

namespace {

constexpr const char* kDefaultMap = "elu1";

FeatureMapSizes sizes_of(const AttentionSpec& spec) {
  return {.head_dim = spec.head_dim,
          .features = spec.linear.features,
          .scale = spec.scale.value_or(1.0 / std::sqrt(std::max(spec.head_dim, 1)))};
}

// The text of the feature map, and whether it takes the scale.
NamedFeatureMap feature_map_of(const AttentionSpec& spec, std::string_view map, Report& report) {
  std::optional<NamedFeatureMap> named = find_feature_map(map, sizes_of(spec), report);
  return named ? *std::move(named) : NamedFeatureMap{std::string(map)};
}

// A map's findings come once, from check_linear_options.
std::string text_of_map(const AttentionSpec& spec, std::string_view map) {
  Report unheard("compile");
  return feature_map_of(spec, map, unheard).text;
}

Result<ir::Lowered> lower_with(const AttentionSpec& spec, dsl::Source source, std::string_view map) {
  if (source.file) {
    std::string& text = source.file->text;
    if (!text.ends_with('\n')) text += '\n';
    if (!map.empty()) text += "feature = " + text_of_map(spec, map) + "\n";
    if (!spec.linear.gate.empty()) text += "gate = " + spec.linear.gate + "\n";
    return ir::lower_source(source);
  }
  source.feature = dsl::SourceText{"feature_map", text_of_map(spec, map.empty() ? kDefaultMap : map)};
  if (!spec.linear.gate.empty()) source.gate = dsl::SourceText{"gate", spec.linear.gate};
  return ir::lower_source(source);
}

// Rows of the matrix, as the text or the spec says it.
std::int32_t features_of(const AttentionSpec& spec, const Pattern& pattern, Report& report) {
  const std::optional<std::uint32_t> matrix = pattern.interface.projection;
  const std::int32_t given = spec.linear.features;
  if (!matrix) {
    if (given != 0 && given != spec.head_dim)
      report.add(Finding::kBadOption, "linear.features", given,
                 fmt::format("a map of x without a matrix has head_dim features, which is {}; leave it at 0", spec.head_dim));
    return spec.head_dim;
  }
  const ir::BufferInterface& buffer = pattern.interface.buffers[*matrix];
  const ir::Extent &rows = buffer.extents[0], &dims = buffer.extents[1];
  if (dims.kind == ir::Extent::Kind::kLiteral && dims.literal != spec.head_dim)
    report.add(Finding::kBindingShape, buffer.name, dims.literal, 1, fmt::format("head_dim, {}", spec.head_dim), "");
  const bool declared = rows.kind == ir::Extent::Kind::kLiteral;
  const std::int64_t features = declared ? rows.literal : given;
  if (declared && given != 0 && given != rows.literal)
    report.add(Finding::kBadOption, "linear.features", given,
               fmt::format("the text declares {} rows of `{}`; leave it at 0", rows.literal, buffer.name));
  if (features < 1 || features > plan::kMaxFeatures)
    report.add(Finding::kBadOption, "linear.features", features,
               fmt::format("give the rows of `{}`, 1 to {}, here or as its declared extent", buffer.name, plan::kMaxFeatures));
  return static_cast<std::int32_t>(features);
}

bool reads_head(const ir::Program& program) {
  return std::ranges::any_of(program.nodes(), [](const ir::Node& node) { return node.op == ir::Op::kHead; });
}

Diagnostic quadratic_warning() {
  Report report("compile");
  report.add(Finding::kQuadratic);
  Diagnostics found = report.take();
  found.front().severity = Severity::kWarning;
  return found.front();
}

}  // namespace

void check_linear_options(const AttentionSpec& spec, Report& report) {
  if (spec.weights != Weights::kLinear) {
    if (spec.linear != LinearWeights{})
      report.add(Finding::kBadOption, "linear", "given", "it says something of Weights::kLinear alone");
    return;
  }
  const LinearWeights& linear = spec.linear;
  if (linear.normalised && !(std::isfinite(linear.eps) && static_cast<float>(linear.eps) > 0))
    report.add(Finding::kBadOption, "linear.eps", linear.eps,
               "give a finite number above 0, the least that a sum of weights counts as");
  if (support::is_quantised(types_of(spec).kv))
    report.add(Finding::kUnsupportedDType, "kv_dtype", name_of(types_of(spec).kv), "a float with linear weights");
  if (spec.softcap || spec.alibi || spec.dropout || !spec.score_mod.empty())
    report.add(Finding::kBadOption, "weights", "linear",
               "there are no scores to change: leave out score_mod, softcap, alibi and dropout");
  const NamedFeatureMap map = feature_map_of(spec, linear.feature_map.empty() ? kDefaultMap : linear.feature_map, report);
  if (map.takes_scale && linear.features < 1)
    report.add(Finding::kBadOption, "linear.features", linear.features, "give the rows of the matrix of this map");
  if (map.takes_scale && spec.scale && !(*spec.scale > 0))
    report.add(Finding::kBadOption, "scale", *spec.scale, "give a number above 0, whose root rows are multiplied with");
  if (!map.takes_scale && spec.scale)
    report.add(Finding::kBadOption, "scale", *spec.scale,
               "only the maps favor and trig have one; write it into the feature map");
}

Result<ir::Lowered> lower_spec(const AttentionSpec& spec, const dsl::Source& source) {
  if (spec.weights != Weights::kLinear) {
    Result<ir::Lowered> lowered = ir::lower_source(source);
    if (lowered && (lowered->program.feature().valid() || lowered->program.gate().valid()))
      return single_finding("compile", Finding::kBadOption, "weights", "not linear",
                            "the text has a feature map or a gate, which are of Weights::kLinear");
    return lowered;
  }
  Result<ir::Lowered> lowered = lower_with(spec, source, spec.linear.feature_map);
  if (lowered && !lowered->program.feature().valid()) return lower_with(spec, source, kDefaultMap);
  return lowered;
}

void make_linear(const AttentionSpec& spec, Pattern& pattern, Report& report) {
  if (pattern.weights != plan::Weights::kLinear) return;
  const ir::Program& program = pattern.program;
  if (program.score().valid() || program.weight_factor().valid())
    report.add(Finding::kBadOption, "weights", "linear",
               "there are no scores to change: leave out what sets or adds to `score`");
  LinearPattern& linear = pattern.linear.emplace();
  linear.shape = {.features = features_of(spec, pattern, report),
                  .projected = pattern.interface.projection.has_value(),
                  .normalised = spec.linear.normalised};
  linear.eps = spec.linear.eps;
  std::optional<SplitMask> mask = split_mask(program);
  const bool has_diagonal = mask && mask->diagonals.mask().valid();
  if (program.gate().valid() && !has_diagonal) {
    report.add(Finding::kBadOption, "gate", "given",
               "weights fade from a key to a query after it: give a causal mask, alone or beside masks of keys");
    return;
  }
  linear.has_nest = mask.has_value();
  if (!mask) {
    pattern.warnings.push_back(quadratic_warning());
    return;
  }
  linear.kernel = std::move(mask->keys);
  linear.diagonals = std::move(mask->diagonals);
  linear.by_head = reads_head(linear.kernel) || reads_head(linear.diagonals);
}

}  // namespace flexjit::engine
