// Shared by the conformance tests: seeded inputs, captured buffers with their storage, one engine a target, and the comparison
// of a compiled run with the fp64 reference. The tolerance is absolute for small values and relative for large ones: |o - ref|
// <= tolerance * (1 + |ref|), and |lse - ref| <= tolerance + tolerance / 10 * |ref|.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "flexjit/flexjit.h"

namespace flexjit::conformance {

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

// A seeded source of the same numbers on every machine and with every standard library.
class Random {
 public:
  explicit Random(std::uint64_t seed) : engine_(seed) {}
  std::int32_t integer(std::int32_t lo, std::int32_t hi);  // both inclusive
  double unit();                                           // [0, 1)
  float normal();
  bool chance(double probability) { return unit() < probability; }
  std::vector<float> normals(std::size_t count, float deviation = 1.0F);
  std::vector<std::int32_t> integers(std::size_t count, std::int32_t lo, std::int32_t hi);

 private:
  std::mt19937_64 engine_;
};

// Bindings together with the memory that they point to.
class Captures {
 public:
  using Extents = std::vector<std::int64_t>;

  Captures& add(const std::string& name, const Extents& extents, const std::vector<float>& values);
  Captures& add(const std::string& name, const Extents& extents, const std::vector<std::int32_t>& values);
  Captures& add(const std::string& name, const Extents& extents, const std::vector<std::int64_t>& values);
  Captures& add(const std::string& name, const Extents& extents, const std::vector<bool>& values);
  // Elements already encoded as `dtype`.
  Captures& add_bytes(const std::string& name, DType dtype, const Extents& extents, const std::vector<unsigned char>& bytes);
  Captures& set(const std::string& name, Scalar value);

  const Bindings& bindings() const { return bindings_; }
  Bindings& bindings() { return bindings_; }

 private:
  Bindings bindings_;
  std::vector<std::shared_ptr<std::vector<unsigned char>>> storage_;
};

// Dense q, k, v and out of one shape. `out` and `lse` start as NaN, so an element that a run forgets is seen.
struct Tensors {
  explicit Tensors(const Shape& shape_of_all, std::uint64_t seed = 1);
  RunArgs args(const Bindings* bindings = nullptr);
  void poison_outputs();

  Shape shape;
  std::vector<float> q, k, v, out, lse;
};

// One compiled-backend engine a target for the whole process, so that patterns share its kernel cache.
Engine& engine_for(std::string_view target);
// "host" and those of "x86-64-v4", "x86-64-v3", "x86-64" that this machine executes and that differ from each other.
std::vector<std::string> targets_here();

AttentionSpec spec_of(std::string_view program, const Shape& shape);
// Compiles, or fails the test with the rendered diagnostics and throws.
Attention compile_or_throw(Engine& engine, const AttentionSpec& spec);

struct Tolerance {
  double value = 1e-5;
};
// The worst element of `actual` against `expected`, as a sentence; AssertionSuccess when every element is within the tolerance.
// Equal infinities agree; NaN agrees with NaN only.
testing::AssertionResult agrees(const std::vector<float>& actual, const std::vector<float>& expected, double absolute,
                                double relative);
testing::AssertionResult outputs_agree(const Tensors& actual, const Tensors& expected, Tolerance tolerance = {});
// Bit for bit, lse included.
testing::AssertionResult outputs_identical(const Tensors& actual, const Tensors& expected);

// Runs `spec` on every target of this machine and compares each with one reference run.
void expect_matches_reference(const AttentionSpec& spec, const Shape& shape, const Bindings* bindings,
                              Tolerance tolerance = {});

}  // namespace flexjit::conformance
