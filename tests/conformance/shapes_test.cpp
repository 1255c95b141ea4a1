// Sizes at and around every tile edge: head dims, lengths, grouped heads, and the views that are read in place.
#include <algorithm>
#include <cmath>

#include "harness.h"
#include "support/checklist.h"

namespace flexjit::conformance {
namespace {

constexpr const char* kProgram = "score = score + 0.02 * (kv_idx - q_idx) * (h + 1)\nmask = kv_idx <= q_idx + 20";

class HeadDimTest : public testing::TestWithParam<std::int32_t> {};

TEST_P(HeadDimTest, EqualAndDifferingValueDim) {
  covers("D11", "P06");
  std::int32_t head_dim = GetParam();
  Shape shape{.batch = 1, .q_heads = 2, .kv_heads = 1, .q_len = 53, .kv_len = 83, .head_dim = head_dim};
  expect_matches_reference(spec_of(kProgram, shape), shape, nullptr);
  shape.v_head_dim = head_dim == 40 ? 72 : 40;
  expect_matches_reference(spec_of(kProgram, shape), shape, nullptr);
}

INSTANTIATE_TEST_SUITE_P(Sizes, HeadDimTest,
                         testing::Values(1, 2, 3, 8, 24, 32, 40, 59, 64, 80, 96, 111, 128, 160, 192, 256, 512));

// On one target: a kernel is compiled for each.
TEST(HeadDims, EveryMultipleOf8) {
  covers("D11", "P06");
  for (std::int32_t head_dim = 8; head_dim <= 256; head_dim += 8) {
    const Shape shape{.batch = 1, .q_heads = 2, .kv_heads = 1, .q_len = 37, .kv_len = 65, .head_dim = head_dim};
    Problem actual(shape), expected(shape);
    const Attention attention = compile_or_throw(engine_for("host"), spec_of(kProgram, shape));
    attention.run(actual.args()).value();
    attention.run_reference(expected.args()).value();
    EXPECT_TRUE(outputs_agree(actual, expected)) << head_dim;
  }
}

TEST(ValueDims, OddOnesBesideAWideHead) {
  for (std::int32_t v_head_dim : {1, 7, 16, 17, 31, 65, 512}) {
    Shape shape{.q_heads = 2, .kv_heads = 2, .q_len = 50, .kv_len = 70, .head_dim = 64, .v_head_dim = v_head_dim};
    expect_matches_reference(spec_of(kProgram, shape), shape, nullptr);
  }
}

TEST(Heads, EveryGroupRatio) {
  covers("G13");
  for (auto [q_heads, kv_heads] :
       std::vector<std::pair<int, int>>{{1, 1}, {4, 4}, {8, 8}, {8, 2}, {8, 1}, {12, 4}, {32, 4}, {6, 3}, {7, 1}}) {
    Shape shape{.batch = 2, .q_heads = q_heads, .kv_heads = kv_heads, .q_len = 50, .kv_len = 67, .head_dim = 16};
    expect_matches_reference(spec_of("score = score + 0.1 * kv_head - 0.05 * h * num_kv_heads", shape), shape, nullptr);
  }
}

// Keys and values of grouped heads, written out for every query head.
void expand(const Tensor& grouped, const Shape& shape, Tensor& full) {
  const auto plane = static_cast<std::size_t>(shape.kv_len * shape.head_dim);
  const auto group = static_cast<std::size_t>(shape.q_heads / shape.kv_heads);
  full.fill([&](std::size_t i) { return grouped[i / plane / group * plane + i % plane]; });
}

TEST(Heads, GroupedEqualsExpanded) {
  covers("F11");
  for (auto [q_heads, kv_heads] : std::vector<std::pair<int, int>>{{6, 2}, {12, 4}, {8, 1}, {8, 2}, {4, 4}}) {
    const Shape grouped{.batch = 2, .q_heads = q_heads, .kv_heads = kv_heads, .q_len = 49, .kv_len = 70, .head_dim = 32};
    Shape full = grouped;
    full.kv_heads = q_heads;
    Problem a(grouped), b(full);
    b.q = a.q;
    expand(a.k, grouped, b.k);
    expand(a.v, grouped, b.v);
    const Attention attention = compile_or_throw(engine_for("host"), spec_of(kProgram, grouped));
    attention.run(a.args()).value();
    attention.run(b.args()).value();
    EXPECT_TRUE(outputs_identical(a, b)) << to_string(grouped);
  }
}

// A constant for each key head: what a query head gives is the constant of its own.
TEST(Heads, ConsecutiveOnesShareAKeyHead) {
  covers("D02");
  const Shape shape{.q_heads = 6, .kv_heads = 2, .q_len = 20, .kv_len = 30, .head_dim = 16};
  Problem t(shape);
  t.v.fill([&](std::size_t i) { return i < t.v.size() / 2 ? 3 : -7; });
  compile_or_throw(engine_for("host"), spec_of("score = score", shape)).run(t.args()).value();
  for (std::size_t i = 0; i < t.out.size(); ++i) EXPECT_FLOAT_EQ(t.out[i], i < t.out.size() / 2 ? 3 : -7) << i;
}

TEST(Lengths, AroundTileEdges) {
  for (std::int32_t length : {47, 48, 49, 63, 64, 65, 255, 256, 257}) {
    Shape shape{.q_heads = 2, .kv_heads = 1, .q_len = length, .kv_len = length, .head_dim = 24};
    expect_matches_reference(spec_of("mask = q_idx >= kv_idx", shape), shape, nullptr);
    shape.q_len = 10;
    expect_matches_reference(spec_of("score = score + 0.01 * kv_idx", shape), shape, nullptr);
    shape.q_len = length, shape.kv_len = 10;
    expect_matches_reference(spec_of("score = score + 0.01 * kv_idx", shape), shape, nullptr);
  }
}

TEST(Lengths, One) {
  for (auto [q_len, kv_len] : std::vector<std::pair<int, int>>{{1, 1}, {1, 300}, {300, 1}, {2, 3}}) {
    Shape shape{.batch = 2, .q_heads = 2, .kv_heads = 1, .q_len = q_len, .kv_len = kv_len, .head_dim = 16};
    expect_matches_reference(spec_of("score = score - 0.1 * abs(q_idx - kv_idx)\nmask = kv_idx <= q_idx + 200", shape), shape,
                             nullptr);
  }
}

TEST(Lengths, NoKeys) {
  covers("D52");
  for (const char* program : {"score = score", "mask = q_idx >= kv_idx"}) {
    Shape shape{.q_heads = 2, .kv_heads = 1, .q_len = 65, .kv_len = 0, .head_dim = 16};
    Problem t(shape);
    compile_or_throw(engine_for("host"), spec_of(program, shape)).run(t.args()).value();
    EXPECT_TRUE(std::ranges::all_of(t.out.values(), [](double value) { return value == 0; }));
    EXPECT_TRUE(std::all_of(t.lse.begin(), t.lse.end(), [](float value) { return value == -INFINITY; }));
  }
}

TEST(Lengths, NoQueriesOrNothingAtAll) {
  for (Shape shape :
       {Shape{.q_len = 0, .kv_len = 70}, Shape{.q_len = 0, .kv_len = 0}, Shape{.batch = 0, .q_len = 5, .kv_len = 5}}) {
    for (const char* program : {"score = score", "mask = q_idx >= kv_idx"}) {
      Problem t(shape);
      EXPECT_TRUE(compile_or_throw(engine_for("host"), spec_of(program, shape)).run(t.args()).has_value()) << to_string(shape);
    }
  }
}

constexpr Shape kViewShape{
    .batch = 2, .q_heads = 4, .kv_heads = 2, .q_len = 61, .kv_len = 77, .head_dim = 24, .v_head_dim = 20};

// Rows and heads with unused elements between them, as a slice of a larger tensor has.
Strides sliced(const Extents& shape) {
  std::int64_t row = shape[3] + 5, head = (shape[2] + 3) * row;
  return {(shape[1] + 1) * head, head, row, 1};
}

void expect_same_bits_through(const Layout& layout, const Shape& shape = kViewShape) {
  Attention attention = compile_or_throw(engine_for("host"), spec_of(kProgram, shape));
  Problem compact(shape), viewed(shape, {}, 1, layout);
  attention.run(compact.args()).value();
  Tensor written = viewed.out;
  attention.run(viewed.args()).value();
  EXPECT_TRUE(outputs_identical(viewed, compact));
  written.fill([&](std::size_t i) { return viewed.out[i]; });
  EXPECT_EQ(viewed.out.bytes, written.bytes) << "elements between the rows were written";
}

TEST(Views, TransposedHeadsAndLength) {
  covers("D12", "F17");
  expect_same_bits_through(length_first);
  // Fewer positions than heads: nothing guesses which is which.
  expect_same_bits_through(length_first, {.batch = 2, .q_heads = 8, .kv_heads = 8, .q_len = 4, .kv_len = 4, .head_dim = 24});
}
TEST(Views, Sliced) {
  covers("D12");
  expect_same_bits_through(sliced);
}

TEST(Views, ExpandedInputs) {
  covers("D12");
  Attention attention = compile_or_throw(engine_for("host"), spec_of(kProgram, kViewShape));
  Problem repeated(kViewShape), viewed(kViewShape);
  for (Tensor* tensor : {&repeated.k, &repeated.v})
    tensor->fill([&](std::size_t i) { return (*tensor)[i % (tensor->size() / 4)]; });
  attention.run(repeated.args()).value();
  RunArgs args = viewed.args();
  args.k.strides[0] = args.k.strides[1] = args.v.strides[0] = args.v.strides[1] = 0;
  attention.run(args).value();
  EXPECT_TRUE(outputs_identical(viewed, repeated));
}

TEST(Views, BatchLengthHeadsDimHelper) {
  std::vector<float> data(2 * 5 * 3 * 4);
  TensorView view = bshd<const void*>(data.data(), DType::kF32, {2, 5, 3, 4});
  EXPECT_EQ(view.shape, (std::array<std::int64_t, 4>{2, 3, 5, 4}));
  EXPECT_EQ(view.strides, (std::array<std::int64_t, 4>{60, 4, 12, 1}));
}

TEST(Views, LseWithOtherStrides) {
  Attention attention = compile_or_throw(engine_for("host"), spec_of(kProgram, kViewShape));
  Problem dense(kViewShape), viewed(kViewShape);
  attention.run(dense.args()).value();
  RunArgs args = viewed.args();
  args.lse.strides = {61 * 4, 1, 4, 0};  // (batch, length, heads)
  attention.run(args).value();
  for (std::size_t b = 0; b < 2; ++b)
    for (std::size_t h = 0; h < 4; ++h)
      for (std::size_t row = 0; row < 61; ++row)
        EXPECT_EQ(viewed.lse[(b * 61 + row) * 4 + h], dense.lse[(b * 4 + h) * 61 + row]);
}

TEST(Views, LseIsOptional) {
  Attention attention = compile_or_throw(engine_for("host"), spec_of(kProgram, kViewShape));
  Problem with(kViewShape), without(kViewShape);
  attention.run(with.args()).value();
  RunArgs args = without.args();
  args.lse = {};
  attention.run(args).value();
  EXPECT_EQ(without.out.bytes, with.out.bytes);
}

}  // namespace
}  // namespace flexjit::conformance
