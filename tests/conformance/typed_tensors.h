// Dense q, k, v and outputs of any float dtypes, with conversions that share no code with the library: elements are decoded by
// their definition and encoded by a search among all of them.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "harness.h"

namespace flexjit::conformance {

struct Types {
  DType q = DType::kF32;
  DType kv = DType::kF32;
  DType out = DType::kF32;
};
std::string to_string(const Types& types);

// The element nearest to `value`, ties to even; itself for f64.
double nearest(DType dtype, double value);
std::vector<unsigned char> encode(DType dtype, std::span<const double> values);
std::vector<double> decode(DType dtype, std::span<const unsigned char> bytes);

// Outputs start as NaN, so an element that a run forgets is seen.
class TypedTensors {
 public:
  TypedTensors(const Shape& shape_of_all, const Types& types_of_all, std::uint64_t seed = 1);
  // max_scores is left out.
  RunArgs args(const Bindings* bindings = nullptr);
  MutableTensorView max_scores_view();
  // Makes what q, k and v hold the elements.
  void encode_inputs();
  void poison_outputs();
  std::vector<double> out() const { return decode(types.out, out_bytes_); }

  Shape shape;
  Types types;
  std::vector<double> q, k, v;  // what the elements hold
  std::vector<float> lse, max_scores;

 private:
  std::vector<unsigned char> q_bytes_, k_bytes_, v_bytes_, out_bytes_;
};

}  // namespace flexjit::conformance
