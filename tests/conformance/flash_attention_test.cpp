// What FlashAttention's interface promises of masks, biases and views, in the small cases that its documents draw.
#include <algorithm>
#include <cmath>
#include <optional>

#include "naive.h"
#include "on_backends.h"
#include "support/checklist.h"

namespace flexjit::conformance {
namespace {

std::size_t at(std::int64_t index) { return static_cast<std::size_t>(index); }

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
  template <typename Any>
  void run(const AttentionSpec& spec, Any& tensors, const Bindings* bindings = nullptr) {
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
  Tensors t(shape);
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
  Tensors plain(shape), causal(shape);
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
    TypedTensors full(shape, {dtype, dtype, dtype}), causal(shape, {dtype, dtype, dtype});
    run(spec, full);
    spec.causal = true;
    run(spec, causal);
    const std::vector<double> out = causal.out(), all = full.out();
    for (std::size_t head = 0; head < 2; ++head) {
      for (std::size_t d = 0; d < 16; ++d) {
        EXPECT_EQ(out[head * 64 * 16 + d], causal.v[head * 64 * 16 + d]);
        EXPECT_NEAR(out[(head * 64 + 63) * 16 + d], all[(head * 64 + 63) * 16 + d], dtype == DType::kF32 ? 1e-6 : 1e-3);
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
  Tensors t(shape);
  std::ranges::fill(t.q, 0.0F);
  for (std::size_t i = 0; i < t.v.size(); ++i) t.v[i] = i / 16 == i % 16 ? 1.0F : 0.0F;
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
  TypedTensors tensors(shape, {});
  run(spec_of("buffer slope : f32[num_heads]\nscore = 3.0 * tanh((score + slope[h] * (kv_idx - q_idx)) / 3.0)", shape), tensors,
      &captures.bindings());
  const NaiveResult expected =
      naive_attention(tensors, {.score = [&](double score, const Position& p) {
                        return 3 * std::tanh((score + static_cast<double>(slopes[at(p.h)]) * (p.kv_idx - p.q_idx)) / 3);
                      }});
  EXPECT_LE(worst_difference(tensors.out(), expected.out), 1e-5);
}

// (batch, length, 2, heads, dim): keys and values side by side.
TEST_P(FlashAttentionOn, PackedKeysAndValues) {
  covers("E11");
  const Shape shape{.batch = 2, .q_heads = 8, .kv_heads = 8, .q_len = 128, .kv_len = 512, .head_dim = 64};
  Tensors dense(shape), packed(shape);
  const std::int64_t heads = 8, length = 512, dim = 64;
  std::vector<float> kv(2 * dense.k.size());
  for (std::int64_t row = 0; row < 2 * heads * length; ++row) {
    const std::int64_t b = row / length / heads, h = row / length % heads, i = row % length;
    const std::int64_t to = ((b * length + i) * 2 * heads + h) * dim;
    std::copy_n(dense.k.begin() + row * dim, dim, kv.begin() + to);
    std::copy_n(dense.v.begin() + row * dim, dim, kv.begin() + to + heads * dim);
  }
  const Attention attention = compile_or_throw(engine(), spec_of("", shape));
  attention.run(dense.args()).value();
  RunArgs args = packed.args();
  args.k.data = kv.data();
  args.v.data = kv.data() + heads * dim;
  args.k.strides = args.v.strides = {length * 2 * heads * dim, dim, 2 * heads * dim, 1};
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
    Tensors all(many), alone(one);
    run(spec_of("score = score * 0.5", many), all);
    const auto first = [](const std::vector<float>& from, std::vector<float>& to) {
      std::copy_n(from.begin(), to.size(), to.begin());
    };
    first(all.q, alone.q);
    first(all.k, alone.k);
    first(all.v, alone.v);
    run(spec_of("score = score * 0.5", one), alone);
    all.out.resize(alone.out.size());
    all.lse.resize(alone.lse.size());
    EXPECT_TRUE(outputs_identical(all, alone)) << q_len << " x " << kv_len;
  }
}

INSTANTIATE_TEST_SUITE_P(Backends, FlashAttentionOn, testing::ValuesIn(backends_here()), name_of_backend);

}  // namespace
}  // namespace flexjit::conformance
