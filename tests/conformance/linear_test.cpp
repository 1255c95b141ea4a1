// Linear attention against its definition over all pairs, on the reference and on every target of this machine: feature maps,
// masks, gates, shapes of every remainder, layouts, types, sequences.
#include <cmath>
#include <limits>

#include "on_backends.h"
#include "support/checklist.h"
#include "support/linear_oracle.h"

namespace flexjit::conformance {
namespace {

AttentionSpec linear_spec(const Shape& shape, const std::string& map) {
  AttentionSpec spec;
  spec.head_dim = shape.head_dim;
  spec.v_head_dim = shape.v_head_dim;
  spec.weights = Weights::kLinear;
  spec.linear.feature_map = map;
  return spec;
}

std::function<bool(const Position&)> causal_mask(const Shape& shape) {
  return [offset = shape.kv_len - shape.q_len](const Position& p) { return p.kv_idx <= p.q_idx + offset; };
}

// A matrix of normal numbers, and as a captured buffer.
struct RandomMatrix {
  RandomMatrix(std::int64_t features, std::int64_t dims, std::uint64_t seed = 7) {
    const std::vector<float> values = Random(seed).normals(at(features * dims));
    captures.add("W", {features, dims}, values);
    for (std::int64_t f = 0; f < features; ++f) rows.emplace_back(values.begin() + f * dims, values.begin() + (f + 1) * dims);
  }
  Captures captures;
  Matrix rows;
};

BufferDeclaration matrix_declaration() { return {.name = "W", .dtype = DType::kF32, .rank = 2}; }

class LinearOn : public OnBackends {
 protected:
  static Attention compile(const AttentionSpec& spec) { return compile_or_throw(engine(), spec); }
  static void run(const AttentionSpec& spec, Problem& problem, const Bindings* bindings = nullptr) {
    RunArgs args = problem.args(bindings);
    args.lse = {};
    const Attention attention = compile(spec);
    const bool by_reference = GetParam() == "reference" || !attention.warnings().empty();
    EXPECT_EQ(attention.kernel_source() == KernelSource::kReference, by_reference);
    attention.run(args).value();
  }
  static void expect_linear(const AttentionSpec& spec, Problem& problem, const LinearOracle& of,
                            const Bindings* bindings = nullptr, Bound bound = near(1e-5)) {
    run(spec, problem, bindings);
    EXPECT_TRUE(close(problem.out.values(), linear_oracle(problem, of), bound)) << to_string(problem);
  }
};

constexpr Shape kShape{.batch = 2, .q_heads = 4, .kv_heads = 2, .q_len = 77, .kv_len = 77, .head_dim = 24, .v_head_dim = 20};

TEST_P(LinearOn, NamedMapsAreTheirFormulas) {
  covers("X04", "X05");
  const RandomMatrix w(40, kShape.head_dim);
  const struct {
    const char* text;
    FeatureMap map;
  } kMaps[] = {{"elu1", elu1_map()},
               {"relu(1e-3)", relu_map(1e-3)},
               {"favor(W, 1e-4)", favor_map(w.rows, 1e-4)},
               {"exp_clamp(W, -10, 10)", exp_clamp_map(w.rows, -10, 10)}};
  for (const auto& [text, map] : kMaps) {
    for (const bool causal : {false, true}) {
      SCOPED_TRACE(std::string(text) + (causal ? ", causal" : ""));
      AttentionSpec spec = linear_spec(kShape, text);
      spec.causal = causal;
      const bool projected = std::string_view(text).find('W') != std::string_view::npos;
      if (projected) spec.buffers = {matrix_declaration()};
      if (projected) spec.linear.features = 40;
      Problem problem(kShape);
      LinearOracle of{.map = map};
      if (causal) of.mask = causal_mask(kShape);
      expect_linear(spec, problem, of, projected ? &w.captures.bindings() : nullptr, near(3e-5));
    }
  }
}

// An expression of the row, in either form of a text, is the same as the map that it spells out.
TEST_P(LinearOn, TextsSpellMapsOut) {
  const RandomMatrix w(19, kShape.head_dim);
  AttentionSpec spec = linear_spec(kShape, "");
  spec.program = R"(buffer W : f32[19, 24]
feature = (let a = dot(W, x) / pow(24.0, 0.25); exp(a - sumsq(x) / (2.0 * sqrt(24.0))) + 1e-4)
mask = kv_idx <= q_idx
)";
  Problem problem(kShape);
  expect_linear(spec, problem, {.map = favor_map(w.rows, 1e-4), .mask = causal_mask(kShape)}, &w.captures.bindings(),
                near(3e-5));
}

TEST_P(LinearOn, EveryRemainder) {
  for (const Shape& shape :
       {Shape{.q_len = 1, .kv_len = 1, .head_dim = 1}, Shape{.q_len = 33, .kv_len = 33, .head_dim = 17, .v_head_dim = 5},
        Shape{.q_len = 64, .kv_len = 64, .head_dim = 64}, Shape{.q_len = 31, .kv_len = 31, .head_dim = 65, .v_head_dim = 97},
        Shape{.batch = 3, .q_heads = 6, .kv_heads = 2, .q_len = 70, .kv_len = 70, .head_dim = 7, .v_head_dim = 130}}) {
    for (const bool causal : {false, true}) {
      AttentionSpec spec = linear_spec(shape, "elu1");
      spec.causal = causal;
      Problem problem(shape);
      LinearOracle of{.map = elu1_map()};
      if (causal) of.mask = causal_mask(shape);
      expect_linear(spec, problem, of);
    }
  }
}

TEST_P(LinearOn, LengthsThatDiffer) {
  for (const auto& [q_len, kv_len] : {std::pair{5, 90}, {90, 5}, {40, 72}, {1, 65}, {3, 0}}) {
    const Shape shape{.q_heads = 2, .kv_heads = 1, .q_len = q_len, .kv_len = kv_len, .head_dim = 16};
    for (const bool causal : {false, true}) {
      AttentionSpec spec = linear_spec(shape, "elu1");
      spec.causal = causal;
      Problem problem(shape);
      LinearOracle of{.map = elu1_map()};
      if (causal) of.mask = causal_mask(shape);
      expect_linear(spec, problem, of);
    }
  }
}

// In whatever words a mask says it.
TEST_P(LinearOn, CausalMasksOfTexts) {
  for (const auto& [text, offset] : {std::pair{"q_idx >= kv_idx", 0},
                                     {"kv_idx < q_idx", -1},
                                     {"!(kv_idx - 3 > q_idx)", 3},
                                     {"2 * q_idx >= 2 * kv_idx - 8 && q_idx + 6 >= kv_idx", 4}}) {
    SCOPED_TRACE(text);
    AttentionSpec spec = linear_spec(kShape, "elu1");
    spec.mask_mod = text;
    Problem problem(kShape);
    expect_linear(spec, problem,
                  {.map = elu1_map(), .mask = [offset](const Position& p) { return p.kv_idx <= p.q_idx + offset; }});
  }
}

// B1: a masked key has no part in the sum of weights either, in a batch of one as of two, whatever lies there.
TEST_P(LinearOn, PaddedKeysHaveNoPart) {
  constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
  for (const std::int32_t batch : {1, 2}) {
    for (const bool causal : {false, true}) {
      const Shape shape{.batch = batch, .q_heads = 2, .kv_heads = 2, .q_len = 37, .kv_len = 37, .head_dim = 8};
      AttentionSpec spec = linear_spec(shape, "elu1");
      spec.causal = causal;
      spec.key_mask = true;
      std::vector<bool> there(at(batch * 37), true);
      for (std::int32_t b = 0; b < batch; ++b)
        for (std::int32_t j = 0; j < 3 + b; ++j) there[at(b * 37 + j)] = false;  // left padding
      Captures captures;
      captures.add("key_mask", {batch, 37}, there);
      Problem problem(shape);
      for (std::size_t i = 0; i < problem.v.size(); ++i)
        if (!there[i / (2 * 37 * 8) * 37 + i / 8 % 37]) problem.v.set(i, kNan), problem.k.set(i, kNan);
      const auto allowed = [&](const Position& p) {
        return there[at(p.b * 37 + p.kv_idx)] && (!causal || p.kv_idx <= p.q_idx);
      };
      expect_linear(spec, problem, {.map = elu1_map(), .mask = allowed}, &captures.bindings());
    }
  }
}

TEST_P(LinearOn, KeyLengths) {
  const Shape shape{.batch = 3, .q_heads = 2, .kv_heads = 2, .q_len = 20, .kv_len = 50, .head_dim = 8};
  AttentionSpec spec = linear_spec(shape, "elu1");
  spec.causal = spec.key_lengths = true;
  const std::vector<std::int32_t> lengths = {50, 33, 0};
  Captures captures;
  captures.add("key_lengths", {3}, lengths);
  Problem problem(shape);
  const auto allowed = [&](const Position& p) {
    return p.kv_idx < lengths[at(p.b)] && p.kv_idx <= p.q_idx + lengths[at(p.b)] - 20;
  };
  expect_linear(spec, problem, {.map = elu1_map(), .mask = allowed}, &captures.bindings());
}

// Any other mask is computed all the same, and the pattern says how.
TEST_P(LinearOn, GeneralMasksAreQuadratic) {
  AttentionSpec spec = linear_spec(kShape, "elu1");
  spec.mask_mod = "abs(q_idx - kv_idx) < 9";
  const Attention attention = compile(spec);
  ASSERT_EQ(attention.warnings().size(), 1U);
  EXPECT_EQ(attention.warnings()[0].kind, "quadratic");
  EXPECT_EQ(attention.kernel_source(), KernelSource::kReference);
  Problem problem(kShape);
  expect_linear(spec, problem, {.map = elu1_map(), .mask = [](const Position& p) { return std::abs(p.q_idx - p.kv_idx) < 9; }});
}

TEST_P(LinearOn, RetentionAndGates) {
  const std::vector<float> decay = {0.9F, 0.97F, 1.0F, 0.5F};
  Captures of_heads;
  of_heads.add("g", {4}, decay);
  std::vector<float> by_key(at(2 * 2 * 77));
  Random random(3);
  for (float& gate : by_key) gate = random.chance(0.05) ? 0.0F : static_cast<float>(random.unit());
  Captures of_keys;
  of_keys.add("g", {2, 2, 77}, by_key);
  for (const bool normalised : {false, true}) {
    for (const bool token : {false, true}) {
      SCOPED_TRACE(testing::Message() << "normalised " << normalised << ", per token " << token);
      AttentionSpec spec = linear_spec(kShape, normalised ? "elu1" : "identity");
      spec.causal = true;
      spec.linear.normalised = normalised;
      spec.linear.gate = token ? "g[b, kv_head, kv_idx]" : "g[h]";
      spec.buffers = {{.name = "g", .dtype = DType::kF32, .rank = token ? 3 : 1}};
      Problem problem(kShape);
      LinearOracle of{.map = normalised ? elu1_map() : identity_map(), .mask = causal_mask(kShape), .normalised = normalised};
      of.gate = [&](const Position& p) -> Real {
        return token ? by_key[at((p.b * 2 + p.h / 2) * 77 + p.kv_idx)] : decay[at(p.h)];
      };
      expect_linear(spec, problem, of, token ? &of_keys.bindings() : &of_heads.bindings());
    }
  }
}

// B5, B6: gates that are 0, or so small that a sum of their logarithms passes every exponent, are the recurrence in fp64, and a
// gate of 0 is a new beginning.
TEST_P(LinearOn, GatesOfNothing) {
  const Shape shape{.q_len = 8, .kv_len = 8, .head_dim = 4};
  std::vector<float> gates = {0, 6.5e-12F, 6.5e-12F, 6.5e-12F, 0, 6.5e-12F, 1, 1};
  Captures captures;
  captures.add("g", {8}, gates);
  AttentionSpec spec = linear_spec(shape, "elu1");
  spec.causal = true;
  spec.linear.gate = "g[kv_idx]";
  spec.buffers = {{.name = "g", .dtype = DType::kF32, .rank = 1}};
  Problem problem(shape);
  LinearOracle of{.map = elu1_map(), .mask = causal_mask(shape)};
  of.gate = [&](const Position& p) -> Real { return gates[at(p.kv_idx)]; };
  expect_linear(spec, problem, of, &captures.bindings());

  const Shape half{.q_len = 4, .kv_len = 4, .head_dim = 4};
  Problem second(half);
  second.q.fill([&](std::size_t i) { return problem.q[i + 16]; });
  second.k.fill([&](std::size_t i) { return problem.k[i + 16]; });
  second.v.fill([&](std::size_t i) { return problem.v[i + 16]; });
  const std::vector<double> alone =
      linear_oracle(second, {.map = elu1_map(), .mask = causal_mask(half), .gate = [&](const Position& p) -> Real {
                               return gates[at(p.kv_idx + 4)];
                             }});
  const std::vector<double> whole = problem.out.values();
  EXPECT_TRUE(close({whole.begin() + 16, whole.end()}, alone, near(1e-5)));
}

// B2: the normaliser of a query is one number, the sum of its weights.
TEST_P(LinearOn, OneNormaliserAQuery) {
  const Shape shape{.q_len = 2, .kv_len = 2, .head_dim = 2, .v_head_dim = 1};
  AttentionSpec spec = linear_spec(shape, "identity");
  spec.causal = true;
  Problem problem(shape);
  problem.q.fill([](std::size_t) { return 1; });
  problem.k.fill([](std::size_t i) { return static_cast<double>(i + 1); });
  problem.v.fill([](std::size_t i) { return i == 0 ? 1 : 5; });
  run(spec, problem);
  EXPECT_NEAR(problem.out[0], 1, 1e-6);
  EXPECT_NEAR(problem.out[1], 3.8, 1e-6);
}

// B3: what comes later changes no earlier row, however large it is.
TEST_P(LinearOn, LaterKeysChangeNoEarlierRow) {
  const RandomMatrix w(32, 16);
  const Shape shape{.q_len = 9, .kv_len = 9, .head_dim = 16};
  AttentionSpec spec = linear_spec(shape, "favor(W)");
  spec.causal = true;
  spec.linear.features = 32;
  spec.buffers = {matrix_declaration()};
  Problem plain(shape), large(shape), broken(shape);
  for (std::size_t i = 8 * 16; i < 9 * 16; ++i) {
    large.k.set(i, 100 * large.k[i]);
    broken.k.set(i, std::numeric_limits<double>::infinity());
    broken.v.set(i, std::numeric_limits<double>::quiet_NaN());
  }
  for (Problem* problem : {&plain, &large, &broken}) run(spec, *problem, &w.captures.bindings());
  for (std::size_t i = 0; i < 8 * 16; ++i) {
    EXPECT_EQ(plain.out[i], large.out[i]) << i;
    EXPECT_EQ(plain.out[i], broken.out[i]) << i;
  }
  EXPECT_TRUE(std::isfinite(large.out[8 * 16]));
}

TEST_P(LinearOn, LayoutsAndTypes) {
  const RandomMatrix w(24, kShape.head_dim);
  for (const auto& [types, tolerance] : {std::pair{Types{}, 3e-5},
                                         {Types{DType::kBF16, DType::kBF16, DType::kBF16}, 1e-2},
                                         {Types{DType::kF16, DType::kF16, DType::kF32}, 3e-5},
                                         {Types{DType::kF32, DType::kBF16, DType::kF32}, 3e-5},
                                         {Types{DType::kF64, DType::kF64, DType::kF64}, 1e-11}}) {
    SCOPED_TRACE(to_string(types));
    AttentionSpec spec = linear_spec(kShape, "favor(W)");
    spec.dtype = types.q;
    spec.kv_dtype = types.kv;
    spec.out_dtype = types.out;
    spec.causal = true;
    spec.linear.features = 24;
    spec.buffers = {matrix_declaration()};
    Problem problem(kShape, types, 5, length_first);
    const LinearOracle of{.map = favor_map(w.rows, 1e-4), .mask = causal_mask(kShape)};
    // Constants of fp64 programs have the digits that the text gives them.
    expect_linear(spec, problem, of, &w.captures.bindings(), near(tolerance));
  }
}

// Packed sequences are those of calls of their own, bit for bit.
TEST_P(LinearOn, PackedSequencesAreTheirOwn) {
  const std::vector<std::int32_t> begins = {0, 40, 40, 41, 110};
  const Shape shape{.q_heads = 2, .kv_heads = 1, .q_len = 110, .kv_len = 110, .head_dim = 16};
  AttentionSpec spec = linear_spec(shape, "elu1");
  spec.causal = true;
  const Attention attention = compile(spec);
  Problem packed(shape);
  Sequences sequences{.cu_seqlens_q = TensorView(begins.data(), DType::kI32, {5}),
                      .cu_seqlens_k = TensorView(begins.data(), DType::kI32, {5})};
  RunArgs args = packed.args();
  args.lse = {};
  args.sequences = &sequences;
  attention.run(args).value();
  for (std::size_t s = 0; s + 1 < begins.size(); ++s) {
    const std::int32_t begin = begins[s], length = begins[s + 1] - begin;
    if (length == 0) continue;
    Shape own = shape;
    own.q_len = own.kv_len = length;
    Problem alone(own);
    const auto copy = [&](Tensor& to, const Tensor& from, std::int32_t heads) {
      to.fill([&](std::size_t i) {
        const std::size_t head = i / at(length * 16), rest = i % at(length * 16);
        return from[head * at(110 * 16) + at(begin * 16) + rest];
      });
      return heads;
    };
    copy(alone.q, packed.q, 2), copy(alone.k, packed.k, 1), copy(alone.v, packed.v, 1);
    run(spec, alone);
    for (std::size_t i = 0; i < alone.out.size(); ++i) {
      const std::size_t head = i / at(length * 16), rest = i % at(length * 16);
      ASSERT_EQ(alone.out[i], packed.out[head * at(110 * 16) + at(begin * 16) + rest]) << s << ", " << i;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Backends, LinearOn, testing::ValuesIn(backends_here()), name_of_backend);

TEST(Linear, TheSameBitsForEveryNumberOfThreads) {
  Problem one(kShape), many(kShape);
  for (Problem* problem : {&one, &many}) {
    EngineOptions options;
    options.backend = Backend::kCompiled;
    options.threads = problem == &one ? 1 : 3;
    Engine engine(options);
    AttentionSpec spec = linear_spec(kShape, "elu1");
    spec.causal = true;
    RunArgs args = problem->args();
    args.lse = {};
    compile_or_throw(engine, spec).run(args).value();
  }
  EXPECT_EQ(one.out.bytes, many.out.bytes);
}

}  // namespace
}  // namespace flexjit::conformance
