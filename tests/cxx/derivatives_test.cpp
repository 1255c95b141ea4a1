// Gradients of captured numbers through C++ mods at the places where derivatives go wrong, and what may be captured at all (D13
// to D15 of the notes on C++ mods). Kernels and the reference, which share no code, must both have the value that is known by
// hand.
#include <gtest/gtest.h>

#include "flexjit/backward.h"
#include "mods.h"

namespace flexjit::cxx_test {
namespace {

// The derivative by x[0] and x[1] of the sum of what one query makes of two keys, where the first score has `expression` added
// to it: what it is by the expression itself, times the same factor for all expressions of one value.
struct Slopes {
  float first, second;
  bool operator==(const Slopes&) const = default;
};

Slopes slopes_of(const std::string& statements, std::vector<float> x, Backend backend, Bindings bindings = {}) {
  const std::string program =
      "float score_mod(float score, int kv_idx, const float (&x)[2], float p = 1, bool c = true) {\n"
      "  if (kv_idx > 0) return score;\n" +
      statements + "\n}\n";
  EngineOptions options;
  options.backend = backend;
  Engine engine(options);
  const Attention attention = engine.compile(cxx_spec(program)).value();
  bindings.buffers["x"] = TensorView(x.data(), DType::kF32, {2});
  const std::vector<float> q = {0.0F}, k = {0.5F, -0.25F}, v = {1.0F, -1.0F}, d_out = {1.0F};
  std::vector<float> out(1), lse(1), dx(2, -7.0F);
  const RunArgs args{.q = TensorView(q.data(), DType::kF32, {1, 1, 1, 1}),
                     .k = TensorView(k.data(), DType::kF32, {1, 1, 2, 1}),
                     .v = TensorView(v.data(), DType::kF32, {1, 1, 2, 1}),
                     .out = MutableTensorView(out.data(), DType::kF32, {1, 1, 1, 1}),
                     .lse = MutableTensorView(lse.data(), DType::kF32, {1, 1, 1}),
                     .bindings = &bindings};
  attention.run(args).value();
  Gradients gradients;
  gradients.out = TensorView(d_out.data(), DType::kF32, {1, 1, 1, 1});
  gradients.buffers["x"] = MutableTensorView(dx.data(), DType::kF32, {2});
  run_backward(attention, args, gradients).value();
  return {dx[0], dx[1]};
}

class Derivatives : public ::testing::TestWithParam<Backend> {};

// Where the expression is 0 both scores are 0, both weights a half, and the factor is a half: dS' = P (dP - delta) = 1/2 (1 -
// 0).
constexpr float kFactor = 0.5F;

TEST_P(Derivatives, D13PowersAtTheirEdges) {
  EXPECT_EQ(slopes_of("return score + std::pow(x[0], 1.0f);", {0, 0}, GetParam()).first, kFactor);
  EXPECT_EQ(slopes_of("return score + std::pow(x[0], 2.0f);", {0, 0}, GetParam()).first, 0.0F);
  EXPECT_EQ(slopes_of("return score + std::pow(x[0], 0.0f) - 1;", {0, 0}, GetParam()).first, 0.0F);
  for (const double power : {1.0, 2.0, 3.0}) {  // bound at run or written: the same
    Bindings bindings;
    bindings.params["p"] = power;
    const std::string literal = "return score + std::pow(x[0], " + std::to_string(power) + "f) - x[0];";
    for (const float x : {0.0F, 1.0F}) {
      EXPECT_EQ(slopes_of("return score + std::pow(x[0], p) - x[0];", {x, 0}, GetParam(), bindings),
                slopes_of(literal, {x, 0}, GetParam()))
          << power << " at " << x;
    }
  }
}

TEST_P(Derivatives, D13BranchesThatAreConstantLeaveTheOtherOne) {
  const Slopes line = slopes_of("return score + x[0];", {1, 0}, GetParam());
  EXPECT_GT(line.first, 0.0F);
  EXPECT_EQ(slopes_of("return score + (x[0] >= 0 ? x[0] : 0);", {1, 0}, GetParam()), line);
  EXPECT_EQ(slopes_of("if (x[0] < 0) return score; return score + x[0];", {1, 0}, GetParam()), line);
  // Not taken, so that its infinite slope does not count.
  EXPECT_EQ(slopes_of("return score + (x[0] > 0 ? std::sqrt(x[0]) : 0);", {0, 0}, GetParam()).first, 0.0F);
  EXPECT_EQ(slopes_of("float r = x[1]; if (x[0] != 0) r = x[1] / x[0]; return score + r;", {0, 0}, GetParam()),
            (Slopes{0.0F, kFactor}));
}

TEST_P(Derivatives, D14EachSideHasItsOwn) {
  // 2 a and 2 b are 0.5 and 0.25, the squares 1/16 and 1/64; taken away again, so that the factor stays what it is.
  const std::string body =
      "float a = x[0], b = x[1];\n"
      "float r = c ? a * a - 0.0625f : b * b - 0.015625f;\n"
      "b = 7; a = b;\n"
      "return score + r;";
  for (const bool c : {true, false}) {
    Bindings bindings;
    bindings.params["c"] = c;
    const Slopes expected = c ? Slopes{0.5F * kFactor, 0} : Slopes{0, 0.25F * kFactor};
    EXPECT_EQ(slopes_of(body, {0.25F, 0.125F}, GetParam(), bindings), expected);
  }
  const std::string statements =
      "float a = x[0], b = x[1], r = 0;\n"
      "if (c) { r = a * a - 0.0625f; a = 3; } else { r = b * b - 0.015625f; b = a; }\n"
      "return score + r;";
  for (const bool c : {true, false}) {
    Bindings bindings;
    bindings.params["c"] = c;
    const Slopes expected = c ? Slopes{0.5F * kFactor, 0} : Slopes{0, 0.25F * kFactor};
    EXPECT_EQ(slopes_of(statements, {0.25F, 0.125F}, GetParam(), bindings), expected);
  }
}

INSTANTIATE_TEST_SUITE_P(Backends, Derivatives, ::testing::Values(Backend::kCompiled, Backend::kReference),
                         [](const auto& one) { return one.param == Backend::kCompiled ? "Kernels" : "Reference"; });

// What a mod captures is numbers of a declared type: no layout of a struct is left to two compilers.
TEST(Captures, D15StructsAreRefusedAndElementsAreCompared) {
  const std::string structs =
      "template <class T> struct unique_ptr { T* p; };\nstruct Pair { int* to; float x; };\nstruct Owner { unique_ptr<int> a; "
      "int* b; };\n";
  for (const std::string parameter :
       {"Pair p", "const Pair& p", "const Pair* p", "std::span<const Pair> p", "const Pair (&p)[4]",
        "flexjit::Tensor<const Pair, 2> p", "Owner p", "const Owner& p", "int* const* p"}) {
    const Diagnostics found = check(cxx_spec(structs + "float score_mod(float score, " + parameter + ") { return score; }"));
    ASSERT_FALSE(found.empty()) << parameter;
    EXPECT_EQ(found.front().kind, "cxx-parameter") << render(found);
  }
  const std::string text = "float score_mod(float score, int kv_idx, const float* tab) { return score + tab[kv_idx]; }";
  const std::vector<double> wide(8);
  const std::vector<std::int32_t> ints(8);
  for (const TensorView& view : {TensorView(wide.data(), DType::kF64, {8}), TensorView(ints.data(), DType::kI32, {8})}) {
    Bindings bindings;
    bindings.buffers["tab"] = view;
    try {
      scores_of(text, {}, bindings);
      FAIL();
    } catch (const std::exception& error) {
      EXPECT_NE(std::string(error.what()).find("`tab`"), std::string::npos) << error.what();
    }
  }
}

}  // namespace
}  // namespace flexjit::cxx_test
