// Longformer with queries, keys and values of their own for global tokens, beside two ordinary attentions of which each gives
// its rows.
#include <cmath>

#include "harness.h"
#include "support/gradients.h"

namespace flexjit::conformance {
namespace {

constexpr std::int32_t kLength = 40, kWindow = 3;

const Shape kShape{.batch = 3, .q_heads = 4, .kv_heads = 2, .q_len = kLength, .kv_len = kLength, .head_dim = 16};

// One sequence with two global tokens and padding, one with none of either, one with one.
std::vector<std::int32_t> token_kinds() {
  std::vector<std::int32_t> kinds(3 * kLength);
  kinds[4] = kinds[20] = 1;
  for (std::size_t i = kLength - 6; i < kLength; ++i) kinds[i] = -1;
  kinds[3 * kLength - 1] = 1;
  return kinds;
}

struct Passes {
  explicit Passes(const Types& types = {}) : local(kShape, types, 1), global(kShape, types, 2), kinds(token_kinds()) {
    captures.add("tokens", {3, kLength}, kinds);
    global.d_out = local.d_out;
    global.d_lse = local.d_lse;
  }
  std::int32_t kind(std::int32_t b, std::int32_t i) const { return kinds[at(b * kLength + i)]; }

  LongformerArgs args() {
    return {.local = local.args(&captures.bindings()),
            .q_global = global.forward.q.view(),
            .k_global = global.forward.k.view(),
            .v_global = global.forward.v.view()};
  }
  // What a row of the first pass sees, and one of the second.
  OraclePattern of_local(bool causal) const {
    return {.mask = [this, causal](const Position& p) {
      const bool sees = kind(p.b, p.q_idx) == 0 && kind(p.b, p.kv_idx) >= 0 && (!causal || p.kv_idx <= p.q_idx);
      return sees && (kind(p.b, p.kv_idx) > 0 || std::abs(p.q_idx - p.kv_idx) <= kWindow);
    }};
  }
  OraclePattern of_global(bool causal) const {
    return {.mask = [this, causal](const Position& p) {
      return kind(p.b, p.q_idx) > 0 && kind(p.b, p.kv_idx) >= 0 && (!causal || p.kv_idx <= p.q_idx);
    }};
  }

  BackwardProblem local, global;
  std::vector<std::int32_t> kinds;
  Captures captures;
};

Longformer made(bool causal, const AttentionSpec& types = {.head_dim = 16}) {
  return Longformer::create(engine_for("host"), {.window = kWindow, .autoregressive = causal}, types).value();
}

TEST(LongformerPasses, AreTwoAttentions) {
  for (const bool causal : {false, true}) {
    SCOPED_TRACE(causal);
    Passes passes;
    const Longformer longformer = made(causal);
    longformer.run(passes.args()).value();
    const OracleResult local = oracle(passes.local.forward, passes.of_local(causal)),
                       global = oracle(passes.global.forward, passes.of_global(causal));
    // A row that one of them does not know is 0 and -inf there.
    std::vector<double> out(local.out), lse(local.lse);
    for (std::size_t i = 0; i < out.size(); ++i) out[i] += global.out[i];
    for (std::size_t i = 0; i < lse.size(); ++i) lse[i] = std::max(lse[i], global.lse[i]);
    EXPECT_TRUE(close(passes.local.forward.out.values(), out, near(1e-5)));
    EXPECT_TRUE(close(widened(passes.local.forward.lse), lse, near(2e-5)));

    passes.global.forward.out = passes.local.forward.out;
    passes.global.forward.lse = passes.local.forward.lse;
    const Gradients of_global = passes.global.gradients();
    longformer
        .run_backward(
            passes.args(),
            {.local = passes.local.gradients(), .q_global = of_global.q, .k_global = of_global.k, .v_global = of_global.v})
        .value();
    EXPECT_TRUE(has_gradients(passes.local, {passes.of_local(causal)}));
    EXPECT_TRUE(has_gradients(passes.global, {passes.of_global(causal)}));
  }
}

// B9: of 8 tokens with a window of 1 and token 2 global, query 3 sees 2, 3 and 4 once each, query 2 all by its own projections.
TEST(LongformerPasses, CountNoGlobalTokenTwice) {
  const Shape shape{.q_heads = 1, .kv_heads = 1, .q_len = 8, .kv_len = 8, .head_dim = 8};
  Problem local(shape, {}, 1), global(shape, {}, 2);
  for (std::size_t i = 0; i < local.k.size(); ++i) local.k.set(i, 0), global.k.set(i, 0);  // equal weights
  const std::vector<std::int32_t> kinds = {0, 0, 1, 0, 0, 0, 0, 0};
  Captures captures;
  captures.add("tokens", {1, 8}, kinds);
  Longformer::create(engine_for("host"), {.window = 1}, {.head_dim = 8})
      .value()
      .run({.local = local.args(&captures.bindings()),
            .q_global = global.q.view(),
            .k_global = global.k.view(),
            .v_global = global.v.view()})
      .value();
  for (std::size_t d = 0; d < 8; ++d) {
    double all = 0;
    for (std::size_t i = 0; i < 8; ++i) all += global.v[i * 8 + d] / 8;
    EXPECT_NEAR(local.out[3 * 8 + d], (local.v[2 * 8 + d] + local.v[3 * 8 + d] + local.v[4 * 8 + d]) / 3, 1e-6);
    EXPECT_NEAR(local.out[2 * 8 + d], all, 1e-6);
  }
  EXPECT_NEAR(local.lse[3], std::log(3), 1e-6);
  EXPECT_NEAR(local.lse[2], std::log(8), 1e-6);
}

TEST(LongformerPasses, TakeOtherTypesAndGradientsOfSums) {
  AttentionSpec types{.dtype = DType::kBF16, .head_dim = 16};
  Passes passes({DType::kBF16, DType::kBF16, DType::kBF16});
  const Longformer longformer = made(false, types);
  longformer.run(passes.args()).value();
  const OracleResult local = oracle(passes.local.forward, passes.of_local(false)),
                     global = oracle(passes.global.forward, passes.of_global(false));
  std::vector<double> out(local.out);
  for (std::size_t i = 0; i < out.size(); ++i) out[i] += global.out[i];
  EXPECT_TRUE(close(passes.local.forward.out.values(), out, {2e-2, 2e-2}));

  Passes sums;
  const Longformer plain = made(false);
  plain.run(sums.args()).value();
  sums.global.forward.out = sums.local.forward.out;
  sums.global.forward.lse = sums.local.forward.lse;
  const float one = 1;
  TensorView ones(&one, DType::kF32, {3, 4, kLength, 16});
  ones.strides = {};
  LongformerGradients gradients{
      .local = sums.local.gradients(), .k_global = sums.global.gradients().k, .v_global = sums.global.gradients().v};
  gradients.local.out = ones;
  gradients.local.lse = {};
  plain.run_backward(sums.args(), gradients).value();
  for (Passes* all : {&sums}) {
    all->local.d_out.fill([](std::size_t) { return 1; });
    all->global.d_out.fill([](std::size_t) { return 1; });
  }
  const GradientValues of_global = oracle_gradients(sums.global, {sums.of_global(false), {}, true, false});
  EXPECT_TRUE(close(sums.global.dk.values(), of_global.k, near(1e-5)));
  EXPECT_TRUE(close(sums.global.dv.values(), of_global.v, near(1e-5)));
}

TEST(LongformerPasses, RefuseOtherTensors) {
  Passes passes;
  const Longformer longformer = made(false);
  LongformerArgs args = passes.args();
  args.k_global.shape[2] = 39;
  args.q_global.dtype = DType::kF16;
  args.local.sinks = args.q_global;
  const std::string found = render(longformer.run(args).diagnostics());
  for (const char* text : {"k_global has tokens 39, but its local one has 40", "q_global is f16", "sinks is given"})
    EXPECT_NE(found.find(text), std::string::npos) << found;
  args = passes.args();
  args.local.bindings = nullptr;
  EXPECT_EQ(longformer.run(args).diagnostics()[0].kind, "missing-binding");
  EXPECT_EQ(Longformer().run(passes.args()).diagnostics()[0].kind, "empty-handle");
  EXPECT_FALSE(Longformer::create(engine_for("host"), {.window = -1}).has_value());
}

}  // namespace
}  // namespace flexjit::conformance
