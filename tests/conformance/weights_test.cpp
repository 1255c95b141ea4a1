// What stands beside or instead of the softmax: sinks, max_scores and sigmoid weights, on the reference and on every target of
// this machine.
#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "on_backends.h"
#include "support/checklist.h"
#include "support/encodings.h"

namespace flexjit::conformance {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr Shape kShape{.batch = 2, .q_heads = 4, .kv_heads = 2, .q_len = 61, .kv_len = 300, .head_dim = 24, .v_head_dim = 20};

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  const auto bits = [](float value) { return std::bit_cast<std::uint32_t>(value); };
  return std::ranges::equal(a, b, {}, bits, bits);
}

// A mask with rows that allow nothing, and its meaning.
constexpr const char* kMask = "q_idx % 5 != 0 && kv_idx % 7 < 5 && kv_idx <= 4 * q_idx";
bool allowed(const Position& p) { return p.q_idx % 5 != 0 && p.kv_idx % 7 < 5 && p.kv_idx <= 4 * p.q_idx; }

class WeightsOn : public OnBackends {
 protected:
  static AttentionSpec masked_spec() {
    AttentionSpec spec = spec_of("", kShape);
    spec.mask_mod = kMask;
    return spec;
  }
  Attention compile(const AttentionSpec& spec) { return compile_or_throw(engine(), spec); }
};

TEST_P(WeightsOn, SinksOfEachDtype) {
  for (const DType dtype : {DType::kF32, DType::kBF16, DType::kF16}) {
    SCOPED_TRACE(std::string(name_of(dtype)));
    OraclePattern naive{.mask = allowed};
    for (const double sink : {0.3, -2.0, 6.5, -1e4}) naive.sinks.push_back(nearest(dtype, sink));
    const std::vector<unsigned char> sinks = encode(dtype, naive.sinks);
    Problem tensors(kShape);
    RunArgs args = tensors.args();
    args.sinks = TensorView(sinks.data(), dtype, {kShape.q_heads});
    compile(masked_spec()).run(args).value();
    EXPECT_TRUE(is_attention(tensors, naive));
  }
}

TEST_P(WeightsOn, ASinkOfMinusInfinityIsNoSinkBitForBit) {
  const std::vector<float> sinks(at(kShape.q_heads), -kInf);
  Problem with(kShape), without(kShape);
  const Attention attention = compile(masked_spec());
  RunArgs args = with.args();
  args.sinks = TensorView(sinks.data(), DType::kF32, {kShape.q_heads});
  attention.run(args).value();
  attention.run(without.args()).value();
  EXPECT_TRUE(outputs_identical(with, without));
}

// No key: the sink is all there is. Rows without an allowed key, and calls without keys.
TEST_P(WeightsOn, ARowWithoutKeysHasTheSinkAsLse) {
  covers("C2", "D52");
  const std::vector<float> sinks = {0.1F, -7.3F, 88.0F, -kInf};
  for (const std::int32_t kv_len : {300, 0}) {
    SCOPED_TRACE(kv_len);
    Shape shape = kShape;
    shape.kv_len = kv_len;
    Problem tensors(shape);
    AttentionSpec spec = spec_of("", shape);
    spec.mask_mod = "kv_idx < 0";
    RunArgs args = tensors.args();
    args.sinks = TensorView(sinks.data(), DType::kF32, {shape.q_heads});
    compile(spec).run(args).value();
    std::vector<float> expected;
    for (std::int32_t row = 0; row < shape.batch * shape.q_heads * shape.q_len; ++row) {
      expected.push_back(sinks[at(row / shape.q_len % shape.q_heads)]);
    }
    EXPECT_TRUE(same_bits(tensors.lse, expected));
    EXPECT_EQ(tensors.out.values(), std::vector<double>(tensors.out.size(), 0.0));
  }
}

TEST_P(WeightsOn, SinksOfAStridedView) {
  const std::vector<float> sparse = {1, 99, 2, 99, 3, 99, 4, 99}, dense = {1, 2, 3, 4};
  Problem strided(kShape), packed(kShape);
  const Attention attention = compile(masked_spec());
  RunArgs args = strided.args();
  args.sinks = TensorView(sparse.data(), DType::kF32, {kShape.q_heads});
  args.sinks.strides[0] = 2;
  attention.run(args).value();
  args = packed.args();
  args.sinks = TensorView(dense.data(), DType::kF32, {kShape.q_heads});
  attention.run(args).value();
  EXPECT_TRUE(outputs_identical(strided, packed));
}

TEST_P(WeightsOn, MaxScoresAreTheLargestAllowedScoreWithoutTheSink) {
  const std::vector<float> sinks(at(kShape.q_heads), 50.0F);
  AttentionSpec spec = masked_spec();
  spec.score_mod = "score - 0.01 * kv_idx";
  Problem tensors(kShape);
  RunArgs args = tensors.args();
  args.max_scores = tensors.max_scores_view();
  args.sinks = TensorView(sinks.data(), DType::kF32, {kShape.q_heads});
  compile(spec).run(args).value();
  const OraclePattern naive{.score = [](double score, const Position& p) { return score - 0.01 * p.kv_idx; },
                            .mask = allowed,
                            .sinks = {50, 50, 50, 50}};
  EXPECT_TRUE(is_attention(tensors, naive, {.lse = {1e-4}, .max_scores = Bound{2e-5}}));
}

// Results that are not wanted change no others, and max_scores may lie anywhere.
TEST_P(WeightsOn, OutputsAreIndependentOfWhatElseIsWanted) {
  const Attention attention = compile(masked_spec());
  Problem all(kShape), only_out(kShape);
  std::vector<float> spread(2 * all.max_scores.size(), -1);
  RunArgs args = all.args();
  args.max_scores = MutableTensorView(spread.data(), DType::kF32, {kShape.batch, kShape.q_heads, kShape.q_len, 2});
  args.max_scores.rank = 3;
  attention.run(args).value();
  RunArgs bare = only_out.args();
  bare.lse = {};
  attention.run(bare).value();
  EXPECT_EQ(all.out.bytes, only_out.out.bytes);
  std::vector<double> found;
  for (std::size_t i = 0; i < spread.size(); i += 2) {
    found.push_back(static_cast<double>(spread[i]));
    EXPECT_EQ(spread[i + 1], -1.0F);
  }
  EXPECT_TRUE(close(found, oracle(all, {.mask = allowed}).max_scores, {2e-5}));
}

TEST_P(WeightsOn, SigmoidIsNotNormalised) {
  covers("I09");
  for (const bool masked : {false, true}) {
    SCOPED_TRACE(masked);
    AttentionSpec spec = spec_of("", kShape);
    spec.weights = Weights::kSigmoid;
    spec.score_mod = "score - log(float(kv_len))";
    if (masked) spec.mask_mod = kMask;
    Problem tensors(kShape);
    RunArgs args = tensors.args();
    args.lse = {};
    compile(spec).run(args).value();
    OraclePattern naive{.score = [](double score, const Position&) { return score - std::log(300.0); },
                        .weights = Weights::kSigmoid};
    if (masked) naive.mask = allowed;
    EXPECT_TRUE(is_attention(tensors, naive, {.out = {1e-5}}));
  }
}

// Without a bias every weight is near 1/2, and the sums are large.
TEST_P(WeightsOn, SigmoidOfPlainScores) {
  AttentionSpec spec = spec_of("", kShape);
  spec.weights = Weights::kSigmoid;
  Problem tensors(kShape);
  RunArgs args = tensors.args();
  args.lse = {};
  compile(spec).run(args).value();
  EXPECT_TRUE(is_attention(tensors, {.weights = Weights::kSigmoid}, {.out = {1e-4}}));
}

INSTANTIATE_TEST_SUITE_P(Backends, WeightsOn, testing::ValuesIn(backends_here()), name_of_backend);

TEST(WeightsOfCalls, PresenceCompilesNothing) {
  EngineOptions options;
  options.backend = Backend::kCompiled;
  Engine engine(options);
  const Attention attention = compile_or_throw(engine, spec_of("", kShape));
  const std::vector<float> sinks(at(kShape.q_heads), 0.5F);
  for (int present = 0; present < 8; ++present) {
    Problem tensors(kShape);
    RunArgs args = tensors.args();
    if ((present & 1) == 0) args.lse = {};
    if ((present & 2) != 0) args.max_scores = tensors.max_scores_view();
    if ((present & 4) != 0) args.sinks = TensorView(sinks.data(), DType::kF32, {kShape.q_heads});
    attention.run(args).value();
  }
  EXPECT_EQ(engine.stats().compiles, 1);
}

TEST(WeightsOfCalls, SoftmaxAndSigmoidAreTwoKernels) {
  EngineOptions options;
  options.backend = Backend::kCompiled;
  Engine engine(options);
  AttentionSpec spec = spec_of("", kShape);
  compile_or_throw(engine, spec);
  spec.weights = Weights::kSigmoid;
  compile_or_throw(engine, spec);
  EXPECT_EQ(engine.stats().compiles, 2);
}

TEST(WeightsOfCalls, ReferenceRowsWriteTheirOwnRowsOfEveryOutput) {
  const Types small{DType::kBF16, DType::kBF16, DType::kBF16};
  AttentionSpec spec = spec_of("", kShape);
  spec.dtype = DType::kBF16;
  EngineOptions options;
  options.backend = Backend::kReference;
  Engine reference(options);
  const Attention narrow = compile_or_throw(reference, spec);
  Problem whole(kShape, small), part(kShape, small);
  const auto args_of = [](Problem& tensors) {
    RunArgs args = tensors.args();
    args.max_scores = tensors.max_scores_view();
    return args;
  };
  narrow.run_reference(args_of(whole)).value();
  narrow.run_reference(args_of(part), {.q_begin = 20, .q_count = 3}).value();
  for (std::int32_t row = 0; row < kShape.batch * kShape.q_heads * kShape.q_len; ++row) {
    const std::int32_t q_idx = row % kShape.q_len;
    const bool written = q_idx >= 20 && q_idx < 23;
    EXPECT_EQ(std::isnan(part.max_scores[at(row)]), !written);
    for (std::int32_t d = 0; d < kShape.value_dim(); ++d) {
      const std::size_t i = at(row * kShape.value_dim() + d);
      EXPECT_TRUE(written ? part.out[i] == whole.out[i] : std::isnan(part.out[i]));
    }
  }
}

}  // namespace
}  // namespace flexjit::conformance
