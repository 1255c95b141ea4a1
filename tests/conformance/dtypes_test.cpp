// Every legal combination of element types, on the reference and on every target of this machine, against attention written
// down naively. bf16 and f16: the error is at most twice that of an unfused computation in the same precision, plus 1e-5. With
// f32 queries and smaller keys and values: as f32. f64: 1e-11.
#include <cmath>
#include <limits>
#include <map>

#include "on_backends.h"
#include "support/checklist.h"
#include "support/sample.h"

namespace flexjit::conformance {
namespace {

constexpr DType kF32 = DType::kF32, kF64 = DType::kF64, kF16 = DType::kF16, kBF16 = DType::kBF16;
constexpr Types kTypes[] = {{kF32, kF32, kF32}, {kBF16, kBF16, kBF16}, {kBF16, kBF16, kF32}, {kF16, kF16, kF16},
                            {kF16, kF16, kF32}, {kF32, kBF16, kF32},   {kF32, kF16, kF32},   {kF64, kF64, kF64}};

// Grouped heads, tails, odd head dims, few rows, many keys.
constexpr Shape kShapes[] = {
    {.batch = 2, .q_heads = 4, .kv_heads = 2, .q_len = 61, .kv_len = 131, .head_dim = 32},
    {.batch = 1, .q_heads = 3, .kv_heads = 1, .q_len = 50, .kv_len = 77, .head_dim = 37, .v_head_dim = 21},
    {.batch = 1, .q_heads = 2, .kv_heads = 2, .q_len = 100, .kv_len = 300, .head_dim = 64},
    {.batch = 2, .q_heads = 2, .kv_heads = 1, .q_len = 1, .kv_len = 97, .head_dim = 80},
    {.batch = 1, .q_heads = 1, .kv_heads = 1, .q_len = 3, .kv_len = 1, .head_dim = 1, .v_head_dim = 1},
};

struct TestedPattern {
  const char* name;
  const char* score_mod;
  const char* mask_mod;
  OraclePattern naive;
};

std::vector<TestedPattern> patterns() {
  const auto causal = [](const Position& p) { return p.q_idx >= p.kv_idx; };
  return {
      {"plain", "", "", {}},
      {"causal", "", "q_idx >= kv_idx", {.mask = causal}},
      {"alibi in a window",
       "score - 0.0625 * (q_idx - kv_idx)",
       "q_idx >= kv_idx && q_idx - kv_idx < 20",
       {.score = [](double score, const Position& p) { return score - 0.0625 * (p.q_idx - p.kv_idx); },
        .mask = [](const Position& p) { return p.q_idx >= p.kv_idx && p.q_idx - p.kv_idx < 20; }}},
      {"softcap", "2 * tanh(score / 2)", "", {.score = [](double score, const Position&) { return 2 * std::tanh(score / 2); }}},
      {"powers and remainders",
       "pow(abs(score) + 1, 0.75) + abs(score % 2.0 - 1) + abs(score - 2 * (score // 2) - 1)",
       "",
       {.score =
            [](double score, const Position&) {
              return std::pow(std::abs(score) + 1, 0.75) + 2 * std::abs(score - 2 * std::floor(score / 2) - 1);
            }}},
      {"square of the score, rows without keys",
       "0.25 * score * score",
       "kv_idx < 40 && q_idx % 3 != 1",
       {.score = [](double score, const Position&) { return 0.25 * score * score; },
        .mask = [](const Position& p) { return p.kv_idx < 40 && p.q_idx % 3 != 1; }}},
  };
}

struct Expected {
  OracleResult exact;
  Bounds bounds;
};

// The largest |a - b|.
double worst_difference(const std::vector<double>& a, const std::vector<double>& b) {
  double worst = 0;
  for (std::size_t i = 0; i < a.size(); ++i) worst = a[i] == b[i] ? worst : std::max(worst, std::abs(a[i] - b[i]));
  return worst;
}

Bounds bounds_of(const Problem& tensors, const OraclePattern& pattern, const OracleResult& exact) {
  const DType q = tensors.types.q;
  if (q == kF64) return {.out = {1e-11}};
  if (q == kF32) return {};
  const OracleResult low = oracle(tensors, pattern, q);
  return {.out = {2 * worst_difference(low.out, exact.out) + 1e-5}, .lse = {2 * worst_difference(low.lse, exact.lse) + 1e-5}};
}

// Made once for all backends: the inputs are the same.
const Expected& expected_for(const std::string& name, const Problem& tensors, const OraclePattern& pattern) {
  static std::map<std::string, Expected> known;
  auto found = known.find(name);
  if (found == known.end()) {
    Expected made{oracle(tensors, pattern), {}};
    made.bounds = bounds_of(tensors, pattern, made.exact);
    found = known.emplace(name, std::move(made)).first;
  }
  return found->second;
}

class DtypesOn : public OnBackends {
 protected:
  static AttentionSpec spec_for(const Shape& shape, const Types& types) {
    AttentionSpec spec = spec_of("", shape);
    spec.dtype = types.q;
    spec.kv_dtype = types.kv;
    spec.out_dtype = types.out;
    return spec;
  }

  void expect_correct(const std::string& name, const Shape& shape, const Types& types, const TestedPattern& pattern) {
    AttentionSpec spec = spec_for(shape, types);
    spec.score_mod = pattern.score_mod;
    spec.mask_mod = pattern.mask_mod;
    Problem tensors(shape, types);
    compile_or_throw(engine(), spec).run(tensors.args()).value();
    const auto& [exact, bounds] = expected_for(name, tensors, pattern.naive);
    EXPECT_TRUE(agrees(tensors, exact, bounds));
  }
};

TEST_P(DtypesOn, MainPatternsAtAllShapes) {
  covers("E16", "P42");
  Sample sample;
  for (const Types& types : kTypes) {
    for (const TestedPattern& pattern : patterns()) {
      for (const Shape& shape : kShapes) {
        const std::string name = to_string(types) + ", " + pattern.name + ", " + to_string(shape);
        // Two patterns at every shape, the others at the first: a kernel is compiled for each.
        const bool is_main = pattern.name == std::string("plain") || pattern.name == std::string("causal");
        if ((!is_main && &shape != &kShapes[0]) || !sample.next()) continue;
        SCOPED_TRACE(name);
        expect_correct(name, shape, types, pattern);
      }
    }
  }
}

// Extras that a kernel holds per row must survive every element type.
TEST_P(DtypesOn, SinksAndMaxScores) {
  const Shape& shape = kShapes[0];
  const std::vector<float> sinks = {0.5F, -3.0F, 2.0F, -std::numeric_limits<float>::infinity()};
  for (const Types& types : kTypes) {
    SCOPED_TRACE(to_string(types));
    Problem tensors(shape, types);
    RunArgs args = tensors.args();
    args.sinks = TensorView(sinks.data(), kF32, {shape.q_heads});
    args.max_scores = tensors.max_scores_view();
    compile_or_throw(engine(), spec_for(shape, types)).run(args).value();
    const OraclePattern naive{.sinks = {sinks.begin(), sinks.end()}};
    const auto& [exact, bounds] = expected_for("sinks, " + to_string(types), tensors, naive);
    EXPECT_TRUE(agrees(tensors, exact, {bounds.out, bounds.lse, bounds.lse}));
  }
}

// Columns that begin and end anywhere, panels skipped between others, rows without keys, in tiles of several strips.
TEST_P(DtypesOn, MasksWithEdgesAndHolesAnywhere) {
  const Shape shape{.batch = 1, .q_heads = 1, .kv_heads = 1, .q_len = 150, .kv_len = 700, .head_dim = 24};
  const std::vector<TestedPattern> masks = {
      {"edges",
       "",
       "abs(4 * q_idx - kv_idx + 7) < 45",
       {.mask = [](const Position& p) { return std::abs(4 * p.q_idx - p.kv_idx + 7) < 45; }}},
      {"holes",
       "",
       "(kv_idx // 19 + q_idx // 7) % 3 == 0 && q_idx % 50 != 9",
       {.mask = [](const Position& p) { return (p.kv_idx / 19 + p.q_idx / 7) % 3 == 0 && p.q_idx % 50 != 9; }}},
      {"two windows",
       "score * 0.5",
       "(kv_idx - q_idx >= 3 && kv_idx - q_idx < 37) || kv_idx > q_idx + 401",
       {.score = [](double score, const Position&) { return score * 0.5; },
        .mask =
            [](const Position& p) {
              const auto d = p.kv_idx - p.q_idx;
              return (d >= 3 && d < 37) || d > 401;
            }}},
  };
  for (const Types& types : kTypes) {
    for (const TestedPattern& pattern : masks) {
      const std::string name = to_string(types) + ", " + pattern.name;
      SCOPED_TRACE(name);
      expect_correct(name, shape, types, pattern);
    }
  }
}

// A weight of 1 leaves the value as it is, in every element type; but bf16 products divide a weight rounded to bf16 by one that
// is not.
TEST_P(DtypesOn, OneKeyCopiesItsValue) {
  const Shape shape{.batch = 1, .q_heads = 2, .kv_heads = 2, .q_len = 5, .kv_len = 9, .head_dim = 16, .v_head_dim = 19};
  for (const Types& types : kTypes) {
    SCOPED_TRACE(to_string(types));
    AttentionSpec spec = spec_for(shape, types);
    spec.mask_mod = "kv_idx == q_idx + 2";
    Problem tensors(shape, types);
    compile_or_throw(engine(), spec).run(tensors.args()).value();
    const double tolerance = types.q == DType::kBF16 && types.out == DType::kF32 ? 1e-6 : 0.0;
    for (std::size_t i = 0; i < tensors.out.size(); ++i) {
      const std::size_t d = i % 19, q_idx = i / 19 % 5, h = i / 19 / 5;
      const double value = tensors.v[(h * 9 + q_idx + 2) * 19 + d];
      EXPECT_NEAR(tensors.out[i], value, tolerance * std::abs(value));
    }
  }
}

TEST_P(DtypesOn, EmptyAndUnreachableRows) {
  for (const Types& types : kTypes) {
    for (const std::int32_t kv_len : {0, 40}) {
      SCOPED_TRACE(to_string(types) + ", " + std::to_string(kv_len));
      const Shape shape{.batch = 1, .q_heads = 2, .kv_heads = 1, .q_len = 7, .kv_len = kv_len, .head_dim = 16};
      AttentionSpec spec = spec_for(shape, types);
      spec.mask_mod = "kv_idx < 0";
      Problem tensors(shape, types);
      compile_or_throw(engine(), spec).run(tensors.args()).value();
      EXPECT_EQ(tensors.out.values(), std::vector<double>(2 * 7 * 16, 0.0));
      EXPECT_EQ(tensors.lse, std::vector<float>(2 * 7, -std::numeric_limits<float>::infinity()));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Backends, DtypesOn, testing::ValuesIn(backends_here()), name_of_backend);

// On one target: a kernel is compiled for each. Those of fp32 are in shapes_test.cpp.
TEST(Dtypes, HalvesOfEveryHeadDim) {
  covers("P06");
  std::vector<std::int32_t> dims = {59, 111, 512};
  for (std::int32_t dim = 8; dim <= 256; dim += 8) dims.push_back(dim);
  Sample sample;
  for (const DType dtype : {kF16, kBF16}) {
    for (const std::int32_t dim : dims) {
      if (!sample.next()) continue;
      SCOPED_TRACE(std::string(name_of(dtype)) + ", " + std::to_string(dim));
      const Shape shape{.q_len = 21, .kv_len = 40, .head_dim = dim, .v_head_dim = dim == 64 ? 40 : dim};
      AttentionSpec spec = spec_of("", shape);
      spec.dtype = dtype;
      Problem tensors(shape, {dtype, dtype, dtype});
      compile_or_throw(engine_for("host"), spec).run(tensors.args()).value();
      const OracleResult exact = oracle(tensors, {});
      EXPECT_TRUE(agrees(tensors, exact, bounds_of(tensors, {}, exact)));
    }
  }
}

TEST(Dtypes, EachCombinationIsAKernelOfItsOwn) {
  EngineOptions options;
  options.backend = Backend::kCompiled;
  Engine engine(options);
  for (const Types& types : kTypes) {
    AttentionSpec spec = spec_of("", kShapes[0]);
    spec.dtype = types.q;
    spec.kv_dtype = types.kv;
    spec.out_dtype = types.out;
    compile_or_throw(engine, spec);
    compile_or_throw(engine, spec);
  }
  EXPECT_EQ(engine.stats().compiles, 8);
}

}  // namespace
}  // namespace flexjit::conformance
