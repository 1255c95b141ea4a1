// The i32 tensors that say how the sequences of a call lie, each looked at before anything is read through it.
#pragma once

#include <cstdint>

#include "call/validate.h"
#include "flexjit/tensor.h"

namespace flexjit::engine {

// One of them, by index.
struct Ints {
  const char* name = "";
  const TensorView* view = nullptr;

  bool given() const { return view->data != nullptr || view->rank != 0; }
  std::int64_t size() const { return view->shape[0]; }
  std::int32_t operator[](std::int64_t i) const { return static_cast<const std::int32_t*>(view->data)[i * view->strides[0]]; }
  const std::int32_t* row(std::int64_t i) const { return static_cast<const std::int32_t*>(view->data) + i * view->strides[0]; }
};

// As a tensor, whatever it holds.
void check_ints(const Ints& ints, int rank, const char* layout, Report& report);
void check_size(const Ints& ints, std::int64_t size, const char* dimension, const char* owner, Report& report);
// That its innermost elements lie side by side.
void check_side_by_side(const Ints& ints, Report& report);

// Whether every number of `ints` is within [lowest, highest(i)]. The first that is not is found.
template <typename Highest>
bool check_range(const Ints& ints, std::int64_t count, std::int64_t lowest, const Highest& highest, Report& report) {
  for (std::int64_t i = 0; i < count && ints.given(); ++i) {
    const std::int64_t most = highest(i);
    if (ints[i] >= lowest && ints[i] <= most) continue;
    report.add(Finding::kSequenceIndex, ints.name, i, ints[i], fmt::format("{} to {}", lowest, most));
    return false;
  }
  return true;
}

// Cumulated lengths over `rows` rows: a tensor of (batch + 1) numbers, and those.
void check_begin_tensor(const Ints& ints, Report& report);
bool check_begins(const Ints& ints, std::int64_t rows, Report& report);

}  // namespace flexjit::engine
