// The tensors of problems as FlashAttention's calls take them: (batch, seqlen, heads, dim).
#pragma once

#include <cstring>
#include <utility>

#include "harness.h"

namespace flexjit::conformance {

template <typename View>
View seqlen_first(View view) {
  std::swap(view.shape[1], view.shape[2]);
  std::swap(view.strides[1], view.strides[2]);
  return view;
}

// Absent for no numbers.
inline TensorView ints(const std::vector<std::int32_t>& of) {
  return of.empty() ? TensorView{} : TensorView(of.data(), DType::kI32, {static_cast<std::int64_t>(of.size())});
}

inline MutableTensorView lse_view(Problem& problem) { return problem.args().lse; }

}  // namespace flexjit::conformance
