// fp64, by which elements of all types are read and written, in between.
#include "variants/floats.h"

#include <algorithm>

#include "support/elements.h"
#include "variants/options.h"

namespace flexjit::variants {

Floats::Floats(const TensorView& view) : data_(static_cast<const float*>(view.data)), strides_(view.strides) {
  if (view.dtype == DType::kF32 || view.data == nullptr) return;
  const auto [batch, heads, length, dim] = view.shape;
  const auto width = static_cast<std::size_t>(dim);
  copy_.resize(count_of({batch, heads, length, dim}));
  std::vector<double> row(width);
  float* next = copy_.data();
  for (std::int64_t b = 0; b < batch; ++b) {
    for (std::int64_t h = 0; h < heads; ++h) {
      for (std::int64_t i = 0; i < length; ++i, next += dim) {
        support::read_elements(view.dtype, view.data, b * view.strides[0] + h * view.strides[1] + i * view.strides[2], row);
        std::ranges::transform(row, next, [](double x) { return static_cast<float>(x); });
      }
    }
  }
  data_ = copy_.data();
  strides_ = {heads * length * dim, length * dim, dim, 1};
}

void write_floats(const float* values, const MutableTensorView& view, std::int64_t b, std::int64_t h, std::int64_t rows) {
  std::vector<double> row(static_cast<std::size_t>(view.shape[3]));
  for (std::int64_t i = 0; i < rows; ++i) {
    std::copy_n(values + i * view.shape[3], view.shape[3], row.begin());
    support::write_elements(view.dtype, view.data, b * view.strides[0] + h * view.strides[1] + i * view.strides[2], row);
  }
}

}  // namespace flexjit::variants
