// What the public headers do not let a caller do by accident: overflow a view, keep a reference into a temporary, use an empty
// handle.
#include <gtest/gtest.h>

#include <concepts>
#include <cstdint>
#include <limits>
#include <memory>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "flexjit/anatomy.h"
#include "flexjit/build.h"
#include "flexjit/c_api.h"
#include "flexjit/flexjit.h"
#include "flexjit/inspect.h"
#include "flexjit/vocabulary.h"

namespace flexjit {
namespace {

constexpr std::int64_t kHuge = std::numeric_limits<std::int64_t>::max();

AttentionSpec causal(std::int32_t head_dim = 8) {
  AttentionSpec spec;
  spec.mask_mod = "q_idx >= kv_idx";
  spec.head_dim = head_dim;
  return spec;
}

AttentionSpec wrong() {
  AttentionSpec spec;
  spec.score_mod = "score + kv_ix";
  return spec;
}

struct Sample {
  std::vector<float> x = std::vector<float>(2 * 6 * 8, 0.5F), out = x;
  TensorView in{x.data(), DType::kF32, {1, 2, 6, 8}};
  RunArgs args{.q = in, .k = in, .v = in, .out = MutableTensorView(out.data(), DType::kF32, {1, 2, 6, 8})};
};

template <typename T>
std::string kind_of(const Result<T>& result) {
  return result.has_value() ? "none" : result.diagnostics().at(0).kind;
}

// As long as the value is on the heap, ASan sees a read of one that is gone; without it, the allocator's own marks mostly do.
TEST(SafeHeaders, FindingsOfATemporaryResultOutliveIt) {
  Engine engine({.backend = Backend::kReference});
  int seen = 0;
  for (const Diagnostic& found : engine.compile(wrong()).diagnostics()) {
    EXPECT_EQ(found.kind, "unknown-name");
    ++seen;
  }
  EXPECT_EQ(seen, 1);
  const auto& value = find_preset("causal").value();
  EXPECT_EQ(value.name, "causal");
  const auto& dereferenced = *not_mask("q_idx >= kv_idx && kv_idx % 3 == 1");
  EXPECT_EQ(dereferenced, "!(q_idx >= kv_idx && kv_idx % 3 == 1)");
  for (const Diagnostic& found : Error(engine.compile(wrong()).diagnostics()).diagnostics())
    EXPECT_EQ(found.kind, "unknown-name");
}

// Nothing that a temporary gives refers into it.
static_assert(std::same_as<decltype(std::declval<Result<std::string>>().value()), std::string>);
static_assert(std::same_as<decltype(std::declval<const Result<std::string>>().value()), std::string>);
static_assert(std::same_as<decltype(*std::declval<Result<std::string>>()), std::string>);
static_assert(std::same_as<decltype(std::declval<Result<std::string>>().diagnostics()), Diagnostics>);
static_assert(std::same_as<decltype(std::declval<Error>().diagnostics()), Diagnostics>);
static_assert(std::same_as<decltype(std::declval<Engine>().options()), EngineOptions>);
static_assert(std::same_as<decltype(std::declval<BlockMask>().shape()), BlockMaskShape>);
static_assert(std::same_as<decltype(std::declval<Attention>().warnings()), Diagnostics>);
static_assert(std::same_as<decltype(AttentionSpec().declare(Bindings())), AttentionSpec>);

template <typename Mask>
concept GivesSpans = requires(Mask mask) {
  std::forward<Mask>(mask).kv_num_blocks();
  std::forward<Mask>(mask).full_kv_num_blocks();
  std::forward<Mask>(mask).kv_indices(0, 0, 0);
  std::forward<Mask>(mask).full_kv_indices(0, 0, 0);
};
template <typename Mask>
concept GivesASpan = requires(Mask mask) { std::forward<Mask>(mask).kv_num_blocks(); } ||
                     requires(Mask mask) { std::forward<Mask>(mask).full_kv_num_blocks(); } ||
                     requires(Mask mask) { std::forward<Mask>(mask).kv_indices(0, 0, 0); } ||
                     requires(Mask mask) { std::forward<Mask>(mask).full_kv_indices(0, 0, 0); };
static_assert(GivesSpans<BlockMask&> && GivesSpans<const BlockMask&> && !GivesASpan<BlockMask> && !GivesASpan<const BlockMask>);

// Argument structs take what lives on.
template <typename From>
constexpr bool kBorrowable = std::convertible_to<From, Borrowed<std::int32_t>>;
static_assert(kBorrowable<std::vector<std::int32_t>&> && kBorrowable<const std::vector<std::int32_t>&>);
static_assert(kBorrowable<std::span<const std::int32_t>> && kBorrowable<std::int32_t (&)[3]> &&
              kBorrowable<Borrowed<std::int32_t>>);
static_assert(!kBorrowable<std::vector<std::int32_t>> && !kBorrowable<std::array<std::int32_t, 3>>);

TEST(SafeHeaders, AViewOfTooManyDimensionsIsRefused) {
  const float x = 0;
  const TensorView six(&x, DType::kF32, {1, 2, 3, 4, 5, 6});
  EXPECT_EQ(six.rank, 6);
  EXPECT_EQ(six.shape, (std::array<std::int64_t, 4>{1, 2, 3, 4}));
  const std::vector<std::int64_t> many(1000, 1);
  Sample sample;
  const Attention attention = Engine({.backend = Backend::kReference}).compile(causal()).value();
  for (const TensorView& view : {six, TensorView(&x, DType::kF32, std::span(many)), TensorView(&x, DType::kF32, {})}) {
    RunArgs args = sample.args;
    args.q = view;
    EXPECT_EQ(kind_of(attention.run(args)), "tensor-rank") << view.rank;
  }
}

TEST(SafeHeaders, AViewOfTooManyDimensionsIsRefusedWhereverItGoes) {
  const float x = 0;
  const TensorView six(&x, DType::kF32, {1, 1, 1, 1, 1, 1});
  MutableTensorView wide = MutableTensorView(const_cast<float*>(&x), DType::kF32, {1, 1, 1, 1, 1, 1});
  Sample sample;
  Bindings bindings;
  bindings.buffers["bias"] = six;
  AttentionSpec spec = causal();
  spec.score_mod = "score + bias[0]";
  spec.buffers = {{.name = "bias", .dtype = DType::kF32, .rank = 1}};
  const Attention attention = Engine({.backend = Backend::kReference}).compile(spec).value();
  sample.args.bindings = &bindings;
  EXPECT_EQ(kind_of(attention.run(sample.args)), "binding-rank");
  EXPECT_EQ(kind_of(attention.create_block_mask({.q_len = 6, .kv_len = 6}, &bindings)), "binding-rank");
  AttentionSpec declared = causal();
  declared.score_mod = "score + bias[0]";
  declared.declare(bindings);
  EXPECT_FALSE(Engine({.backend = Backend::kReference}).compile(declared).has_value()) << "a buffer of rank 6";
  const std::vector<AttentionState> states{{six, six}};
  EXPECT_EQ(kind_of(merge_states({.states = states, .out = wide})), "tensor-rank");
  EXPECT_EQ(kind_of(attend("", six, six, six)), "tensor-rank");
  InspectRequest request{.views = {InspectView::kRoofline}, .sizes = {.q_len = 6, .kv_len = 6}, .run = &sample.args};
  sample.args.k = six;
  EXPECT_FALSE(inspect(causal(), {}, request).has_value());
}

TEST(SafeHeaders, ExtentsThatOverflowAreRefused) {
  Sample sample;
  RunArgs args = sample.args;
  args.q = TensorView(sample.x.data(), DType::kF32, {kHuge, kHuge, kHuge, kHuge});
  const Attention attention = Engine({.backend = Backend::kReference}).compile(causal()).value();
  EXPECT_EQ(kind_of(attention.run(args)), "length-limit");
  args.q = bshd(sample.x.data(), DType::kF32, {kHuge, kHuge, kHuge, -kHuge});
  EXPECT_FALSE(attention.run(args).has_value());
}

TEST(SafeHeaders, AResultSaysWhatItHasNot) {
  const Result<int> fine = 3, failed = Diagnostic{.kind = "k", .source_name = {}, .snippet = {}, .message = "m"};
  EXPECT_TRUE(fine.diagnostics().empty());
  EXPECT_THROW(failed.value(), Error);
  EXPECT_THROW(*failed, Error);
  EXPECT_EQ(kind_of(Result<int>(Diagnostics{})), "out-of-memory") << "nothing could be said";
}

// Also those that something was moved out of.
TEST(SafeHeaders, EmptyHandlesAreFindings) {
  Sample sample;
  Attention moved = Engine({.backend = Backend::kReference}).compile(causal()).value();
  const Attention taken = std::move(moved);
  EXPECT_FALSE(taken.empty());
  EXPECT_TRUE(moved.empty());
  for (const Attention& empty : {Attention(), moved}) {
    const BlockMask mask;
    const BlockMaskOptions sizes{.q_len = 4, .kv_len = 4};
    EXPECT_EQ(kind_of(empty.run(sample.args)), "empty-handle");
    EXPECT_EQ(kind_of(empty.run_reference(sample.args)), "empty-handle");
    EXPECT_EQ(kind_of(empty.scores(sample.args, {})), "empty-handle");
    EXPECT_EQ(kind_of(empty.create_block_mask(sizes)), "empty-handle");
    EXPECT_EQ(kind_of(empty.extend_block_mask(mask, sizes)), "empty-handle");
    EXPECT_EQ(kind_of(empty.decide_block_mask(mask, sizes)), "empty-handle");
    EXPECT_EQ(kind_of(empty.count_allowed(sizes)), "empty-handle");
    EXPECT_EQ(kind_of(empty.mask_elements(sizes, {}, {0, 1}, {0, 1})), "empty-handle");
    EXPECT_EQ(empty.kernel_source(), KernelSource::kReference);
    EXPECT_EQ(empty.compile_ms(), 0);
    EXPECT_EQ(empty.target(), "");
    EXPECT_TRUE(empty.warnings().empty());
    EXPECT_TRUE(empty.buffers().empty() && empty.params().empty());
  }
  Engine engine;
  const Engine other = std::move(engine);
  EXPECT_EQ(kind_of(engine.compile(causal())), "empty-handle");
  EXPECT_EQ(engine.stats().compiles, 0);
  EXPECT_EQ(engine.options().target, "host");
  engine.clear_cache();
}

TEST(SafeHeaders, EmptyPoolsPlansAndPreparedMasksAreFindings) {
  PagePool pool = PagePool::create({.pages = 2, .kv_heads = 1, .head_dim = 8}).value();
  PagePool taken = std::move(pool);
  PageList pages;
  std::int32_t row = 0;
  EXPECT_EQ(pool.k().data, nullptr);
  EXPECT_EQ(pool.v().data, nullptr);
  EXPECT_EQ(pool.options().pages, 0);
  EXPECT_EQ(pool.free_pages(), 0);
  EXPECT_EQ(pool.owners(0), 0);
  EXPECT_EQ(kind_of(pool.make_room(pages, 0, 1)), "empty-handle");
  EXPECT_EQ(kind_of(pool.share(pages, 0)), "empty-handle");
  EXPECT_EQ(kind_of(pool.release(pages)), "empty-handle");
  EXPECT_TRUE(pool.write_row(pages, {&row, 1}));
  pool = std::move(taken);
  EXPECT_TRUE(pool.make_room(pages, 0, 1));

  Sample sample;
  Engine engine({.backend = Backend::kReference});
  const Attention attention = engine.compile(causal()).value();
  Plan plan = attention.plan(sample.args).value();
  const Plan of_plan = std::move(plan);
  for (const Plan& empty : {Plan(), plan}) {
    RunArgs args = sample.args;
    args.plan = &empty;
    EXPECT_EQ(kind_of(attention.run(args)), "empty-handle");
  }
  FlexFlashInfer prepared(engine);
  ASSERT_TRUE(prepared.prepare({.mask = "causal", .q_len = 6, .kv_len = 6, .num_qo_heads = 2, .head_dim = 8}));
  const FlexFlashInfer of_prepared = std::move(prepared);
  EXPECT_TRUE(of_prepared.bsr());
  for (const FlexFlashInfer& empty : {FlexFlashInfer(engine), prepared}) {
    EXPECT_EQ(kind_of(empty.run({})), "empty-handle");
    EXPECT_EQ(kind_of(empty.bsr()), "empty-handle");
    EXPECT_EQ(kind_of(empty.block_mask()), "empty-handle");
  }
}

TEST(SafeHeaders, AnEmptyBlockMaskHasNoBlocksAndServesNoCall) {
  Sample sample;
  const Attention attention = Engine({.backend = Backend::kReference}).compile(causal()).value();
  BlockMask full = attention.create_block_mask({.q_len = 6, .kv_len = 6}).value();
  const BlockMask taken = std::move(full);
  EXPECT_EQ(taken.counts().partial, 1);
  for (const BlockMask& empty : {BlockMask(), full}) {
    EXPECT_EQ(empty.shape(), BlockMaskShape());
    EXPECT_EQ(empty.counts().empty + empty.counts().partial + empty.counts().full, 0);
    EXPECT_EQ(empty.sparsity(), 0);
    EXPECT_EQ(empty.to_string(), "");
    EXPECT_TRUE(empty.to_dense().empty() && empty.kv_num_blocks().empty() && empty.kv_indices(0, 0, 0).empty());
    EXPECT_EQ(empty.transpose().shape(), BlockMaskShape());
    EXPECT_EQ(empty.complement().counts().full, 0);
    EXPECT_EQ(kind_of(empty.intersect(taken)), "mask-shape");
    EXPECT_EQ(kind_of(taken.unite(empty)), "mask-shape");
    EXPECT_EQ(kind_of(empty.slice({0, 1}, {0, 1})), "mask-shape");
    EXPECT_EQ(BlockMask::from_bytes(empty.to_bytes()).value().shape(), BlockMaskShape());
    RunArgs args = sample.args;
    args.block_mask = &empty;
    EXPECT_EQ(kind_of(attention.run(args)), "mask-lengths");
  }
  EXPECT_EQ((BlockMaskShape{.q_len = 5, .kv_len = -5, .q_block = 0, .kv_block = -1}.q_blocks()), 0);
  EXPECT_EQ((BlockMaskShape{.q_len = 5, .kv_len = 5, .q_block = 2, .kv_block = -1}.kv_blocks()), 0);
}

// Keys of 0 and values of their row: a causal row i gives the mean of 0 to i.
TEST(Conveniences, AttendInOneCall) {
  const std::int64_t rows = 7, dim = 4;
  const std::vector<float> zeros(static_cast<std::size_t>(rows * dim));
  std::vector<float> v(zeros.size());
  for (std::size_t i = 0; i < v.size(); ++i) v[i] = static_cast<float>(i / 4);
  const TensorView q(zeros.data(), DType::kF32, {1, 1, rows, dim});
  const TensorView values(v.data(), DType::kF32, {1, 1, rows, dim});
  const std::vector<float> out = attend("mask = q_idx >= kv_idx", q, q, values).value();
  ASSERT_EQ(out.size(), v.size());
  for (std::size_t i = 0; i < out.size(); ++i) EXPECT_FLOAT_EQ(out[i], static_cast<float>(i / 4) / 2);

  Bindings bindings;
  bindings.params["window"] = 1;
  EXPECT_EQ(attend("param window : int\nmask = abs(q_idx - kv_idx) < window", q, q, values, bindings).value(), v);
  std::vector<float> into(v.size());
  RunArgs args{.q = q, .k = q, .v = values, .out = MutableTensorView(into.data(), DType::kF32, {1, 1, rows, dim})};
  args.bindings = &bindings;
  AttentionSpec spec;
  spec.mask_mod = "abs(q_idx - kv_idx) < window";  // declared as it is bound
  EXPECT_TRUE(attend(spec, args).has_value());
  EXPECT_EQ(into, v);
  EXPECT_EQ(kind_of(attend("mask = q_ix >= kv_idx", q, q, values)), "unknown-name");
  EXPECT_EQ(kind_of(attend("", TensorView(zeros.data(), DType::kF64, {1, 1, 1, 1}), q, q)), "unsupported-dtype");
}

TEST(Conveniences, BshdOfTypedPointers) {
  std::vector<float> data(2 * 3 * 5 * 7);
  std::iota(data.begin(), data.end(), 0.0F);
  const std::vector<float>& constant = data;
  RunArgs args;
  args.q = bshd(constant.data(), DType::kF32, {2, 3, 5, 7});
  args.k = bshd(data.data(), DType::kF32, {2, 3, 5, 7});  // what may be written may be read
  args.out = bshd(data.data(), DType::kF32, {2, 3, 5, 7});
  args.v = args.out;
  for (const TensorView& view : {args.q, args.k, args.v, TensorView(args.out)}) {
    EXPECT_EQ(view.shape, (std::array<std::int64_t, 4>{2, 5, 3, 7}));
    EXPECT_EQ(view.strides, (std::array<std::int64_t, 4>{105, 7, 35, 1}));
    EXPECT_EQ(view.data, data.data());
  }
  static_assert(std::same_as<decltype(bshd(constant.data(), DType::kF32, {1, 1, 1, 1})), TensorView>);
  static_assert(std::same_as<decltype(bshd(data.data(), DType::kF32, {1, 1, 1, 1})), MutableTensorView>);
}

TEST(Conveniences, VersionOfTheHeaders) {
  EXPECT_EQ(std::to_string(FLEXJIT_VERSION_MAJOR) + "." + std::to_string(FLEXJIT_VERSION_MINOR) + "." +
                std::to_string(FLEXJIT_VERSION_PATCH),
            flexjit_version());
  EXPECT_EQ(FLEXJIT_VERSION_NUMBER, FLEXJIT_VERSION_MAJOR * 10000 + FLEXJIT_VERSION_MINOR * 100 + FLEXJIT_VERSION_PATCH);
}

}  // namespace
}  // namespace flexjit
