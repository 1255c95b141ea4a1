// Whatever is of scores, blocks or pages is refused by name: nothing is left out silently.
#include "call/linear/linear_call.h"

#include <fmt/format.h>

namespace flexjit::engine {

void check_linear_call(const Pattern& pattern, const RunArgs& args, const Bound& bound, Report& report) {
  if (pattern.weights != plan::Weights::kLinear) return;
  const auto refuse = [&](bool given, std::string_view what, std::string_view hint) {
    if (given) report.add(Finding::kNotLinear, what, hint);
  };
  const bool pages =
      args.sequences != nullptr && (args.sequences->block_table.data != nullptr || args.sequences->page_indptr.data != nullptr);
  const bool masks = args.block_mask != nullptr || (args.sequences != nullptr && !args.sequences->block_masks.empty());
  refuse(masks, "a block mask", "the mask is that of the pattern");
  refuse(pages, "a table of pages", "keep a LinearState in the place of a cache");
  refuse(args.rotary != nullptr, "rotary", "rotate queries before the call, as keys are");
  if (!pattern.interface.projection) return;
  const TensorView& matrix = bound.buffers[*pattern.interface.projection];
  if (matrix.data == nullptr || !pattern.linear) return;  // a finding of its own
  const std::string& name = pattern.interface.buffers[*pattern.interface.projection].name;
  const auto check = [&](std::size_t dimension, std::int64_t wanted, std::string_view what) {
    if (matrix.shape[dimension] != wanted)
      report.add(Finding::kBindingShape, name, matrix.shape[dimension], dimension, fmt::format("{}, {}", what, wanted), "");
  };
  check(0, pattern.linear->shape.features, "the number of features");
  check(1, pattern.head_dim, "head_dim");
}

Diagnostics refuse_linear(const Pattern& pattern, std::string_view verb, std::string_view hint) {
  if (pattern.weights != plan::Weights::kLinear) return {};
  return single_finding(verb, Finding::kNotLinear, verb, hint);
}

}  // namespace flexjit::engine
