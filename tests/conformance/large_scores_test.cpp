// Scores of every finite size, up to the largest of their type: additive masks of finfo.min, large products, sums and sinks.
// What is left of a key depends on its distance from the largest score alone, whatever that is. Against attention written down
// naively, in both nests, on every target that can be run here.
#include <cmath>
#include <limits>

#include "flexjit/merge_states.h"
#include "on_backends.h"
#include "support/encodings.h"

namespace flexjit::conformance {
namespace {

constexpr float kLargest = std::numeric_limits<float>::max();
constexpr float kSizes[] = {1e3F, 1e5F, 1e7F, 1e10F, 1e15F, 1e20F, 1e30F, 1e37F, kLargest};
constexpr float kSomeSizes[] = {1e3F, 1e10F, 1e37F, kLargest};
constexpr DType kTypes[] = {DType::kF32, DType::kBF16, DType::kF16, DType::kF64};
// Whole tiles and whole splits of keys lie before kPad.
constexpr std::int32_t kKeys = 700, kPad = 530, kChosen = 77;
constexpr std::int32_t kQueries[] = {1, 33};
constexpr std::int32_t kDim = 8;

Shape shape_of(std::int32_t q_len) { return {.batch = 1, .q_len = q_len, .kv_len = kKeys, .head_dim = kDim}; }

double tolerance_of(DType dtype) {
  switch (dtype) {
    case DType::kBF16: return 2e-2;
    case DType::kF16: return 2e-3;
    case DType::kF64: return 1e-6;  // params and buffers are fp32
    default: return 2e-5;
  }
}

AttentionSpec spec_for(const Shape& shape, DType dtype) {
  AttentionSpec spec = spec_of("", shape);
  spec.dtype = dtype;
  return spec;
}

class LargeScoresOn : public testing::TestWithParam<std::string> {
 protected:
  struct Call {
    const Bindings* bindings = nullptr;
    std::vector<float> sinks{};
  };

  void expect(const Attention& attention, Problem& tensors, const OracleResult& naive, const Call& call) {
    tensors.poison_outputs();
    RunArgs args = tensors.args(call.bindings);
    args.max_scores = tensors.max_scores_view();
    if (!call.sinks.empty()) args.sinks = TensorView(call.sinks.data(), DType::kF32, {tensors.shape.q_heads});
    attention.run(args).value();
    const Bound bound = near(tolerance_of(tensors.types.q));
    EXPECT_TRUE(agrees(tensors, naive, {bound, bound, bound}));
  }

  Attention compile(const AttentionSpec& spec) { return compile_or_throw(engine_for(GetParam()), spec); }
};

// What becomes of the score of a key.
enum Kind : std::int32_t { kPadded, kAllLow, kAllHigh, kOneHigh, kHalves, kKinds };

double changed(Kind kind, double size, double score, std::int32_t kv) {
  switch (kind) {
    case kPadded: return kv < kPad ? -size : score;
    case kAllLow: return -size;
    case kAllHigh: return size;
    case kOneHigh: return kv == kChosen ? size : score;
    case kHalves: return kv % 2 == 0 ? size : -size;
    case kKinds: break;
  }
  return score;
}

constexpr const char* kText = R"(
param kind : int
param size : float
score = kind == 0 ? (kv_idx < 530 ? -size : score) : kind == 1 ? -size : kind == 2 ? size : kind == 3 ? (kv_idx == 77 ? size : score) : (kv_idx % 2 == 0 ? size : -size)
)";

TEST_P(LargeScoresOn, ReplacedByTheText) {
  for (const DType dtype : kTypes) {
    for (const std::int32_t q_len : kQueries) {
      AttentionSpec spec = spec_for(shape_of(q_len), dtype);
      spec.program = kText;
      const Attention attention = compile(spec);
      Problem tensors(shape_of(q_len), {dtype, dtype, dtype});
      for (const float size : kSizes) {
        for (std::int32_t kind = 0; kind < kKinds; ++kind) {
          SCOPED_TRACE(std::string(name_of(dtype)) + ", q_len " + std::to_string(q_len) + ", " + std::to_string(size) +
                       ", kind " + std::to_string(kind));
          Captures captures;
          captures.set("kind", kind).set("size", size);
          const OraclePattern naive{.score = [&](double score, const Position& p) {
            return changed(static_cast<Kind>(kind), static_cast<double>(size), score, p.kv_idx);
          }};
          expect(attention, tensors, oracle(tensors, naive), {.bindings = &captures.bindings()});
        }
      }
    }
  }
}

// Added, the size takes the place of the score where it is so large that nothing of the score is left, in fp64 as well.
TEST_P(LargeScoresOn, AddedByABufferAndByTheAttentionMask) {
  for (const DType dtype : kTypes) {
    for (const std::int32_t q_len : kQueries) {
      AttentionSpec by_buffer = spec_for(shape_of(q_len), dtype), by_flag = by_buffer;
      by_buffer.program = "buffer bias : f32[kv_len]\nscore = score + bias[kv_idx]";
      by_flag.attention_mask = MaskTensor{DType::kF32, 2};
      Problem tensors(shape_of(q_len), {dtype, dtype, dtype});
      const Attention attentions[] = {compile(by_buffer), compile(by_flag)};
      for (const float size : kSizes) {
        for (std::int32_t kind = 0; kind < kHalves; ++kind) {
          const bool all = kind == kAllLow || kind == kAllHigh;
          if (all && size < 1e20F) continue;
          SCOPED_TRACE(std::string(name_of(dtype)) + ", q_len " + std::to_string(q_len) + ", " + std::to_string(size) +
                       ", kind " + std::to_string(kind));
          std::vector<float> bias;
          for (std::int32_t kv = 0; kv < kKeys; ++kv)
            bias.push_back(static_cast<float>(changed(static_cast<Kind>(kind), static_cast<double>(size), 0, kv)));
          Captures captures[2];
          captures[0].add("bias", {kKeys}, bias);
          captures[1].add("attention_mask", {1, kKeys}, bias);
          const OraclePattern naive{.score = [&](double score, const Position& p) {
            return score + static_cast<double>(bias[static_cast<std::size_t>(p.kv_idx)]);
          }};
          const OracleResult expected = oracle(tensors, naive);
          for (int i : {0, 1}) expect(attentions[i], tensors, expected, {.bindings = &captures[i].bindings()});
        }
      }
    }
  }
}

// The left padding of a batch as transformers makes it: the least number of the mask's own type.
TEST_P(LargeScoresOn, TheLeastNumberOfEveryMaskType) {
  for (const auto& [dtype, least] : {std::pair{DType::kBF16, -0x1.fep127}, {DType::kF16, -65504.0}}) {
    for (const std::int32_t q_len : kQueries) {
      SCOPED_TRACE(std::string(name_of(dtype)) + ", q_len " + std::to_string(q_len));
      AttentionSpec spec = spec_for(shape_of(q_len), dtype);
      spec.attention_mask = MaskTensor{dtype, 2};
      std::vector<double> mask(kKeys, 0.0);
      std::fill(mask.begin(), mask.begin() + kPad, least);
      Captures captures;
      captures.add_bytes("attention_mask", dtype, {1, kKeys}, encode(dtype, mask));
      Problem tensors(shape_of(q_len), {dtype, dtype, dtype});
      const OraclePattern naive{
          .score = [&](double score, const Position& p) { return score + mask[static_cast<std::size_t>(p.kv_idx)]; }};
      expect(compile(spec), tensors, oracle(tensors, naive), {.bindings = &captures.bindings()});
    }
  }
}

// Products of one dim, a times b or b / 2; with the sign of a: the largest are those of b or those of b / 2.
TEST_P(LargeScoresOn, ProductsUpToTheLargestNumber) {
  for (const DType dtype : kTypes) {
    const double largest = dtype == DType::kF64    ? std::numeric_limits<double>::max()
                           : dtype == DType::kF16  ? 65504.0
                           : dtype == DType::kBF16 ? 0x1.fep127
                                                   : static_cast<double>(kLargest);
    std::vector<std::pair<double, double>> factors{{largest, 1}, {0x1p5, 0x1p5}, {0x1p10, 0x1p10}, {0x1p15, 0x1p15}};
    if (dtype == DType::kF16) factors.emplace_back(largest, 0.5 * largest);
    if (dtype != DType::kF16) factors.insert(factors.end(), {{0x1p19, 0x1p19}, {0x1p25, 0x1p25}, {0x1p63, 0x1p63}});
    if (dtype == DType::kF64) factors.insert(factors.end(), {{0x1p90, 0x1p90}, {0x1p500, 0x1p500}, {0x1p511, 0x1p511}});
    for (const std::int32_t q_len : kQueries) {
      AttentionSpec spec = spec_for(shape_of(q_len), dtype);
      spec.scale = 1.0F;
      const Attention attention = compile(spec);
      for (const auto& [a, b] : factors) {
        for (const double sign : {1.0, -1.0}) {
          SCOPED_TRACE(std::string(name_of(dtype)) + ", q_len " + std::to_string(q_len) + ", " + std::to_string(sign * a) +
                       " times " + std::to_string(b));
          Problem tensors(shape_of(q_len), {dtype, dtype, dtype});
          tensors.q.fill([&](std::size_t i) { return i % kDim == 0 ? sign * a : 0; });
          tensors.k.fill([&](std::size_t i) { return i % kDim != 0 ? 0 : i / kDim % 5 == 0 ? b : b / 2; });
          expect(attention, tensors, oracle(tensors, {.scale = 1.0F}), {});
        }
      }
    }
  }
}

// A scale below 1 lets products be larger than any score.
TEST_P(LargeScoresOn, ProductsThatTheScaleBringsIntoRange) {
  for (const DType dtype : {DType::kF32, DType::kF16, DType::kF64}) {
    for (const std::int32_t q_len : kQueries) {
      SCOPED_TRACE(std::string(name_of(dtype)) + ", q_len " + std::to_string(q_len));
      const double a = dtype == DType::kF16 ? 65504.0 : 0x1p100, b = dtype == DType::kF16 ? 65504.0 : 0x1p29;
      Problem tensors(shape_of(q_len), {dtype, dtype, dtype});
      tensors.q.fill([&](std::size_t i) { return i % kDim == 0 ? a : 0; });
      tensors.k.fill([&](std::size_t i) { return i % kDim != 0 ? 0 : i / kDim % 5 == 0 ? b : b / 2; });
      expect(compile(spec_for(shape_of(q_len), dtype)), tensors, oracle(tensors, {}), {});
    }
  }
}

TEST_P(LargeScoresOn, SinksOfAnySize) {
  for (const DType dtype : kTypes) {
    for (const std::int32_t q_len : kQueries) {
      AttentionSpec spec = spec_for(shape_of(q_len), dtype);
      spec.program = kText;
      const Attention attention = compile(spec);
      Problem tensors(shape_of(q_len), {dtype, dtype, dtype});
      for (const float size : kSomeSizes) {
        for (const float sink : {size, -size, 0.0F}) {
          for (std::int32_t kind = 0; kind < kKinds; ++kind) {
            SCOPED_TRACE(std::string(name_of(dtype)) + ", q_len " + std::to_string(q_len) + ", " + std::to_string(size) +
                         ", sink " + std::to_string(sink) + ", kind " + std::to_string(kind));
            Captures captures;
            captures.set("kind", kind).set("size", size);
            const OraclePattern naive{.score =
                                          [&](double score, const Position& p) {
                                            return changed(static_cast<Kind>(kind), static_cast<double>(size), score, p.kv_idx);
                                          },
                                      .sinks = {static_cast<double>(sink)}};
            expect(attention, tensors, oracle(tensors, naive), {.bindings = &captures.bindings(), .sinks = {sink}});
          }
        }
      }
    }
  }
}

TEST_P(LargeScoresOn, SoftcapBringsThemIntoRange) {
  for (const DType dtype : kTypes) {
    for (const std::int32_t q_len : kQueries) {
      AttentionSpec spec = spec_for(shape_of(q_len), dtype);
      spec.softcap = 30.0F;
      spec.scale = 1.0F;
      const Attention attention = compile(spec);
      for (const double size : {1e3, 6e4, 1e10, 3e38}) {
        if (dtype == DType::kF16 && size > 6e4) continue;
        SCOPED_TRACE(std::string(name_of(dtype)) + ", q_len " + std::to_string(q_len) + ", " + std::to_string(size));
        Problem tensors(shape_of(q_len), {dtype, dtype, dtype});
        tensors.q.fill([&](std::size_t i) { return i % kDim == 0 ? size : 0; });
        tensors.k.fill([](std::size_t i) { return i % kDim != 0 ? 0 : i / kDim % 5 == 0 ? 1 : -1; });
        const OraclePattern naive{.score = [](double score, const Position&) { return 30 * std::tanh(score / 30); },
                                  .scale = 1.0F};
        expect(attention, tensors, oracle(tensors, naive), {});
      }
    }
  }
}

TEST_P(LargeScoresOn, SigmoidWeightsAreZeroOrOne) {
  for (const DType dtype : kTypes) {
    for (const std::int32_t q_len : kQueries) {
      AttentionSpec spec = spec_for(shape_of(q_len), dtype);
      spec.program = kText;
      spec.weights = Weights::kSigmoid;
      const Attention attention = compile(spec);
      Problem tensors(shape_of(q_len), {dtype, dtype, dtype});
      for (const float size : kSomeSizes) {
        for (std::int32_t kind = 0; kind < kKinds; ++kind) {
          SCOPED_TRACE(std::string(name_of(dtype)) + ", q_len " + std::to_string(q_len) + ", " + std::to_string(size) +
                       ", kind " + std::to_string(kind));
          Captures captures;
          captures.set("kind", kind).set("size", size);
          const OraclePattern naive{.score =
                                        [&](double score, const Position& p) {
                                          return changed(static_cast<Kind>(kind), static_cast<double>(size), score, p.kv_idx);
                                        },
                                    .weights = Weights::kSigmoid};
          RunArgs args = tensors.args(&captures.bindings());
          args.lse = {};
          attention.run(args).value();
          EXPECT_TRUE(is_attention(tensors, naive, {.out = near(5 * tolerance_of(dtype))}));
        }
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Targets, LargeScoresOn, testing::ValuesIn(arithmetics_here()), name_of_backend);

TEST(LargeScores, StatesOfAnySizeAreMerged) {
  for (const float size : kSizes) {
    for (const float other : {size, -size, 0.0F, std::nextafter(size, 0.0F)}) {
      SCOPED_TRACE(std::to_string(size) + " and " + std::to_string(other));
      const float values[] = {2, 6}, sums[] = {size, other};
      const std::int64_t one = 1;
      std::vector<AttentionState> states;
      for (int i : {0, 1}) {
        states.push_back(
            {TensorView(&values[i], DType::kF32, {one, one, one, one}), TensorView(&sums[i], DType::kF32, {one, one, one})});
      }
      float out = 0, lse = 0;
      MergeArgs args{};
      args.states = states;
      args.out = MutableTensorView(&out, DType::kF32, {one, one, one, one});
      args.lse = MutableTensorView(&lse, DType::kF32, {one, one, one});
      merge_states(args).value();
      const double weight = std::exp(static_cast<double>(other) - static_cast<double>(size));
      EXPECT_NEAR(static_cast<double>(out), (2 + 6 * weight) / (1 + weight), 1e-5);
      EXPECT_FLOAT_EQ(lse, static_cast<float>(static_cast<double>(size) + std::log1p(weight)));
    }
  }
}

}  // namespace
}  // namespace flexjit::conformance
