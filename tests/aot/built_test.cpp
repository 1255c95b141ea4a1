// Built patterns through their C functions: the bits of the engine that compiles for the same target, and the values of the
// naive fp64 reference, for tiles and for few query rows.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <thread>

#include "aot/built_calls.h"
#include "patterns.f32.h"

namespace flexjit::aot_test {
namespace {

class Built : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    if (!can_run(GetParam())) GTEST_SKIP() << "this machine cannot execute " << GetParam();
  }

  template <typename Args>
  void expect_as_compiled(const std::string& pattern, const Types& types) {
    const Library library(library_of(GetParam(), types));
    const BuiltFunctions<Args> functions(library, pattern);
    const Attention jit = conformance::compile_or_throw(conformance::engine_for(GetParam()), spec_of(pattern, types));
    EXPECT_EQ(jit.target(), GetParam());
    for (const Shape& shape : shapes()) {
      SCOPED_TRACE(pattern + " " + to_string(shape));
      const Captures captures = captures_for(pattern, shape);
      Problem built(shape, types), compiled(shape, types), reference(shape, types);
      const Args args = args_of(functions, built, captures.bindings());
      flexjit_error* error = nullptr;
      ASSERT_EQ(functions.run(&args, &error), FLEXJIT_OK) << flexjit_error_message(error);
      jit.run(compiled.args(&captures.bindings())).value();
      EXPECT_TRUE(outputs_identical(built, compiled));
      jit.run_reference(reference.args(&captures.bindings())).value();
      EXPECT_TRUE(outputs_agree(built, reference, {types.q == DType::kF32 ? 1e-5 : 3e-2}));
    }
  }
};

TEST_P(Built, PlainAttention) {
  expect_as_compiled<plain_args>("plain", kF32);
  expect_as_compiled<plain_args>("plain", kBF16);
}

TEST_P(Built, BuffersAndParams) {
  expect_as_compiled<biased_args>("biased", kF32);
  expect_as_compiled<biased_args>("biased", kBF16);
}

TEST_P(Built, MasksThatReadBuffers) {
  expect_as_compiled<documents_args>("documents", kF32);
  expect_as_compiled<documents_args>("documents", kBF16);
}

TEST_P(Built, TheHandleSaysWhatItIs) {
  const Library library(library_of(GetParam(), kF32));
  const BuiltFunctions<biased_args> functions(library, "biased");
  flexjit_attention* attention = nullptr;
  flexjit_error* error = nullptr;
  ASSERT_EQ(functions.attention(&attention, &error), FLEXJIT_OK) << flexjit_error_message(error);
  EXPECT_EQ(flexjit_attention_target(attention), GetParam());
  EXPECT_EQ(flexjit_attention_kernel_source(attention), FLEXJIT_SOURCE_BUILT);
  EXPECT_EQ(flexjit_attention_compile_ms(attention), 0.0);
  flexjit_attention_destroy(attention);
}

INSTANTIATE_TEST_SUITE_P(Targets, Built, testing::ValuesIn(targets()), [](const auto& tested) {
  std::string name = tested.param;
  std::ranges::replace(name, '-', '_');
  return name;
});

// With the first library that this machine executes.
class BuiltCalls : public testing::Test {
 protected:
  static std::string best() {
    const std::vector<std::string> all = targets();
    return *std::ranges::find_if(all, can_run);
  }

  flexjit_status run(const biased_args& args) {
    flexjit_error* error = nullptr;
    const flexjit_status status = functions_.run(&args, &error);
    kind_ = kind_of(error);
    return status;
  }

  const Shape shape_ = shapes().front();
  const Captures captures_ = captures_for("biased", shape_);
  Problem tensors_{shape_, kF32};
  const Library library_{library_of(best(), kF32)};
  const BuiltFunctions<biased_args> functions_{library_, "biased"};
  std::string kind_;
};

TEST_F(BuiltCalls, InitGivesDefaults) {
  biased_args args;
  functions_.args_init(&args);
  EXPECT_EQ(args.param_window, 40);
  EXPECT_EQ(args.param_two_sided, 0);
  EXPECT_EQ(args.threads, 0);
  EXPECT_EQ(args.buffer_slope.data, nullptr);
  EXPECT_EQ(args.struct_size, sizeof(args));
}

TEST_F(BuiltCalls, ReportsWhatIsNotGiven) {
  biased_args args = args_of(functions_, tensors_, captures_.bindings());
  args.has_param_strength = 0;
  EXPECT_EQ(run(args), FLEXJIT_INVALID);
  EXPECT_EQ(kind_, "missing-binding");
  args = args_of(functions_, tensors_, captures_.bindings());
  args.buffer_table = {};
  EXPECT_EQ(run(args), FLEXJIT_INVALID);
  EXPECT_EQ(kind_, "missing-binding");
  args = args_of(functions_, tensors_, captures_.bindings());
  args.q.shape[3] = kHeadDim + 1;
  EXPECT_EQ(run(args), FLEXJIT_INVALID);
  EXPECT_EQ(kind_, "tensor-shape");
}

TEST_F(BuiltCalls, ReportsAnotherHeadersStruct) {
  biased_args args = args_of(functions_, tensors_, captures_.bindings());
  args.struct_size -= 8;
  EXPECT_EQ(run(args), FLEXJIT_INVALID);
  EXPECT_EQ(kind_, "struct-size");
  args = args_of(functions_, tensors_, captures_.bindings());
  args.threads = -1;
  EXPECT_EQ(run(args), FLEXJIT_INVALID);
  EXPECT_EQ(kind_, "bad-option");
  EXPECT_EQ(functions_.run(nullptr, nullptr), FLEXJIT_INVALID);
}

TEST_F(BuiltCalls, AReadOutsideItsBufferIsReported) {
  const std::vector<float> few(shape_.q_heads * 2);
  biased_args args = args_of(functions_, tensors_, captures_.bindings());
  args.buffer_table = c_tensor(TensorView(few.data(), DType::kF32, {shape_.q_heads, 2}));
  EXPECT_EQ(run(args), FLEXJIT_INVALID);
  EXPECT_EQ(kind_, "buffer-read");
}

TEST_F(BuiltCalls, FirstCallsFromManyThreadsAgree) {
  // A copy, which nothing has loaded yet.
  const std::string copy = testing::TempDir() + "/flexjit-built-copy.so";
  std::filesystem::copy_file(library_of(best(), kF32), copy, std::filesystem::copy_options::overwrite_existing);
  const Library library(copy);
  const BuiltFunctions<biased_args> functions(library, "biased");
  std::vector<Problem> results(4, tensors_);
  std::vector<std::thread> threads;
  std::vector<flexjit_status> status(results.size(), FLEXJIT_FAILED);
  for (std::size_t i = 0; i < results.size(); ++i) {
    threads.emplace_back([&, i] {
      biased_args args = args_of(functions, results[i], captures_.bindings());
      args.threads = static_cast<std::int32_t>(i);
      status[i] = functions.run(&args, nullptr);
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (std::size_t i = 0; i < results.size(); ++i) {
    EXPECT_EQ(status[i], FLEXJIT_OK);
    EXPECT_TRUE(outputs_identical(results[i], results[0])) << i;
  }
  std::filesystem::remove(copy);
}

}  // namespace
}  // namespace flexjit::aot_test
