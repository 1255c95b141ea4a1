// Gradients by built libraries: the bits of the engine that compiles for the same target, whatever is wanted of what they have
// kernels for, and errors where they have none.
#include <gtest/gtest.h>

#include <algorithm>

#include "aot/built_calls.h"
#include "patterns.f32.h"
#include "support/gradients.h"

namespace flexjit::aot_test {
namespace {

using test::BackwardProblem;

template <typename Args, typename Given>
struct BackwardFunctions : BuiltFunctions<Args> {
  BackwardFunctions(const Library& library, const std::string& name)
      : BuiltFunctions<Args>(library, name),
        gradients_init(library.find<void (*)(Given*)>(name + "_gradients_init")),
        run_backward(library.find<flexjit_status (*)(const Args*, const Given*, flexjit_error**)>(name + "_run_backward")) {}

  void (*gradients_init)(Given*);
  flexjit_status (*run_backward)(const Args*, const Given*, flexjit_error**);
};

template <typename Given>
Given given_of(void (*init)(Given*), const Gradients& gradients) {
  Given given;
  std::memset(&given, 0xa5, sizeof(given));
  init(&given);
  given.out = c_tensor(gradients.out);
  given.lse = c_tensor(gradients.lse);
  given.q = c_tensor(gradients.q);
  given.k = c_tensor(gradients.k);
  given.v = c_tensor(gradients.v);
  if constexpr (requires { given.buffer_slope; }) {
    const auto set = [&](const char* name, flexjit_tensor& to) {
      if (const auto found = gradients.buffers.find(name); found != gradients.buffers.end()) to = c_tensor(found->second);
    };
    set("slope", given.buffer_slope);
    set("table", given.buffer_table);
  }
  return given;
}

bool same(const BackwardProblem& a, const BackwardProblem& b) {
  const test::GradientValues x = test::gradients_of(a), y = test::gradients_of(b);
  return x.q == y.q && x.k == y.k && x.v == y.v && x.buffers == y.buffers;
}

class BuiltBackward : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    if (!can_run(GetParam())) GTEST_SKIP() << "this machine cannot execute " << GetParam();
  }

  template <typename Args, typename Given>
  void expect_as_compiled(const std::string& pattern, const std::vector<std::string>& buffers) {
    const Library library(library_of(GetParam(), kF32));
    const BackwardFunctions<Args, Given> functions(library, pattern);
    const Attention jit = conformance::compile_or_throw(conformance::engine_for(GetParam()), spec_of(pattern, kF32));
    for (const Shape& shape : shapes()) {
      SCOPED_TRACE(pattern + " " + to_string(shape));
      const Captures captures = captures_for(pattern, shape);
      BackwardProblem built(shape, kF32), compiled(shape, kF32);
      for (BackwardProblem* problem : {&built, &compiled}) {
        for (const std::string& buffer : buffers) {
          const TensorView& view = captures.bindings().buffers.at(buffer);
          problem->want_buffer(buffer, {view.shape.begin(), view.shape.begin() + view.rank});
        }
      }
      const Args args = args_of(functions, built.forward, captures.bindings());
      const Given given = given_of<Given>(functions.gradients_init, built.gradients());
      flexjit_error* error = nullptr;
      ASSERT_EQ(functions.run(&args, &error), FLEXJIT_OK) << flexjit_error_message(error);
      ASSERT_EQ(functions.run_backward(&args, &given, &error), FLEXJIT_OK) << flexjit_error_message(error);
      const RunArgs forward = compiled.args(&captures.bindings());
      jit.run(forward).value();
      run_backward(jit, forward, compiled.gradients()).value();
      EXPECT_TRUE(same(built, compiled));
    }
  }
};

TEST_P(BuiltBackward, PlainAttention) { expect_as_compiled<plain_args, plain_gradients>("plain", {}); }

TEST_P(BuiltBackward, CapturedBuffers) {
  using List = std::vector<std::string>;
  for (const List& wanted : {List{}, List{"slope"}, List{"table"}, List{"slope", "table"}})
    expect_as_compiled<biased_args, biased_gradients>("biased", wanted);
}

TEST_P(BuiltBackward, WhatNoScoreReadsHasNoField) { expect_as_compiled<documents_args, documents_gradients>("documents", {}); }

// The error's kind of a backward pass on a handle of `library`; "" for none.
std::string kind_of_backward(const std::string& library, const Types& types, const Shape& shape) {
  const Library loaded(library);
  const BuiltFunctions<plain_args> functions(loaded, "plain");
  flexjit_attention* attention = nullptr;
  EXPECT_EQ(functions.attention(&attention, nullptr), FLEXJIT_OK);
  BackwardProblem problem(shape, types);
  const RunArgs forward = problem.args();
  const Gradients wanted = problem.gradients();
  flexjit_run_args args;
  flexjit_run_args_init(&args);
  args.q = c_tensor(forward.q);
  args.k = c_tensor(forward.k);
  args.v = c_tensor(forward.v);
  args.out = c_tensor(forward.out);
  args.lse = c_tensor(forward.lse);
  flexjit_gradients gradients;
  flexjit_gradients_init(&gradients);
  gradients.out = c_tensor(wanted.out);
  gradients.q = c_tensor(wanted.q);
  flexjit_error* error = nullptr;
  EXPECT_EQ(flexjit_attention_run(attention, &args, nullptr, &error), FLEXJIT_OK);
  flexjit_run_backward(attention, &args, &gradients, nullptr, &error);
  flexjit_attention_destroy(attention);
  return kind_of(error);
}

TEST_P(BuiltBackward, WithoutKernelsOfGradientsIsAnError) {
  std::vector<Shape> all = shapes();
  all.push_back(all.front());
  all.back().kv_len = 0;  // which takes no kernel
  for (const Shape& shape : all) {
    EXPECT_EQ(kind_of_backward(library_of(GetParam(), kF32), kF32, shape), "") << to_string(shape);
    EXPECT_EQ(kind_of_backward(library_of(GetParam(), kBF16), kBF16, shape), "built-backward") << to_string(shape);
  }
}

TEST_P(BuiltBackward, ReportsAnotherHeadersStruct) {
  const Library library(library_of(GetParam(), kF32));
  const BackwardFunctions<plain_args, plain_gradients> functions(library, "plain");
  BackwardProblem problem(shapes().front(), kF32);
  const plain_args args = args_of(functions, problem.forward, Bindings());
  plain_gradients given = given_of<plain_gradients>(functions.gradients_init, problem.gradients());
  EXPECT_EQ(given.struct_size, sizeof(given));
  given.struct_size += 8;
  flexjit_error* error = nullptr;
  EXPECT_EQ(functions.run_backward(&args, &given, &error), FLEXJIT_INVALID);
  EXPECT_EQ(kind_of(error), "struct-size");
  EXPECT_EQ(functions.run_backward(&args, nullptr, nullptr), FLEXJIT_INVALID);
}

INSTANTIATE_TEST_SUITE_P(Targets, BuiltBackward, testing::ValuesIn(targets()), [](const auto& tested) {
  std::string name = tested.param;
  std::ranges::replace(name, '-', '_');
  return name;
});

}  // namespace
}  // namespace flexjit::aot_test
