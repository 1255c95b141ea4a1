// See dense_sums.h.
#include "engine/backward/dense_sums.h"

#include <algorithm>

#include "support/elements.h"

namespace flexjit::engine {

DenseSums::DenseSums(const MutableTensorView& gradient) : rank(gradient.rank) {
  for (auto d = static_cast<std::size_t>(rank); d-- > 0;) {
    const bool repeats = gradient.strides[d] == 0;
    extents[d] = repeats ? std::min<std::int64_t>(gradient.shape[d], 1) : gradient.shape[d];
    strides[d] = repeats || extents[d] == 1 ? 0 : count;
    count *= extents[d];
  }
}

bool DenseSums::lies_in(const MutableTensorView& gradient) const {
  for (std::size_t d = 0; d < static_cast<std::size_t>(rank); ++d) {
    if (strides[d] != 0 && strides[d] != gradient.strides[d]) return false;
  }
  return true;
}

void DenseSums::write(const MutableTensorView& gradient, const std::function<double(std::int64_t)>& sum) const {
  for (std::int64_t i = 0; i < count; ++i) {
    std::int64_t rest = i, place = 0;
    for (auto d = static_cast<std::size_t>(rank); d-- > 0; rest /= extents[d]) place += rest % extents[d] * gradient.strides[d];
    const double value = sum(i);
    support::write_elements(gradient.dtype, gradient.data, place, {&value, 1});
  }
}

}  // namespace flexjit::engine
