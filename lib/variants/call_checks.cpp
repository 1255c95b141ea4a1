// A call and a wanted gradient into findings about what a variant cannot take.
#include "variants/call_checks.h"

#include "call/expected_tensor.h"

namespace flexjit::variants {

using engine::Finding, engine::Report;

void refuse_other_layouts(const RunArgs& args, const char* reason, Report& report) {
  const auto refuse = [&](const char* name, bool given) {
    if (given) report.add(Finding::kBadOption, name, "given", fmt::format("{}, so leave it empty", reason));
  };
  refuse("sequences", args.sequences != nullptr);
  refuse("plan", args.plan != nullptr);
  refuse("rotary", args.rotary != nullptr);
}

void check_wanted(const char* name, const MutableTensorView& wanted, const TensorView& of, Report& report) {
  if (wanted.data == nullptr) return;
  engine::Expected expected{name, wanted.dtype == of.dtype ? of.dtype : DType::kF32, "that of the tensor", {}};
  for (std::size_t d = 0; d < static_cast<std::size_t>(of.rank); ++d)
    expected.dimensions.push_back({"elements of a dimension", of.shape[d], "its tensor"});
  if (!engine::check_rank(expected, wanted, report)) return;
  engine::check_output(expected, wanted, report);
  if (of.rank == kMaxRank) engine::check_inner_stride(name, wanted, report);
  engine::check_apart({"its tensor", of}, {name, wanted}, report);
}

}  // namespace flexjit::variants
