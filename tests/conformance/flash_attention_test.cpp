// What FlashAttention's interface promises of masks, biases and views, in the small cases that its documents draw.
#include <algorithm>
#include <cmath>
#include <optional>

#include "on_backends.h"
#include "support/checklist.h"

namespace flexjit::conformance {
namespace {

// The pairs that a spec allows, a line a query.
std::string picture(const AttentionSpec& spec, std::int32_t q_len, std::int32_t kv_len) {
  const Attention attention = compile_or_throw(engine_for("host"), spec);
  const std::vector<std::uint8_t> allowed =
      attention.mask_elements({.q_len = q_len, .kv_len = kv_len}, {}, {0, q_len}, {0, kv_len}).value();
  std::string lines;
  for (std::size_t i = 0; i < allowed.size(); ++i) {
    lines += allowed[i] != 0 ? '1' : '0';
    if ((i + 1) % at(kv_len) == 0) lines += '\n';
  }
  return lines;
}

class FlashAttentionOn : public OnBackends {
 protected:
  void run(const AttentionSpec& spec, Problem& tensors, const Bindings* bindings = nullptr) {
    compile_or_throw(engine(), spec).run(tensors.args(bindings)).value();
  }
};

TEST(FlashAttention, CausalEndsAtTheLastKey) {
  covers("D03", "I05");
  AttentionSpec spec = spec_of("", {.head_dim = 8});
  spec.causal = true;
  EXPECT_EQ(picture(spec, 2, 5), "11110\n11111\n");
  EXPECT_EQ(picture(spec, 5, 2), "00\n00\n00\n10\n11\n");
}

TEST_P(FlashAttentionOn, RowsAboveTheFirstKeyAreZero) {
  covers("D03");
  const Shape shape{.q_heads = 2, .q_len = 5, .kv_len = 2, .head_dim = 8};
  AttentionSpec spec = spec_of("", shape);
  spec.causal = true;
  Problem t(shape);
  run(spec, t);
  for (std::size_t i = 0; i < t.out.size(); ++i) {
    EXPECT_TRUE(std::isfinite(t.out[i]));
    EXPECT_EQ(t.out[i] == 0.0F, i / 8 % 5 < 3);
  }
}

// -1 is no bound; causal takes the place of what lies right of the diagonal; a bound at the length of the keys allows all.
TEST(FlashAttention, WindowsAndCausal) {
  covers("D04", "I05");
  for (auto [q_len, kv_len] : {std::pair{3, 6}, {6, 3}}) {
    for (const int left : {-1, 0, 1, kv_len - 1, kv_len}) {
      for (const int right : {-1, 0, 1, kv_len - 1, kv_len}) {
        for (const bool causal : {false, true}) {
          AttentionSpec spec = spec_of("", {.head_dim = 8});
          spec.window = Window{left, right};
          spec.causal = causal;
          std::string expected;
          for (int q = 0; q < q_len; ++q) {
            const int diagonal = q + kv_len - q_len;
            const int first = left < 0 ? 0 : diagonal - left;
            const int last = causal      ? std::min(right < 0 ? kv_len : right, 0) + diagonal
                             : right < 0 ? kv_len
                                         : diagonal + right;
            for (int kv = 0; kv < kv_len; ++kv) expected += kv >= first && kv <= last ? '1' : '0';
            expected += '\n';
          }
          EXPECT_EQ(picture(spec, q_len, kv_len), expected) << left << ", " << right << (causal ? " causal" : "");
        }
      }
    }
  }
}

TEST_P(FlashAttentionOn, OneQueryIsNotHeldBackByCausal) {
  covers("D05");
  const Shape shape{.batch = 2, .q_heads = 4, .kv_heads = 2, .q_len = 1, .kv_len = 200, .head_dim = 32};
  AttentionSpec spec = spec_of("", shape);
  Problem plain(shape), causal(shape);
  run(spec, plain);
  spec.causal = true;
  run(spec, causal);
  EXPECT_TRUE(outputs_identical(causal, plain));
}

TEST_P(FlashAttentionOn, CausalBeginsWithTheFirstValueAndEndsWithAll) {
  covers("E02");
  const Shape shape{.q_heads = 2, .kv_heads = 2, .q_len = 64, .kv_len = 64, .head_dim = 16};
  for (const DType dtype : {DType::kF32, DType::kF16}) {
    AttentionSpec spec = spec_of("", shape);
    spec.dtype = dtype;
    Problem full(shape, {dtype, dtype, dtype}), causal(shape, {dtype, dtype, dtype});
    run(spec, full);
    spec.causal = true;
    run(spec, causal);
    for (std::size_t head = 0; head < 2; ++head) {
      for (std::size_t d = 0; d < 16; ++d) {
        EXPECT_EQ(causal.out[head * 64 * 16 + d], causal.v[head * 64 * 16 + d]);
        EXPECT_NEAR(causal.out[(head * 64 + 63) * 16 + d], full.out[(head * 64 + 63) * 16 + d],
                    dtype == DType::kF32 ? 1e-6 : 1e-3);
      }
    }
  }
}

// Scores of 0 and values that tell the keys apart: the output is the weights.
TEST_P(FlashAttentionOn, AlibiFavoursWhatIsNear) {
  covers("C6");
  const Shape shape{.q_len = 1, .kv_len = 16, .head_dim = 16};
  AttentionSpec spec = spec_of("", shape);
  spec.alibi = true;
  Captures captures;
  captures.add("alibi_slopes", {1}, std::vector<float>{0.25F});
  Problem t(shape);
  t.q.fill([](std::size_t) { return 0; });
  t.v.fill([](std::size_t i) { return i / 16 == i % 16 ? 1 : 0; });
  run(spec, t, &captures.bindings());
  for (std::size_t kv = 1; kv < 16; ++kv) EXPECT_NEAR(t.out[kv] / t.out[kv - 1], std::exp(0.25F), 1e-5F) << kv;
}

// FlashInfer's order and formula, by text: ALiBi before the cap, of indices that are not shifted.
TEST_P(FlashAttentionOn, AnotherOrderByText) {
  covers("C5", "I07");
  const Shape shape{.batch = 1, .q_heads = 2, .kv_heads = 1, .q_len = 40, .kv_len = 60, .head_dim = 16};
  const std::vector<float> slopes = {0.5F, 0.125F};
  Captures captures;
  captures.add("slope", {2}, slopes);
  Problem tensors(shape);
  run(spec_of("buffer slope : f32[num_heads]\nscore = 3.0 * tanh((score + slope[h] * (kv_idx - q_idx)) / 3.0)", shape), tensors,
      &captures.bindings());
  EXPECT_TRUE(is_attention(tensors, {.score = [&](double score, const Position& p) {
                             return 3 * std::tanh((score + double{slopes[at(p.h)]} * (p.kv_idx - p.q_idx)) / 3);
                           }}));
}

// (batch, length, 2, heads, dim): keys and values side by side.
TEST_P(FlashAttentionOn, PackedKeysAndValues) {
  covers("E11");
  const Shape shape{.batch = 2, .q_heads = 8, .kv_heads = 8, .q_len = 128, .kv_len = 512, .head_dim = 64};
  Problem dense(shape), packed(shape);
  Tensor kv(DType::kF32, {2, 2 * 8, 512, 64}, length_first);
  constexpr std::size_t kPlane = 512 * 64;
  kv.fill([&](std::size_t i) {
    const std::size_t b = i / kPlane / 16, h = i / kPlane % 16;
    return (h < 8 ? dense.k : dense.v)[(b * 8 + h % 8) * kPlane + i % kPlane];
  });
  const Attention attention = compile_or_throw(engine(), spec_of("", shape));
  attention.run(dense.args()).value();
  RunArgs args = packed.args();
  args.k.data = kv.bytes.data();
  args.v.data = kv.bytes.data() + sizeof(float) * 8 * 64;
  args.k.strides = args.v.strides = kv.view().strides;
  attention.run(args).value();
  EXPECT_TRUE(outputs_identical(packed, dense));
}

// A sequence's result depends on the sequence alone, whatever else is in the batch, in both nests.
TEST_P(FlashAttentionOn, ABatchChangesNoRow) {
  covers("D53", "I16");
  for (auto [q_len, kv_len] : {std::pair{1, 3000}, {100, 300}}) {
    const Shape many{.batch = 8, .q_heads = 4, .kv_heads = 2, .q_len = q_len, .kv_len = kv_len, .head_dim = 32};
    Shape one = many;
    one.batch = 1;
    Problem all(many), alone(one);
    run(spec_of("score = score * 0.5", many), all);
    const auto first = [](const Tensor& from, Tensor& to) { to.fill([&](std::size_t i) { return from[i]; }); };
    first(all.q, alone.q);
    first(all.k, alone.k);
    first(all.v, alone.v);
    run(spec_of("score = score * 0.5", one), alone);
    Problem part(one);
    first(all.out, part.out);
    std::copy_n(all.lse.begin(), part.lse.size(), part.lse.begin());
    EXPECT_TRUE(outputs_identical(part, alone)) << q_len << " x " << kv_len;
  }
}

INSTANTIATE_TEST_SUITE_P(Backends, FlashAttentionOn, testing::ValuesIn(backends_here()), name_of_backend);

}  // namespace
}  // namespace flexjit::conformance
