// See problem.h.
#include "support/problem.h"

#include <limits>
#include <sstream>

#include "support/encodings.h"
#include "support/random.h"

namespace flexjit::test {
namespace {

// Of the elements between the rows.
constexpr unsigned char kUnused = 0xa5;

// One past the last element's place; 0 without elements.
std::size_t span_of(const Extents& extents, const Strides& strides) {
  std::int64_t last = 0;
  for (std::size_t d = 0; d < 4; ++d) {
    if (extents[d] == 0) return 0;
    last += (extents[d] - 1) * strides[d];
  }
  return static_cast<std::size_t>(last + 1);
}

}  // namespace

std::string to_string(const Shape& shape) {
  std::ostringstream text;
  text << "batch " << shape.batch << ", heads " << shape.q_heads << "/" << shape.kv_heads << ", " << shape.q_len << " x "
       << shape.kv_len << ", head_dim " << shape.head_dim << ", v_head_dim " << shape.value_dim();
  return text.str();
}

std::string to_string(const Types& types) {
  return std::string(name_of(types.q)) + "_" + std::string(name_of(types.kv)) + "_" + std::string(name_of(types.out));
}

Strides dense(const Extents& e) { return {e[1] * e[2] * e[3], e[2] * e[3], e[3], 1}; }

Strides length_first(const Extents& e) { return {e[1] * e[2] * e[3], e[3], e[1] * e[3], 1}; }

Tensor::Tensor(DType dtype, const Extents& extents, const Layout& layout)
    : bytes(span_of(extents, layout(extents)) * size_of(dtype), kUnused),
      dtype_(dtype),
      extents_(extents),
      strides_(layout(extents)),
      count_(static_cast<std::size_t>(extents[0] * extents[1] * extents[2] * extents[3])) {}

std::size_t Tensor::place_of(std::size_t i) const {
  auto rest = static_cast<std::int64_t>(i), place = std::int64_t{0};
  for (std::size_t d = 4; d-- > 0; rest /= extents_[d]) place += rest % extents_[d] * strides_[d];
  return static_cast<std::size_t>(place) * size_of(dtype_);
}

double Tensor::operator[](std::size_t i) const { return read_element(dtype_, &bytes.at(place_of(i))); }

void Tensor::set(std::size_t i, double value) { write_element(dtype_, &bytes.at(place_of(i)), value); }

void Tensor::fill(const std::function<double(std::size_t)>& value) {
  for (std::size_t i = 0; i < count_; ++i) set(i, value(i));
}

std::vector<double> Tensor::values() const {
  std::vector<double> all(count_);
  for (std::size_t i = 0; i < count_; ++i) all[i] = (*this)[i];
  return all;
}

Problem::Problem(const Shape& s, const Types& with, std::uint64_t from, const Layout& layout)
    : shape(s),
      types(with),
      seed(from),
      q(with.q, {s.batch, s.q_heads, s.q_len, s.head_dim}, layout),
      k(with.kv, {s.batch, s.kv_heads, s.kv_len, s.head_dim}, layout),
      v(with.kv, {s.batch, s.kv_heads, s.kv_len, s.value_dim()}, layout),
      out(with.out, {s.batch, s.q_heads, s.q_len, s.value_dim()}, layout) {
  Random random(seed);
  for (Tensor* tensor : {&q, &k, &v}) tensor->fill([&](std::size_t) { return static_cast<double>(random.normal()); });
  poison_outputs();
}

void Problem::poison_outputs() {
  out.fill([](std::size_t) { return std::numeric_limits<double>::quiet_NaN(); });
  lse.assign(static_cast<std::size_t>(std::int64_t{shape.batch} * shape.q_heads * shape.q_len),
             std::numeric_limits<float>::quiet_NaN());
  max_scores = lse;
}

MutableTensorView Problem::max_scores_view() {
  return MutableTensorView(max_scores.data(), DType::kF32, {shape.batch, shape.q_heads, shape.q_len});
}

RunArgs Problem::args(const Bindings* bindings) {
  return {.q = q.view(),
          .k = k.view(),
          .v = v.view(),
          .out = out.view(),
          .lse = MutableTensorView(lse.data(), DType::kF32, {shape.batch, shape.q_heads, shape.q_len}),
          .bindings = bindings};
}

std::string to_string(const Problem& problem) {
  return to_string(problem.shape) + ", " + to_string(problem.types) + ", seed " + std::to_string(problem.seed);
}

}  // namespace flexjit::test
