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

// Of one batch entry: (total, heads, dim).
template <typename View>
View packed_rows(const View& view) {
  View packed = view;
  packed.rank = 3;
  packed.shape = {view.shape[2], view.shape[1], view.shape[3]};
  packed.strides = {view.strides[2], view.strides[1], view.strides[3]};
  return packed;
}

inline MutableTensorView lse_view(Problem& problem) { return problem.args().lse; }

}  // namespace flexjit::conformance
