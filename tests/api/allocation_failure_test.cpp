// Every call of the C interface with its n-th allocation refused, once or from then on: an error or success, never the end of
// the process; nothing is lost, and the same call works afterwards. FLEXJIT_ALLOCATION_STEP=1 tries every n up to 2000 where
// compiling otherwise tries some.
#include <gtest/gtest.h>

#include <cstdlib>
#include <functional>
#include <vector>

#include "failing_allocator.h"
#include "flexjit/c_api.h"
#include "flexjit/c_tools.h"

namespace flexjit::test {
namespace {

constexpr long kLast = 2000;

long step_of_compiling() {
  const char* given = std::getenv("FLEXJIT_ALLOCATION_STEP");
  return given != nullptr ? std::atol(given) : 149;
}

struct Tensors {
  static constexpr std::int64_t kHeads = 2, kLength = 150, kDim = 16;
  std::vector<float> q = std::vector<float>(kHeads * kLength * kDim, 0.5F), out = q;
  std::vector<std::int32_t> document = std::vector<std::int32_t>(kLength, 1);

  flexjit_run_args args(std::int64_t q_len, flexjit_buffer& buffer) {
    const std::int64_t queries[] = {1, kHeads, q_len, kDim}, keys[] = {1, kHeads, kLength, kDim}, length = kLength;
    flexjit_run_args args;
    flexjit_run_args_init(&args);
    args.q = flexjit_dense_tensor(q.data(), FLEXJIT_F32, 4, queries);
    args.k = args.v = flexjit_dense_tensor(q.data(), FLEXJIT_F32, 4, keys);
    args.out = flexjit_dense_tensor(out.data(), FLEXJIT_F32, 4, queries);
    buffer = {"document", flexjit_dense_tensor(document.data(), FLEXJIT_I32, 1, &length)};
    args.bindings.buffers = &buffer;
    args.bindings.buffer_count = 1;
    return args;
  }
};

flexjit_engine* new_engine(std::int32_t threads = 1) {
  flexjit_engine_options options;
  flexjit_engine_options_init(&options);
  options.threads = threads;
  options.cache_dir = "";
  flexjit_engine* engine = nullptr;
  EXPECT_EQ(flexjit_engine_create(&options, &engine, nullptr), FLEXJIT_OK);
  return engine;
}

flexjit_status compile(flexjit_engine* engine, flexjit_attention** attention, flexjit_error** error) {
  flexjit_spec spec;
  flexjit_spec_init(&spec);
  spec.program = "buffer document : i32[?]\nscore = score * 1.5\nmask = document[q_idx] == document[kv_idx] && q_idx >= kv_idx";
  spec.head_dim = Tensors::kDim;
  return flexjit_compile(engine, &spec, attention, error);
}

using Call = std::function<flexjit_status(flexjit_error**)>;

// The call with its n-th allocation refused; whether it asked for as many.
bool try_call(const Call& call, long n, Failing failing) {
  flexjit_error* error = nullptr;
  fail_allocation(n, failing);
  const flexjit_status status = call(&error);
  const std::size_t findings = flexjit_error_count(error);
  const char* kind = flexjit_error_kind(error, 0);
  const bool reached = stop_failing() >= n;
  EXPECT_EQ(status == FLEXJIT_OK, error == nullptr) << n;
  if (status != FLEXJIT_OK) {
    EXPECT_EQ(status, FLEXJIT_FAILED) << n << ": " << flexjit_error_message(error);
    EXPECT_EQ(findings, 1U);
    EXPECT_NE(kind, nullptr);
  }
  flexjit_error_free(error);
  return reached;
}

void expect_works(const Call& call) {
  flexjit_error* error = nullptr;
  EXPECT_EQ(call(&error), FLEXJIT_OK) << flexjit_error_message(error);
  flexjit_error_free(error);
}

// `call`, each time after prepare(), leaves nothing behind but what a first call may keep. Every step-th n, so far as the call
// asks for as many allocations.
void sweep(const Call& call, long step = 1, const std::function<void()>& prepare = [] {}, long may_keep = 40) {
  prepare();
  expect_works(call);
  for (const Failing failing : {Failing::kOne, Failing::kAllFrom}) {
    const long before = live_blocks();
    long tried = 0;
    for (long n = 1; n <= kLast; n += step, ++tried) {
      prepare();
      if (!try_call(call, n, failing)) break;
    }
    EXPECT_GT(tried, 0);
    expect_works(call);
    EXPECT_LE(live_blocks() - before, may_keep) << tried << " failures";
  }
}

flexjit_status run(flexjit_attention* attention, Tensors& tensors, std::int64_t q_len, flexjit_error** error) {
  flexjit_buffer buffer;
  const flexjit_run_args args = tensors.args(q_len, buffer);
  return flexjit_attention_run(attention, &args, nullptr, error);
}

// The compiler library is opened by the first compilation of a process, so each n has one of its own.
TEST(AllocationFailure, FirstCompileOfAProcess) {
  const auto first_compile = [](long n, Failing failing) {
    fail_allocation(n, failing);
    flexjit_engine_options options;
    flexjit_engine_options_init(&options);
    options.cache_dir = "";
    flexjit_engine* engine = nullptr;
    flexjit_attention* attention = nullptr;
    flexjit_status status = flexjit_engine_create(&options, &engine, nullptr);
    if (status == FLEXJIT_OK) status = compile(engine, &attention, nullptr);
    stop_failing();
    if (status == FLEXJIT_INVALID) return 1;
    if (engine == nullptr) engine = new_engine();
    flexjit_attention* again = nullptr;
    return compile(engine, &again, nullptr) == FLEXJIT_OK ? 0 : 2;
  };
  for (const Failing failing : {Failing::kOne, Failing::kAllFrom}) {
    for (const long n : {1L, 60L, 300L, 700L, 1100L, 2000L, 8000L}) {
      EXPECT_EXIT(std::_Exit(first_compile(n, failing)), ::testing::ExitedWithCode(0), "") << n;
    }
  }
}

TEST(AllocationFailure, EngineAndCompile) {
  sweep(
      [](flexjit_error** error) {
        flexjit_engine* engine = nullptr;
        flexjit_attention* attention = nullptr;
        flexjit_engine_options options;
        flexjit_engine_options_init(&options);
        options.cache_dir = "";
        flexjit_status status = flexjit_engine_create(&options, &engine, error);
        if (status == FLEXJIT_OK) status = compile(engine, &attention, error);
        flexjit_attention_destroy(attention);
        flexjit_engine_destroy(engine);
        return status;
      },
      step_of_compiling());
}

TEST(AllocationFailure, RunAndDecodeOnOneThreadAndOnSeveral) {
  for (const std::int32_t threads : {1, 2, 3}) {
    flexjit_engine* engine = new_engine(threads);
    flexjit_attention* attention = nullptr;
    ASSERT_EQ(compile(engine, &attention, nullptr), FLEXJIT_OK);
    Tensors tensors;
    for (const std::int64_t q_len : {Tensors::kLength, std::int64_t{1}}) {
      sweep([&](flexjit_error** error) { return run(attention, tensors, q_len, error); });
    }
    flexjit_attention_destroy(attention);
    flexjit_engine_destroy(engine);
  }
}

// The kernel for few query rows is compiled at the first call that takes it.
TEST(AllocationFailure, FirstDecode) {
  Tensors tensors;
  flexjit_engine* engine = nullptr;
  flexjit_attention* attention = nullptr;
  const auto destroy = [&] {
    flexjit_attention_destroy(attention);
    flexjit_engine_destroy(engine);
  };
  const auto prepare = [&] {
    destroy();
    engine = new_engine();
    EXPECT_EQ(compile(engine, &attention, nullptr), FLEXJIT_OK);
  };
  const Call decode = [&](flexjit_error** error) { return run(attention, tensors, 1, error); };
  sweep(decode, 2 * step_of_compiling(), prepare);
  destroy();
}

// Views are nested JSON values, whose destructors are met on the way out of a failure. A constructor of theirs that fails loses
// what it has made so far (nlohmann-json 3.11), some blocks each time.
TEST(AllocationFailure, ViewsOfTheInspector) {
  sweep(
      [](flexjit_error** error) {
        flexjit_spec spec;
        flexjit_spec_init(&spec);
        spec.program = "param w : int = 9\nlet d = q_idx - kv_idx\nscore = score * 1.5 - 0.1 * abs(d)\nmask = d >= 0 && d < w";
        spec.head_dim = Tensors::kDim;
        flexjit_inspect_request request;
        flexjit_inspect_request_init(&request);
        const char* views[] = {"source", "ast", "simplified", "intervals", "plan", "nest"};
        request.views = views;
        request.view_count = 6;
        flexjit_inspection* found = nullptr;
        const flexjit_status status = flexjit_inspect(&spec, nullptr, &request, &found, error);
        flexjit_inspection_destroy(found);
        return status;
      },
      7, [] {}, 4000);
}

TEST(AllocationFailure, Masks) {
  flexjit_engine* engine = new_engine();
  flexjit_attention* attention = nullptr;
  ASSERT_EQ(compile(engine, &attention, nullptr), FLEXJIT_OK);
  Tensors tensors;
  sweep([&](flexjit_error** error) {
    flexjit_buffer buffer;
    const flexjit_run_args args = tensors.args(Tensors::kLength, buffer);
    flexjit_block_mask_options options;
    flexjit_block_mask_options_init(&options);
    options.q_len = options.kv_len = Tensors::kLength;
    options.q_block = options.kv_block = 16;
    flexjit_block_mask *mask = nullptr, *turned = nullptr, *both = nullptr, *read = nullptr;
    flexjit_blob *bytes = nullptr, *picture = nullptr;
    flexjit_status status = flexjit_block_mask_create(attention, &options, &args.bindings, &mask, error);
    if (status == FLEXJIT_OK) status = flexjit_block_mask_transpose(mask, &turned, error);
    if (status == FLEXJIT_OK) status = flexjit_block_mask_intersect(mask, turned, &both, error);
    if (status == FLEXJIT_OK) status = flexjit_block_mask_to_bytes(both, &bytes, error);
    if (status == FLEXJIT_OK) {
      status = flexjit_block_mask_from_bytes(flexjit_blob_data(bytes), flexjit_blob_size(bytes), &read, error);
    }
    if (status == FLEXJIT_OK) status = flexjit_block_mask_to_string(read, 0, 0, 64, &picture, error);
    for (flexjit_block_mask* one : {mask, turned, both, read}) flexjit_block_mask_destroy(one);
    for (flexjit_blob* one : {bytes, picture}) flexjit_blob_destroy(one);
    return status;
  });
  flexjit_attention_destroy(attention);
  flexjit_engine_destroy(engine);
}

}  // namespace
}  // namespace flexjit::test
