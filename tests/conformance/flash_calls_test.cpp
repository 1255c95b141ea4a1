// FlashAttention's calls by name on batches of one length: defaults, options, layouts and errors, against the oracle.
#include <cmath>

#include "flash_layouts.h"
#include "flexjit/flash_attention.h"
#include "on_backends.h"
#include "support/checklist.h"

namespace flexjit::conformance {
namespace {

class FlashCalls : public OnBackends {
 protected:
  static Result<FlashAttnResult> call(Problem& p, FlashAttnOptions options = {}) {
    options.out = seqlen_first(p.out.view());
    options.softmax_lse = lse_view(p);
    return flash_attn_func(engine(), seqlen_first(std::as_const(p.q).view()), seqlen_first(std::as_const(p.k).view()),
                           seqlen_first(std::as_const(p.v).view()), options);
  }
  static FlashAttnResult call_or_throw(Problem& p, const FlashAttnOptions& options = {}) { return call(p, options).value(); }
};

std::int32_t diagonal(const Shape& shape, const Position& p) { return p.q_idx + shape.kv_len - shape.q_len; }

TEST_P(FlashCalls, DefaultsAndEachOption) {
  covers("P04 P13 D01 D02 D06 D09 D10 D37 E01 E03 E04 E05");
  for (const DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
    for (const std::int32_t kv_heads : {8, 2, 1}) {
      const Shape shape{.batch = 2, .q_heads = 8, .kv_heads = kv_heads, .q_len = 21, .kv_len = 40, .head_dim = 64};
      const Bounds bounds = dtype == DType::kF32 ? kNear : Bounds{near(dtype == DType::kBF16 ? 2e-2 : 3e-3), near(1e-2)};
      const auto shows = [&](const FlashAttnOptions& options, const OraclePattern& pattern) {
        Problem p(shape, {dtype, dtype, dtype});
        call_or_throw(p, options);
        return is_attention(p, pattern, bounds);
      };
      const auto causal = [&](const Position& p) { return p.kv_idx <= diagonal(shape, p); };
      EXPECT_TRUE(shows({}, {}));
      EXPECT_TRUE(shows({.causal = true}, {.mask = causal}));
      EXPECT_TRUE(shows({.softmax_scale = 0.1}, {.scale = 0.1}));
      EXPECT_TRUE(shows({.softmax_scale = 0.0, .causal = true}, {.mask = causal, .scale = 0}));
      EXPECT_TRUE(shows({.softmax_scale = -0.5}, {.scale = -0.5}));
      for (const double cap : {1.0, 15.0, 30.0, 50.0})
        EXPECT_TRUE(shows({.softcap = cap}, {.score = [cap](Real s, const Position&) { return cap * std::tanh(s / cap); }}));
      EXPECT_TRUE(shows({.softcap = -3}, {}));
      EXPECT_TRUE(shows({.score_mod = "score + 0.01 * kv_idx", .mask_mod = "kv_idx % 3 != 0"},
                        {.score = [](Real s, const Position& p) { return s + Real(0.01) * p.kv_idx; },
                         .mask = [](const Position& p) { return p.kv_idx % 3 != 0; }}));
    }
  }
}

TEST_P(FlashCalls, Alibi) {
  covers("D07 C6");
  const Shape shape{.batch = 2, .q_heads = 4, .kv_heads = 2, .q_len = 33, .kv_len = 70, .head_dim = 32};
  const std::vector<float> slopes = {0.5F, 0.25F, 0.125F, 0.1F, 0.3F, 0.2F, 0.05F, 0.01F};
  for (const bool by_batch : {false, true}) {
    Problem p(shape);
    const TensorView view =
        by_batch ? TensorView(slopes.data(), DType::kF32, {2, 4}) : TensorView(slopes.data(), DType::kF32, {4});
    call_or_throw(p, {.causal = true, .alibi_slopes = view});
    EXPECT_TRUE(is_attention(p, {.score =
                                     [&](Real s, const Position& at_) {
                                       const float slope = slopes[at((by_batch ? at_.b * 4 : 0) + at_.h)];
                                       return s - Real(slope) * std::abs(diagonal(shape, at_) - at_.kv_idx);
                                     },
                                 .mask = [&](const Position& at_) { return at_.kv_idx <= diagonal(shape, at_); }}));
  }
}

// FlashAttention's own steps: a bound at the length of the keys or beyond is none, causal is a right bound of 0, a side that is
// left open beside one that is not ends at a distance of seqlen_k.
bool allows(std::int64_t q, std::int64_t kv, std::int64_t sq, std::int64_t sk, std::array<int, 2> window, bool causal) {
  std::int64_t left = window[0], right = window[1];
  if (left >= sk) left = -1;
  if (right >= sk) right = -1;
  if (causal && sq != 1) right = 0;
  if (left < 0 && right < 0) return true;
  if (left < 0) left = sk;
  if (right < 0) right = sk;
  return kv >= q + sk - sq - left && kv <= q + sk - sq + right;
}

TEST_P(FlashCalls, WindowsTruthTable) {
  covers("D03 D04 D05 D47 E06 E07 C8");
  for (auto [q_len, kv_len] : {std::pair{3, 6}, {6, 3}, {9, 2}, {1, 5}, {5, 5}, {70, 20}}) {
    for (const int left : {-7, -1, 0, 1, kv_len - 1, kv_len}) {
      for (const int right : {-1, 0, 1, kv_len - 1, kv_len}) {
        for (const bool causal : {false, true}) {
          Problem p({.q_heads = 2, .q_len = q_len, .kv_len = kv_len, .head_dim = 8});
          const FlashAttnOptions options{.causal = causal, .window_size = {left, right}, .return_attn_probs = true};
          const FlashAttnResult result = call_or_throw(p, options);
          const auto allowed = [&](const Position& at_) {
            return allows(at_.q_idx, at_.kv_idx, q_len, kv_len, options.window_size, causal);
          };
          ASSERT_TRUE(is_attention(p, {.mask = allowed})) << left << ", " << right << (causal ? " causal" : "");
          for (std::int32_t q = 0; q < q_len; ++q)
            for (std::int32_t kv = 0; kv < kv_len; ++kv)
              ASSERT_EQ(result.s_dmask[at(q * kv_len + kv)] > 0, allowed({0, 0, q, kv})) << q << ", " << kv;
        }
      }
    }
  }
}

TEST_P(FlashCalls, WhatIsTheSameHasTheSameBits) {
  covers("D05 D12 E07 D23");
  const Shape shape{.batch = 2, .q_heads = 4, .kv_heads = 2, .q_len = 40, .kv_len = 40, .head_dim = 32};
  Problem plain(shape);
  call_or_throw(plain);
  for (const FlashAttnOptions& options :
       {FlashAttnOptions{.window_size = {40, 40}}, {.window_size = {1000, -1}}, {.deterministic = true}}) {
    Problem p(shape);
    call_or_throw(p, options);
    EXPECT_TRUE(outputs_identical(p, plain));
  }
  Problem one({.batch = 2, .q_heads = 4, .kv_heads = 2, .q_len = 1, .kv_len = 90, .head_dim = 32}), causal = one;
  call_or_throw(one);
  call_or_throw(causal, {.causal = true});
  EXPECT_TRUE(outputs_identical(causal, one));
}

TEST_P(FlashCalls, StridedAndExpandedViews) {
  covers("D12 E19");
  const Shape shape{.batch = 2, .q_heads = 4, .kv_heads = 2, .q_len = 30, .kv_len = 50, .head_dim = 16};
  Problem dense(shape), strided(shape, {}, 1, length_first);
  call_or_throw(dense, {.causal = true});
  call_or_throw(strided, {.causal = true});
  EXPECT_TRUE(outputs_identical(strided, dense));
  // Keys of entry 0 for all entries, by a stride of 0.
  Problem both(shape), copied(shape);
  TensorView k = seqlen_first(std::as_const(both.k).view()), v = seqlen_first(std::as_const(both.v).view());
  k.strides[0] = v.strides[0] = 0;
  FlashAttnOptions options{.out = seqlen_first(both.out.view()), .softmax_lse = lse_view(both)};
  flash_attn_func(engine(), seqlen_first(std::as_const(both.q).view()), k, v, options).value();
  const std::size_t entry = copied.k.size() / 2;
  copied.k.fill([&](std::size_t i) { return both.k[i % entry]; });
  copied.v.fill([&](std::size_t i) { return both.v[i % entry]; });
  call_or_throw(copied);
  EXPECT_TRUE(outputs_identical(both, copied));
}

TEST_P(FlashCalls, PackedTensors) {
  covers("D01 E10 E11");
  const Shape shape{.batch = 2, .q_heads = 8, .kv_heads = 8, .q_len = 64, .kv_len = 64, .head_dim = 32};
  const std::int64_t b_n = 2, s_n = 64, h_n = 8, d_n = 32;
  Problem dense(shape);
  for (const int parts : {3, 2}) {
    std::vector<float> packed(at(b_n * s_n * parts * h_n * d_n));
    for (std::size_t i = 0; i < packed.size(); ++i) {
      const std::size_t d = i % 32, h = i / 32 % 8, part = i / 256 % at(parts), s = i / 256 / at(parts) % 64,
                        b = i / 256 / at(parts) / 64;
      const Tensor& from = parts - part == 3 ? dense.q : parts - part == 2 ? dense.k : dense.v;
      packed[i] = static_cast<float>(from[((b * 8 + h) * 64 + s) * 32 + d]);
    }
    Problem p(shape);
    const FlashAttnOptions options{.out = seqlen_first(p.out.view()), .causal = true, .softmax_lse = lse_view(p)};
    const PackedView view(packed.data(), DType::kF32, {b_n, s_n, parts, h_n, d_n});
    if (parts == 3)
      flash_attn_qkvpacked_func(engine(), view, options).value();
    else
      flash_attn_kvpacked_func(engine(), seqlen_first(std::as_const(p.q).view()), view, options).value();
    call_or_throw(dense, {.causal = true});
    EXPECT_TRUE(outputs_identical(p, dense)) << parts;
  }
}

TEST_P(FlashCalls, DropoutIsSignedInTheProbabilities) {
  covers("D08 P04");
  const Shape shape{.batch = 1, .q_heads = 2, .q_len = 64, .kv_len = 128, .head_dim = 16};
  Problem p(shape);
  const FlashAttnResult result =
      call_or_throw(p, {.dropout_p = 0.25, .causal = true, .return_attn_probs = true, .rng_state = {7, 9}});
  std::size_t kept = 0, allowed = 0;
  EXPECT_TRUE(is_attention(p, {.mask = [&](const Position& at_) { return at_.kv_idx <= diagonal(shape, at_); },
                               .factor =
                                   [&](const Position& at_) {
                                     const float weight = result.s_dmask[at((at_.h * 64 + at_.q_idx) * 128 + at_.kv_idx)];
                                     ++allowed;
                                     kept += std::signbit(weight) ? 0U : 1U;
                                     return std::signbit(weight) ? Real(0) : 1 / Real(0.75);
                                   }}));
  EXPECT_NEAR(static_cast<double>(kept) / static_cast<double>(allowed), 0.75, 0.01);
}

TEST_P(FlashCalls, SinksAndNoKeys) {
  covers("D45 D52 I10");
  const std::vector<float> sinks = {0.5F, -1.0F};
  for (const std::int32_t kv_len : {0, 20}) {
    Problem p({.q_heads = 2, .q_len = 5, .kv_len = kv_len, .head_dim = 16});
    call_or_throw(p, {.learnable_sink = TensorView(sinks.data(), DType::kF32, {2})});
    EXPECT_TRUE(is_attention(p, {.sinks = {0.5, -1.0}}));
    Problem without({.q_heads = 2, .q_len = 5, .kv_len = kv_len, .head_dim = 16});
    call_or_throw(without);
    EXPECT_TRUE(is_attention(without, {}));
    EXPECT_EQ(without.lse[0] == -HUGE_VALF, kv_len == 0);
  }
}

// Other values of options, other lengths: no compilation. Another option is another pattern.
TEST(FlashCallsCompile, OncePerPattern) {
  covers("D44");
  Engine engine(EngineOptions{.cache_dir = ""});
  const auto run = [&](const Shape& shape, FlashAttnOptions options) {
    Problem p(shape);
    options.out = seqlen_first(p.out.view());
    flash_attn_func(engine, seqlen_first(std::as_const(p.q).view()), seqlen_first(std::as_const(p.k).view()),
                    seqlen_first(std::as_const(p.v).view()), options)
        .value();
    return engine.stats().compiles;
  };
  const Shape shape{.q_heads = 2, .q_len = 100, .kv_len = 100, .head_dim = 16};
  const std::int64_t first = run(shape, {.window_size = {5, 6}, .softcap = 3});
  EXPECT_EQ(run(shape, {.window_size = {9, 1}, .softcap = 7.5}), first);
  EXPECT_EQ(run({.batch = 3, .q_heads = 4, .kv_heads = 2, .q_len = 90, .kv_len = 300, .head_dim = 16},
                {.softmax_scale = 0.3, .window_size = {2, 2}, .softcap = 1}),
            first);
  EXPECT_GT(run(shape, {.window_size = {5, 6}}), first);
}

struct Wrong {
  const char* expected;
  std::function<void(TensorView& q, TensorView& k, TensorView& v, FlashAttnOptions& options)> breakage;
};

TEST(FlashCallsErrors, NameTheArgument) {
  covers("P05 D13 D11");
  using T = TensorView&;
  using O = FlashAttnOptions&;
  const std::vector<float> slopes(64);
  const std::vector<Wrong> all = {
      {"q has 3 dimensions; it must have 4: (batch, seqlen, heads, dim)", [](T q, T, T, O) { q.rank = 3; }},
      {"k has 2 dimensions; it must have 4", [](T, T k, T, O) { k.rank = 2; }},
      {"v has 5 dimensions; it must have 4", [](T, T, T v, O) { v.rank = 5; }},
      {"out has 0 dimensions; it must have 4", [](T, T, T, O o) { o.out = {}; }},
      {"softmax_lse has 4 dimensions; it must have 3: (batch, heads_q, seqlen_q)",
       [](T, T, T, O o) { o.softmax_lse.rank = 4; }},
      {"the batch of q is 0; it must be at least 1",
       [](T q, T k, T v, O o) { q.shape[0] = k.shape[0] = v.shape[0] = o.out.shape[0] = 0; }},
      {"k has batch 1, but q has 2", [](T, T k, T, O) { k.shape[0] = 1; }},
      {"v has kv_len 5, but k has 6", [](T, T, T v, O) { v.shape[1] = 5; }},
      {"v has kv_heads 1, but k has 2", [](T, T, T v, O) { v.shape[2] = 1; }},
      {"q has 3 heads, which is not a multiple of the 2 heads of k and v",
       [](T q, T, T, O o) { q.shape[2] = o.out.shape[2] = 3; }},
      {"k has head_dim 4, but the pattern has 8", [](T, T k, T, O) { k.shape[3] = 4; }},
      {"k is f16; this pattern takes f32", [](T, T k, T, O) { k.dtype = DType::kF16; }},
      {"q has stride 2 in its last dimension", [](T q, T, T, O) { q.strides[3] = 2; }},
      {"out has q_len 5, but q has 4", [](T, T, T, O o) { o.out.shape[1] = 5; }},
      {"dropout_p is 1; it must be 0 or more and below 1", [](T, T, T, O o) { o.dropout_p = 1; }},
      {"dropout_p is -0.5; it must be", [](T, T, T, O o) { o.dropout_p = -0.5; }},
      {"buffer `alibi_slopes` is declared f32 but bound to bf16",
       [&](T, T, T, O o) { o.alibi_slopes = TensorView(slopes.data(), DType::kBF16, {4}); }},
      {"buffer `alibi_slopes` has extent 3 in dimension 1",
       [&](T, T, T, O o) { o.alibi_slopes = TensorView(slopes.data(), DType::kF32, {3}); }},
      {"head_dim is 1100", [](T q, T, T, O) { q.shape[3] = 1100; }},
  };
  for (const Wrong& wrong : all) {
    Problem p({.batch = 2, .q_heads = 4, .kv_heads = 2, .q_len = 4, .kv_len = 6, .head_dim = 8});
    TensorView q = seqlen_first(std::as_const(p.q).view()), k = seqlen_first(std::as_const(p.k).view()),
               v = seqlen_first(std::as_const(p.v).view());
    FlashAttnOptions options{.out = seqlen_first(p.out.view()), .softmax_lse = lse_view(p)};
    wrong.breakage(q, k, v, options);
    const Result<FlashAttnResult> result = flash_attn_func(engine_for("host"), q, k, v, options);
    ASSERT_FALSE(result) << wrong.expected;
    EXPECT_NE(render(result.diagnostics()).find(wrong.expected), std::string::npos) << render(result.diagnostics());
    EXPECT_TRUE(std::isnan(p.out[0]) && std::isnan(p.lse[0]));
  }
  Problem p({.q_heads = 2, .q_len = 4, .kv_len = 4, .head_dim = 8});
  const PackedView two(p.q.bytes.data(), DType::kF32, {1, 2, 2, 2, 8}), flat(p.q.bytes.data(), DType::kF32, {2, 3, 1, 8});
  EXPECT_NE(
      render(flash_attn_qkvpacked_func(engine_for("host"), two, {}).diagnostics()).find("qkv has parts 2, but this call has 3"),
      std::string::npos);
  EXPECT_NE(render(flash_attn_qkvpacked_func(engine_for("host"), flat, {}).diagnostics())
                .find("qkv has 4 dimensions; it must have 5: (batch, seqlen, 3, heads, dim)"),
            std::string::npos);
}

// FlashAttention's splits and sizes: log-sum-exp over them, in any order of strides.
TEST(FlashCombine, IsAttentionOverAllSplits) {
  covers("D35 I13");
  for (const std::int64_t splits : {1, 2, 3, 5, 17, 32, 55, 97, 133}) {
    for (const std::int64_t seqlen : {1, 2, 3, 32, 64, 113}) {
      const std::int64_t batch = 2, heads = 3, dim = seqlen > 32 ? 64 : 192, rows = batch * seqlen * heads;
      Random random(static_cast<std::uint64_t>(splits * 1000 + seqlen));
      const std::vector<float> parts = random.normals(at(splits * rows * dim));
      std::vector<float> lses = random.normals(at(splits * rows), 3);
      for (float& lse : lses) lse = random.chance(0.2) ? -HUGE_VALF : lse;
      std::vector<float> out(at(rows * dim), NAN), lse(at(rows), NAN);
      const PackedView stack(parts.data(), DType::kF32, {splits, batch, seqlen, heads, dim});
      flash_attn_combine({.out_partial = stack,
                          .lse_partial = TensorView(lses.data(), DType::kF32, {splits, batch, seqlen, heads}),
                          .out = MutableTensorView(out.data(), DType::kF32, {batch, seqlen, heads, dim}),
                          .softmax_lse = MutableTensorView(lse.data(), DType::kF32, {batch, seqlen, heads})})
          .value();
      for (std::int64_t row = 0; row < rows; ++row) {
        Real sum = 0;
        for (std::int64_t s = 0; s < splits; ++s) sum += std::exp(Real(lses[at(s * rows + row)]));
        const auto total = static_cast<float>(std::log(sum));
        if (sum == 0) {
          ASSERT_EQ(lse[at(row)], -HUGE_VALF);
          ASSERT_EQ(out[at(row * dim)], 0);
          continue;
        }
        ASSERT_NEAR(lse[at(row)], total, 1e-5);
        for (std::int64_t d = 0; d < dim; d += 7) {
          Real value = 0;
          for (std::int64_t s = 0; s < splits; ++s)
            value += std::exp(Real(lses[at(s * rows + row)])) / sum * parts[at((s * rows + row) * dim + d)];
          ASSERT_NEAR(out[at(row * dim + d)], static_cast<double>(value), 1e-5);
        }
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Backends, FlashCalls, testing::ValuesIn(backends_here()), name_of_backend);

}  // namespace
}  // namespace flexjit::conformance
