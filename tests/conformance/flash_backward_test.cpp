// Gradients of FlashAttention's calls by name, of a batch and of packed sequences, against the oracle.
#include <cmath>

#include "flash_layouts.h"
#include "flexjit/flash_attention.h"
#include "on_backward.h"
#include "support/checklist.h"
#include "support/dropout.h"

namespace flexjit::conformance {
namespace {

const Shape kTrained{.batch = 2, .q_heads = 4, .kv_heads = 2, .q_len = 19, .kv_len = 30, .head_dim = 16, .v_head_dim = 24};

class FlashBackward : public OnBackward {
 protected:
  static TensorView first(const Tensor& tensor) { return seqlen_first(tensor.view()); }
  static FlashAttnGradients gradients(BackwardProblem& p) {
    return {.dout = seqlen_first(std::as_const(p.d_out).view()),
            .dlse = TensorView(p.d_lse.data(), DType::kF32, {2, 4, 19}),
            .dq = seqlen_first(p.dq.view()),
            .dk = seqlen_first(p.dk.view()),
            .dv = seqlen_first(p.dv.view())};
  }
  static ::testing::AssertionResult call(BackwardProblem& p, FlashAttnOptions options) {
    options.out = seqlen_first(p.forward.out.view());
    options.softmax_lse = lse_view(p.forward);
    const TensorView q = first(p.forward.q), k = first(p.forward.k), v = first(p.forward.v);
    if (const auto result = flash_attn_func(engine(), q, k, v, options); !result)
      return ::testing::AssertionFailure() << render(result.diagnostics());
    p.poison_outputs();
    FlashAttnGradients of = gradients(p);
    if (!p.sinks.empty()) of.dsink = p.gradients().sinks;
    if (const auto result = flash_attn_backward(engine(), q, k, v, options, of); !result)
      return ::testing::AssertionFailure() << render(result.diagnostics());
    return ::testing::AssertionSuccess();
  }
};

std::int32_t diagonal_of(const Position& p) { return p.q_idx + kTrained.kv_len - kTrained.q_len; }
bool below_diagonal(const Position& p) { return p.kv_idx <= diagonal_of(p); }

TEST_P(FlashBackward, EachOption) {
  covers("E08 E09 P13 P16 D48");
  const auto shows = [&](const FlashAttnOptions& options, const GradientPattern& pattern) {
    BackwardProblem p(kTrained, {}, 3, length_first);
    if (auto done = call(p, options); !done) return done;
    return has_gradients(p, pattern);
  };
  const std::vector<float> slopes{0.5F, 0.25F, 0.125F, 0.0625F};
  EXPECT_TRUE(shows({}, {}));
  EXPECT_TRUE(shows({.causal = true}, {{.mask = below_diagonal}}));
  EXPECT_TRUE(shows({.softmax_scale = 0.1, .window_size = {5, 2}}, {{.mask =
                                                                         [](const Position& p) {
                                                                           const int far = diagonal_of(p) - p.kv_idx;
                                                                           return far <= 5 && -far <= 2;
                                                                         },
                                                                     .scale = 0.1}}));
  EXPECT_TRUE(shows({.softcap = 2}, {{.score = [](Real s, const Position&) { return 2 * std::tanh(s / 2); }}}));
  EXPECT_TRUE(shows({.alibi_slopes = TensorView(slopes.data(), DType::kF32, {4})}, {{.score = [&](Real s, const Position& p) {
                      return s - static_cast<Real>(slopes[at(p.h)]) * std::abs(diagonal_of(p) - p.kv_idx);
                    }}}));
}

TEST_P(FlashBackward, DropoutOfTheSameNumbers) {
  covers("P14");
  BackwardProblem p(kTrained, {}, 4, length_first);
  ASSERT_TRUE(call(p, {.dropout_p = 0.3, .causal = true, .rng_state = {7, 9}}));
  GradientPattern pattern{{.mask = below_diagonal}};
  pattern.pattern.factor = test::DropoutOracle{.p = 0.3, .seed = 7, .offset = 9};
  EXPECT_TRUE(has_gradients(p, pattern));
}

TEST_P(FlashBackward, PackedSequences) {
  covers("P16 P18");
  BackwardProblem p(kTrained, {}, 5, length_first);
  const std::vector<std::int32_t> cu_q{0, 19, 38}, cu_k{0, 30, 60};
  std::vector<float> lse(4 * 38);
  const auto packed = [](auto view) {  // (batch, heads, length, dim) of dense rows -> (batch * length, heads, dim)
    view = seqlen_first(view);
    view.rank = 3;
    view.shape = {view.shape[0] * view.shape[1], view.shape[2], view.shape[3]};
    view.strides = {view.strides[1], view.strides[2], 1};
    return view;
  };
  FlashAttnVarlenOptions options{.cu_seqlens_q = ints(cu_q),
                                 .cu_seqlens_k = ints(cu_k),
                                 .out = packed(p.forward.out.view()),
                                 .causal = true,
                                 .softmax_lse = MutableTensorView(lse.data(), DType::kF32, {4, 38})};
  const TensorView q = packed(std::as_const(p.forward.q).view()), k = packed(std::as_const(p.forward.k).view()),
                   v = packed(std::as_const(p.forward.v).view());
  ASSERT_TRUE(flash_attn_varlen_func(engine(), q, k, v, options));
  p.poison_outputs();
  const FlashAttnGradients of{.dout = packed(std::as_const(p.d_out).view()),
                              .dq = packed(p.dq.view()),
                              .dk = packed(p.dk.view()),
                              .dv = packed(p.dv.view())};
  const auto result = flash_attn_varlen_backward(engine(), q, k, v, options, of);
  ASSERT_TRUE(result) << render(result.diagnostics());
  EXPECT_TRUE(has_gradients(p, {.pattern = {.mask = below_diagonal}, .has_lse = false}));
}

TEST(FlashBackwardErrors, NameTheTensor) {
  BackwardProblem p(kTrained, {}, 1, length_first);
  const TensorView q = seqlen_first(std::as_const(p.forward.q).view()), k = seqlen_first(std::as_const(p.forward.k).view()),
                   v = seqlen_first(std::as_const(p.forward.v).view());
  const FlashAttnOptions options{.out = seqlen_first(p.forward.out.view()), .softmax_lse = lse_view(p.forward)};
  FlashAttnGradients of{.dout = seqlen_first(std::as_const(p.d_out).view()), .dq = seqlen_first(p.dq.view())};
  of.dq.rank = 3;
  const auto rank = flash_attn_backward(engine_for("host"), q, k, v, options, of);
  EXPECT_NE(render(rank.diagnostics()).find("dq has 3 dimensions; it must have 4"), std::string::npos);
  of = {.dout = TensorView(p.d_lse.data(), DType::kF32, {1, 1, 1, 1})};
  EXPECT_FALSE(flash_attn_backward(engine_for("host"), q, k, v, options, of));
}

INSTANTIATE_TEST_SUITE_P(Backends, FlashBackward, testing::ValuesIn(backends_here()), name_of_backend);

}  // namespace
}  // namespace flexjit::conformance
