// One attention problem: sizes, dtypes, a layout and a seed into q, k, v and outputs in memory, and the arguments of a call
// with them. Outputs start as NaN, so that an element that a run forgets is seen.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "flexjit/attention.h"

namespace flexjit::test {

struct Shape {
  std::int32_t batch = 1;
  std::int32_t q_heads = 1;
  std::int32_t kv_heads = 1;
  std::int32_t q_len = 0;
  std::int32_t kv_len = 0;
  std::int32_t head_dim = 32;
  std::int32_t v_head_dim = 0;  // 0 = head_dim

  std::int32_t value_dim() const { return v_head_dim == 0 ? head_dim : v_head_dim; }
  std::int32_t max_len() const { return q_len > kv_len ? q_len : kv_len; }
};
std::string to_string(const Shape& shape);

struct Types {
  DType q = DType::kF32;
  DType kv = DType::kF32;
  DType out = DType::kF32;
};
std::string to_string(const Types& types);

using Extents = std::array<std::int64_t, 4>;  // (batch, heads, length, dim), whatever the layout
using Strides = std::array<std::int64_t, 4>;  // in elements; the last is 1
using Layout = std::function<Strides(const Extents&)>;
Strides dense(const Extents& extents);
// A (batch, length, heads, dim) array.
Strides length_first(const Extents& extents);

// A tensor of a float dtype. Elements are numbered in the order of `extents`, wherever they lie.
class Tensor {
 public:
  Tensor(DType dtype, const Extents& extents, const Layout& layout = dense);

  std::size_t size() const { return count_; }
  double operator[](std::size_t i) const;
  void set(std::size_t i, double value);  // rounded to the nearest element
  // Element i becomes value(i).
  void fill(const std::function<double(std::size_t)>& value);
  std::vector<double> values() const;

  TensorView view() const { return view_of(static_cast<const void*>(bytes.data())); }
  MutableTensorView view() { return view_of(static_cast<void*>(bytes.data())); }

  // What lies in memory, the elements between the rows of a strided tensor included. Moves only when it is assigned to.
  std::vector<unsigned char> bytes;

 private:
  template <typename Pointer>
  BasicTensorView<Pointer> view_of(Pointer data) const {
    BasicTensorView<Pointer> view(data, dtype_, extents_);
    view.strides = strides_;
    return view;
  }
  std::size_t place_of(std::size_t i) const;

  DType dtype_;
  Extents extents_;
  Strides strides_;
  std::size_t count_;
};

struct Problem {
  explicit Problem(const Shape& shape_of_all, const Types& types_of_all = {}, std::uint64_t seed_of_all = 1,
                   const Layout& layout = dense);
  // max_scores is left out.
  RunArgs args(const Bindings* bindings = nullptr);
  MutableTensorView max_scores_view();
  void poison_outputs();

  Shape shape;
  Types types;
  std::uint64_t seed;
  Tensor q, k, v, out;
  std::vector<float> lse, max_scores;  // (batch, q_heads, q_len)
};
std::string to_string(const Problem& problem);  // its sizes, dtypes and seed

}  // namespace flexjit::test
