// The flags of a spec against attention written down naively, on the reference and on every target of this machine: each alone,
// all together, and around the caller's own text in both forms.
#include <algorithm>
#include <cmath>
#include <limits>

#include "on_backends.h"
#include "support/checklist.h"
#include "support/encodings.h"

namespace flexjit::conformance {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();

// Fewer queries than keys and the reverse, grouped heads, tails in every dimension.
constexpr Shape kLongKeys{
    .batch = 2, .q_heads = 4, .kv_heads = 2, .q_len = 53, .kv_len = 131, .head_dim = 24, .v_head_dim = 20};
constexpr Shape kLongQueries{.batch = 2, .q_heads = 2, .kv_heads = 2, .q_len = 140, .kv_len = 37, .head_dim = 16};

std::int32_t diagonal(const Shape& s, const Position& p) { return p.q_idx + s.kv_len - s.q_len; }

class FlagsOn : public OnBackends {
 protected:
  AttentionSpec spec_for(const Shape& shape) const { return spec_of("", shape); }

  // Runs and compares out, lse and max_scores.
  void expect_naive(const AttentionSpec& spec, Problem& tensors, const Bindings& bindings, const OraclePattern& pattern) {
    const Attention attention = compile_or_throw(engine(), spec);
    RunArgs args = tensors.args(&bindings);
    tensors.poison_outputs();
    attention.run(args).value();
    EXPECT_TRUE(is_attention(tensors, pattern));
  }

  void expect_naive_at_all_shapes(const std::function<void(const Shape&, AttentionSpec&, Captures&, OraclePattern&)>& fill) {
    for (const Shape& shape : {kLongKeys, kLongQueries}) {
      SCOPED_TRACE(to_string(shape));
      Problem tensors(shape);
      AttentionSpec spec = spec_for(shape);
      Captures captures;
      OraclePattern pattern;
      fill(shape, spec, captures, pattern);
      expect_naive(spec, tensors, captures.bindings(), pattern);
    }
  }
};

TEST_P(FlagsOn, CausalIsBottomRight) {
  covers("C1", "I05");
  expect_naive_at_all_shapes([](const Shape& s, AttentionSpec& spec, Captures&, OraclePattern& naive) {
    spec.causal = true;
    naive.mask = [s](const Position& p) { return p.kv_idx <= diagonal(s, p); };
  });
}

TEST_P(FlagsOn, WindowIsInclusiveOnBothSides) {
  covers("C7", "D04", "I05");
  for (const Window window : {Window{10, 0}, Window{0, 7}, Window{5, 20}, Window{-1, 3}, Window{30, -1}, Window{0, 0}}) {
    SCOPED_TRACE(std::to_string(window.left) + ", " + std::to_string(window.right));
    expect_naive_at_all_shapes([&](const Shape& s, AttentionSpec& spec, Captures&, OraclePattern& naive) {
      spec.window = window;
      naive.mask = [s, window](const Position& p) {
        return (window.left < 0 || p.kv_idx >= diagonal(s, p) - window.left) &&
               (window.right < 0 || p.kv_idx <= diagonal(s, p) + window.right);
      };
    });
  }
}

TEST_P(FlagsOn, AnUnboundedWindowIsNoWindowBitForBit) {
  covers("E07");
  for (const Window window : {Window{-1, -1}, Window{kLongKeys.kv_len, kLongKeys.kv_len}}) {
    Problem plain(kLongKeys), windowed(kLongKeys);
    AttentionSpec spec = spec_for(kLongKeys);
    compile_or_throw(engine(), spec).run(plain.args()).value();
    spec.window = window;
    compile_or_throw(engine(), spec).run(windowed.args()).value();
    EXPECT_TRUE(outputs_identical(windowed, plain));
  }
}

TEST_P(FlagsOn, Softcap) {
  expect_naive_at_all_shapes([](const Shape&, AttentionSpec& spec, Captures&, OraclePattern& naive) {
    spec.softcap = 1.5F;
    naive.score = [](double score, const Position&) { return 1.5 * std::tanh(score / 1.5); };
  });
}

TEST_P(FlagsOn, AlibiByHead) {
  covers("C6");
  expect_naive_at_all_shapes([](const Shape& s, AttentionSpec& spec, Captures& captures, OraclePattern& naive) {
    const std::vector<float> slopes = Random(3).normals(at(s.q_heads), 0.3F);
    spec.alibi = true;
    captures.add("alibi_slopes", {s.q_heads}, slopes);
    naive.score = [=](double score, const Position& p) {
      return score - static_cast<double>(slopes[at(p.h)]) * std::abs(diagonal(s, p) - p.kv_idx);
    };
  });
}

TEST_P(FlagsOn, AlibiByBatchAndHead) {
  covers("C6");
  expect_naive_at_all_shapes([](const Shape& s, AttentionSpec& spec, Captures& captures, OraclePattern& naive) {
    const std::vector<float> slopes = Random(4).normals(at(s.batch * s.q_heads), 0.3F);
    spec.alibi = true;
    captures.add("alibi_slopes", {s.batch, s.q_heads}, slopes);
    naive.score = [=](double score, const Position& p) {
      return score - static_cast<double>(slopes[at(p.b * s.q_heads + p.h)]) * std::abs(diagonal(s, p) - p.kv_idx);
    };
  });
}

TEST_P(FlagsOn, KeyLengthsOfEachSequence) {
  expect_naive_at_all_shapes([](const Shape& s, AttentionSpec& spec, Captures& captures, OraclePattern& naive) {
    const std::vector<std::int32_t> lengths = {0, s.kv_len - 5};
    spec.key_lengths = true;
    captures.add("key_lengths", {s.batch}, lengths);
    naive.mask = [=](const Position& p) { return p.kv_idx < lengths[at(p.b)]; };
  });
}

TEST_P(FlagsOn, OneKeyLengthServesAllSequences) {
  expect_naive_at_all_shapes([](const Shape&, AttentionSpec& spec, Captures& captures, OraclePattern& naive) {
    spec.key_lengths = true;
    captures.add("key_lengths", {1}, std::vector<std::int32_t>{17});
    naive.mask = [](const Position& p) { return p.kv_idx < 17; };
  });
}

TEST_P(FlagsOn, KeyMask) {
  expect_naive_at_all_shapes([](const Shape& s, AttentionSpec& spec, Captures& captures, OraclePattern& naive) {
    Random random(5);
    std::vector<bool> keep(at(s.batch * s.kv_len));
    for (auto bit : keep) bit = random.chance(0.6);
    spec.key_mask = true;
    captures.add("key_mask", {s.batch, s.kv_len}, keep);
    naive.mask = [=](const Position& p) { return keep[at(p.b * s.kv_len + p.kv_idx)]; };
  });
}

// Every broadcast: which of batch, heads, queries and keys a mask tensor has, with extent 1 in the others.
TEST_P(FlagsOn, AdditiveMaskWithAnyBroadcast) {
  covers("F27");
  constexpr Shape s{.batch = 2, .q_heads = 2, .kv_heads = 1, .q_len = 21, .kv_len = 70, .head_dim = 8};
  for (int present = 0; present < 16; ++present) {
    SCOPED_TRACE(present);
    const auto extent = [&](int bit, std::int32_t full) { return (present >> bit & 1) != 0 ? full : 1; };
    const std::int32_t n[] = {extent(3, s.batch), extent(2, s.q_heads), extent(1, s.q_len), extent(0, s.kv_len)};
    Random random(6);
    std::vector<float> bias = random.normals(at(n[0]) * at(n[1]) * at(n[2]) * at(n[3]));
    for (float& value : bias) value = random.chance(0.2) ? -kInf : value;
    AttentionSpec spec = spec_for(s);
    spec.attention_mask = MaskTensor{DType::kF32, 4};
    Captures captures;
    captures.add("attention_mask", {n[0], n[1], n[2], n[3]}, bias);
    OraclePattern naive;
    naive.score = [&](double score, const Position& p) {
      const std::int32_t i = ((p.b % n[0] * n[1] + p.h % n[1]) * n[2] + p.q_idx % n[2]) * n[3] + p.kv_idx % n[3];
      return score + static_cast<double>(bias[at(i)]);
    };
    Problem tensors(s);
    expect_naive(spec, tensors, captures.bindings(), naive);
  }
}

TEST_P(FlagsOn, BooleanMaskOfEachRank) {
  covers("F27");
  for (const int rank : {2, 3, 4}) {
    SCOPED_TRACE(rank);
    expect_naive_at_all_shapes([&](const Shape& s, AttentionSpec& spec, Captures& captures, OraclePattern& naive) {
      Captures::Extents extents{s.batch, s.q_heads, s.q_len, s.kv_len};
      extents.erase(extents.begin(), extents.end() - rank);
      Random random(7);
      std::vector<bool> keep(at((rank > 3 ? s.batch : 1) * (rank > 2 ? s.q_heads : 1) * s.q_len * s.kv_len));
      for (auto bit : keep) bit = random.chance(0.7);
      spec.attention_mask = MaskTensor{DType::kBool, rank};
      captures.add("attention_mask", extents, keep);
      naive.mask = [=](const Position& p) {
        const std::int32_t plane = (rank > 3 ? p.b * s.q_heads : 0) + (rank > 2 ? p.h : 0);
        return keep[at((plane * s.q_len + p.q_idx) * s.kv_len + p.kv_idx)];
      };
    });
  }
}

TEST_P(FlagsOn, MaskTensorsOfStrideZeroAndFewerDimensions) {
  const Shape& s = kLongKeys;
  Problem tensors(s);
  AttentionSpec spec = spec_for(s);
  spec.attention_mask = MaskTensor{DType::kBF16, 4};
  std::vector<double> bias;
  for (float value : Random(8).normals(at(s.kv_len))) bias.push_back(nearest(DType::kBF16, static_cast<double>(value)));
  Captures captures;
  captures.add_bytes("attention_mask", DType::kBF16, {s.kv_len}, encode(DType::kBF16, bias));
  OraclePattern naive;
  naive.score = [=](double score, const Position& p) { return score + bias[at(p.kv_idx)]; };
  expect_naive(spec, tensors, captures.bindings(), naive);

  TensorView& view = captures.bindings().buffers["attention_mask"];
  view.rank = 3;
  view.shape = {s.q_heads, s.q_len, s.kv_len};
  view.strides = {0, 0, 1};
  expect_naive(spec, tensors, captures.bindings(), naive);
}

// The mask tensor's -inf wins over what the text makes of the score.
TEST_P(FlagsOn, MinusInfinityOfTheMaskTensorHidesNan) {
  const Shape& s = kLongKeys;
  Problem tensors(s);
  AttentionSpec spec = spec_for(s);
  spec.score_mod = "score + sqrt(q_idx - kv_idx)";
  spec.attention_mask = MaskTensor{DType::kF32, 2};
  std::vector<float> bias(at(s.q_len * s.kv_len), -kInf);
  for (std::int32_t q = 0; q < s.q_len; ++q) std::fill_n(bias.begin() + q * s.kv_len, q + 1, 0.5F);
  Captures captures;
  captures.add("attention_mask", {s.q_len, s.kv_len}, bias);
  OraclePattern naive;
  naive.mask = [](const Position& p) { return p.kv_idx <= p.q_idx; };
  naive.score = [](double score, const Position& p) { return score + std::sqrt(std::abs(p.q_idx - p.kv_idx)) + 0.5; };
  expect_naive(spec, tensors, captures.bindings(), naive);
}

// scale -> softcap -> ALiBi -> score_mod -> mask tensor; a square tells every other order apart.
void fill_everything(const Shape& s, AttentionSpec& spec, Captures& captures, OraclePattern& naive) {
  const std::vector<float> slopes = Random(9).normals(at(s.q_heads), 0.05F);
  const std::vector<float> bias = Random(10).normals(at(s.kv_len));
  const std::vector<std::int32_t> lengths = {s.kv_len, s.kv_len - 11};
  spec.softcap = 2.0F;
  spec.alibi = true;
  spec.causal = true;
  spec.window = Window{60, -1};
  spec.key_lengths = true;
  spec.attention_mask = MaskTensor{DType::kF32, 4};
  captures.add("alibi_slopes", {s.q_heads}, slopes);
  captures.add("attention_mask", {1, s.kv_len}, bias);
  captures.add("key_lengths", {s.batch}, lengths);
  captures.set("gain", 0.25F);
  const auto distance_of = [=](const Position& p) { return p.q_idx + lengths[at(p.b)] - s.q_len - p.kv_idx; };
  naive.score = [=](double score, const Position& p) {
    const double capped = 2.0 * std::tanh(score / 2.0);
    const double with_alibi = capped - static_cast<double>(slopes[at(p.h)]) * std::abs(distance_of(p));
    return 0.25 * with_alibi * with_alibi + static_cast<double>(bias[at(p.kv_idx)]);
  };
  naive.mask = [=](const Position& p) {
    const std::int32_t distance = distance_of(p);
    return distance >= 0 && distance <= 60 && p.kv_idx < lengths[at(p.b)] && p.kv_idx % 3 != 1;
  };
}

TEST_P(FlagsOn, AllTogetherAroundExpressions) {
  covers("C5", "D41", "D42");
  expect_naive_at_all_shapes([](const Shape& s, AttentionSpec& spec, Captures& captures, OraclePattern& naive) {
    fill_everything(s, spec, captures, naive);
    spec.score_mod = "gain * score * score";
    spec.mask_mod = "kv_idx % 3 != 1";
    spec.declare(captures.bindings());  // leaves the names of the flags alone
  });
}

TEST_P(FlagsOn, AllTogetherAroundAProgram) {
  covers("C5", "D41", "D42");
  expect_naive_at_all_shapes([](const Shape& s, AttentionSpec& spec, Captures& captures, OraclePattern& naive) {
    fill_everything(s, spec, captures, naive);
    spec.program = "param gain : float\nlet squared = score * score\nscore = gain * squared\nmask = kv_idx % 3 != 1\n";
  });
}

TEST_P(FlagsOn, FaultsOfTheTextKeepTheirPlace) {
  Problem tensors(kLongKeys);
  Captures captures;
  captures.add("key_lengths", {kLongKeys.batch}, std::vector<std::int32_t>{9, 9});
  captures.add("table", {4}, std::vector<float>(4, 1.0F));
  AttentionSpec spec = spec_for(kLongKeys);
  spec.key_lengths = true;
  spec.score_mod = "score + table[kv_idx]";
  const Attention attention = compile_or_throw(engine(), spec.declare(captures.bindings()));
  const Result<RunStats> failed = attention.run(tensors.args(&captures.bindings()));
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.diagnostics()[0].kind, "buffer-read");
  EXPECT_EQ(failed.diagnostics()[0].column, 9U);
  // Padding is masked, so what lies behind the lengths is not read.
  captures.add("key_lengths", {kLongKeys.batch}, std::vector<std::int32_t>{4, 3});
  EXPECT_TRUE(attention.run(tensors.args(&captures.bindings())));
}

INSTANTIATE_TEST_SUITE_P(Backends, FlagsOn, testing::ValuesIn(backends_here()), name_of_backend);

TEST(Flags, NewValuesCompileNothing) {
  EngineOptions options;
  options.backend = Backend::kCompiled;
  Engine engine(options);
  AttentionSpec spec = spec_of("", kLongKeys);
  spec.window = Window{8, 0};
  spec.softcap = 20.0F;
  const Attention first = compile_or_throw(engine, spec);
  spec.window = Window{-1, 3};
  spec.softcap = 30.0F;
  const Attention second = compile_or_throw(engine, spec);
  EXPECT_EQ(engine.stats().compiles, 1);
  // A call's own values are those that it binds.
  Problem by_spec(kLongKeys), by_call(kLongKeys);
  Captures captures;
  captures.set("window_left", -1).set("window_right", 3).set("softcap", 30.0F);
  second.run(by_spec.args()).value();
  first.run(by_call.args(&captures.bindings())).value();
  EXPECT_TRUE(outputs_identical(by_call, by_spec));
}

TEST(Flags, SpecsThatDifferInAFlagAreDifferent) {
  const auto kernels = [](const std::vector<std::function<void(AttentionSpec&)>>& changes) {
    EngineOptions options;
    options.backend = Backend::kReference;
    Engine engine(options);
    std::vector<std::vector<double>> outputs;
    for (const auto& change : changes) {
      Problem tensors(kLongKeys);
      AttentionSpec spec = spec_of("", kLongKeys);
      change(spec);
      compile_or_throw(engine, spec).run(tensors.args()).value();
      outputs.push_back(tensors.out.values());
    }
    std::sort(outputs.begin(), outputs.end());
    return std::unique(outputs.begin(), outputs.end()) - outputs.begin();
  };
  EXPECT_EQ(
      kernels({[](AttentionSpec&) {}, [](AttentionSpec& spec) { spec.causal = true; },
               [](AttentionSpec& spec) { spec.window = Window{3, 3}; }, [](AttentionSpec& spec) { spec.window = Window{3, 4}; },
               [](AttentionSpec& spec) { spec.softcap = 0.5F; }, [](AttentionSpec& spec) { spec.softcap = 0.6F; }}),
      6);
}

// Counts that do not come from the library: the arithmetic of the pattern.
TEST(Flags, MasksAreCountedAndClassified) {
  covers("C7");
  AttentionSpec spec = spec_of("", {.q_len = 1, .kv_len = 1});
  spec.causal = true;
  const BlockMaskOptions square{.q_len = 1024, .kv_len = 1024};
  const Attention causal = compile_or_throw(engine_for("host"), spec);
  EXPECT_EQ(causal.count_allowed(square).value(), 524800);
  const BlockCounts blocks = causal.create_block_mask(square).value().counts();
  EXPECT_EQ(blocks.full, 28);
  EXPECT_EQ(blocks.partial, 8);

  const BlockMaskOptions large{.q_len = 2048, .kv_len = 2048};
  spec.window = Window{128, 0};
  EXPECT_EQ(compile_or_throw(engine_for("host"), spec).count_allowed(large).value(), 255936);
  spec.causal = false;
  spec.window = Window{128, 128};
  EXPECT_EQ(compile_or_throw(engine_for("host"), spec).count_allowed(large).value(), 509824);
}

TEST(Flags, BlockMasksReadTheTensorsOfFlags) {
  AttentionSpec spec = spec_of("", {.q_len = 1, .kv_len = 1});
  spec.key_lengths = true;
  const Attention attention = compile_or_throw(engine_for("host"), spec);
  Captures captures;
  captures.add("key_lengths", {2}, std::vector<std::int32_t>{128, 300});
  const BlockMaskOptions options{.batch = 2, .q_len = 256, .kv_len = 512};
  const BlockMask mask = attention.create_block_mask(options, &captures.bindings()).value();
  EXPECT_EQ(mask.counts().full, 2 * 1 + 2 * 2);
  EXPECT_EQ(mask.counts().partial, 2);
  EXPECT_EQ(attention.count_allowed(options, &captures.bindings()).value(), 256 * (128 + 300));
}

}  // namespace
}  // namespace flexjit::conformance
