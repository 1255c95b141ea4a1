// A finding names the first number that is wrong; those behind it are not looked at.
#include "call/numbers.h"

namespace flexjit::engine {

void check_ints(const Ints& ints, int rank, const char* layout, Report& report) {
  if (!ints.given()) return;
  const TensorView& view = *ints.view;
  if (view.dtype != DType::kI32) report.add(Finding::kUnsupportedDType, ints.name, name_of(view.dtype), "i32");
  if (view.rank != rank)
    report.add(Finding::kTensorRank, ints.name, view.rank, rank, layout);
  else
    check_view(ints.name, view, report);
}

void check_size(const Ints& ints, std::int64_t size, const char* dimension, const char* owner, Report& report) {
  if (ints.given() && ints.size() != size) report.add(Finding::kTensorShape, ints.name, dimension, ints.size(), owner, size);
}

void check_side_by_side(const Ints& ints, Report& report) {
  if (!ints.given()) return;
  const auto last = static_cast<std::size_t>(ints.view->rank - 1);
  if (ints.view->shape[last] > 1 && ints.view->strides[last] != 1)
    report.add(Finding::kInnerStride, ints.name, ints.view->strides[last]);
}

void check_begin_tensor(const Ints& ints, Report& report) {
  check_ints(ints, 1, "(batch + 1)", report);
  if (ints.given() && ints.view->rank == 1 && ints.size() < 1)
    report.add(Finding::kSequenceOption, fmt::format("{} is empty; it has a number more than there are sequences", ints.name));
}

bool check_begins(const Ints& ints, std::int64_t rows, Report& report) {
  for (std::int64_t i = 0; ints.given() && i < ints.size(); ++i) {
    const std::int64_t least = i == 0 ? 0 : ints[i - 1];
    if (ints[i] >= least && ints[i] <= rows) continue;
    const char* meaning = i == 0 || ints[i] > rows ? "" : ": no less than the one before";
    report.add(Finding::kSequenceIndex, ints.name, i, ints[i], fmt::format("{} to {}{}", least, rows, meaning));
    return false;
  }
  return true;
}

}  // namespace flexjit::engine
