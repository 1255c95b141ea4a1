// Attention to projected and pooled keys beside the ordinary call with keys that a loop makes, and its gradients beside the
// chain rule over that loop: k' = e^T k is linear, so the gradient of k is e dk', and that of e is k dk'^T.
#include <algorithm>
#include <cmath>
#include <limits>

#include "harness.h"
#include "support/checklist.h"
#include "support/gradients.h"

namespace flexjit::conformance {
namespace {

constexpr std::int32_t kTokens = 45, kDim = 16;

struct PoolingCase {
  const char* name;
  KeyPooling pooling;
  std::int32_t keys;  // of kDense
  std::int32_t stride = 1;
  bool by_head = false, shared = true, padded = false;
};

std::vector<PoolingCase> pooling_cases() {
  return {{"shared by all", KeyPooling::kDense, 9},
          {"of values apart", KeyPooling::kDense, 20, 1, false, false},
          {"by head", KeyPooling::kDense, 7, 1, true, false, true},
          {"padded", KeyPooling::kDense, 9, 1, false, true, true},
          {"means", KeyPooling::kMean, 0, 4},
          {"means of padded", KeyPooling::kMean, 0, 7, false, true, true},
          {"maxima", KeyPooling::kMax, 0, 4},
          {"maxima of padded", KeyPooling::kMax, 0, 6, false, true, true},
          {"convolution", KeyPooling::kConvolution, 0, 4},
          {"convolutions by head", KeyPooling::kConvolution, 0, 3, true, false, true}};
}

// What a case makes of keys: the matrix (2 heads, kTokens, keys) of each batch entry, from which everything follows.
struct Projected {
  explicit Projected(const PoolingCase& one)
      : of(one),
        keys(one.pooling == KeyPooling::kDense ? one.keys : (kTokens + one.stride - 1) / one.stride),
        each(one.pooling == KeyPooling::kDense ? kTokens * keys : one.stride),
        e(Random(11).normals(at((one.by_head ? 2 : 1) * each), 0.2F)),
        f(Random(12).normals(e.size(), 0.2F)) {}

  bool has_weights() const { return of.pooling == KeyPooling::kDense || of.pooling == KeyPooling::kConvolution; }
  TensorView view(const std::vector<float>& weights) const {
    TensorView tensor;
    if (of.pooling == KeyPooling::kDense)
      tensor = of.by_head ? TensorView(weights.data(), DType::kF32, {2, kTokens, keys})
                          : TensorView(weights.data(), DType::kF32, {kTokens, keys});
    else
      tensor = of.by_head ? TensorView(weights.data(), DType::kF32, {2, of.stride})
                          : TensorView(weights.data(), DType::kF32, {of.stride});
    return tensor;
  }
  MutableTensorView writable(std::vector<float>& weights) const {
    const TensorView like = view(weights);
    return {weights.data(), DType::kF32, std::span(like.shape).first(static_cast<std::size_t>(like.rank))};
  }
  KeyProjection projection() const {
    KeyProjection result{.pooling = of.pooling, .stride = of.stride};
    if (has_weights()) result.e = view(e);
    if (has_weights() && !of.shared) result.f = view(f);
    if (of.padded) result.token_lengths = TensorView(lengths.data(), DType::kI32, {2});
    return result;
  }
  const std::vector<float>& of_values() const { return of.shared ? e : f; }

  // The place in the weights of what token counts for key; -1 where it does not. Of kMean all have one place, whose weight is a
  // share.
  std::int64_t place(int b, int h, int token, int key) const {
    if (of.padded && token >= lengths[at(b)]) return -1;
    const std::int64_t first = of.by_head ? h * each : 0;
    if (of.pooling == KeyPooling::kDense) return first + token * keys + key;
    return token / of.stride == key ? first + token % of.stride : -1;
  }
  // What one element of the projected is of the source's column, by token.
  double factor(const std::vector<float>& weights, const Tensor& source, int b, int h, int token, int key, int d) const {
    if (place(b, h, token, key) < 0) return 0;
    if (has_weights()) return weights[at(place(b, h, token, key))];
    int count = 0, best = -1;
    for (int t = 0; t < kTokens; ++t) {
      if (place(b, h, t, key) < 0) continue;
      ++count;
      if (best < 0 || element(source, b, h, t, d) > element(source, b, h, best, d)) best = t;
    }
    return of.pooling == KeyPooling::kMean ? 1.0 / count : token == best ? 1 : 0;
  }
  static double element(const Tensor& tensor, int b, int h, int t, int d) {
    return tensor[at(((b * 2 + h) * kTokens + t) * kDim + d)];
  }

  Tensor apply(const std::vector<float>& weights, const Tensor& source) const {
    Tensor result(DType::kF32, {2, 2, keys, kDim});
    result.fill([&](std::size_t i) {
      const int d = static_cast<int>(i) % kDim, key = static_cast<int>(i) / kDim % keys,
                h = static_cast<int>(i) / kDim / keys % 2, b = static_cast<int>(i) / kDim / keys / 2;
      double sum = 0;
      for (int t = 0; t < kTokens; ++t) {
        const double share = factor(weights, source, b, h, t, key, d);
        if (share != 0) sum += share * element(source, b, h, t, d);
      }
      return sum;
    });
    return result;
  }
  // By the chain rule, from the gradient of the projected.
  std::vector<double> of_source(const std::vector<float>& weights, const Tensor& source,
                                const std::vector<double>& gradient) const {
    std::vector<double> result(at(2 * 2 * kTokens * kDim));
    for_all([&](int b, int h, int t, int key, int d) {
      result[at(((b * 2 + h) * kTokens + t) * kDim + d)] +=
          factor(weights, source, b, h, t, key, d) * gradient[at(((b * 2 + h) * keys + key) * kDim + d)];
    });
    return result;
  }
  void add_weights(const Tensor& source, const std::vector<double>& gradient, std::vector<double>& sums) const {
    for_all([&](int b, int h, int t, int key, int d) {
      const std::int64_t where = place(b, h, t, key);
      if (where >= 0) sums[at(where)] += element(source, b, h, t, d) * gradient[at(((b * 2 + h) * keys + key) * kDim + d)];
    });
  }
  template <typename Body>
  void for_all(const Body& body) const {
    for (int b = 0; b < 2; ++b)
      for (int h = 0; h < 2; ++h)
        for (int t = 0; t < kTokens; ++t)
          for (int key = 0; key < keys; ++key)
            for (int d = 0; d < kDim; ++d) body(b, h, t, key, d);
  }

  PoolingCase of;
  std::int32_t keys;
  std::int32_t each;
  std::vector<float> e, f;
  std::vector<std::int32_t> lengths = {kTokens, 31};
};

Shape shape_with_keys(std::int32_t kv_len) {
  return {.batch = 2, .q_heads = 4, .kv_heads = 2, .q_len = 20, .kv_len = kv_len, .head_dim = kDim};
}

TEST(ProjectedKeys, AreTheKeysThatALoopMakes) {
  covers("X01");
  for (const PoolingCase& one : pooling_cases()) {
    SCOPED_TRACE(one.name);
    const Projected projected(one);
    const Attention attention =
        compile_or_throw(engine_for("host"), spec_of("score = score + 0.1 * kv_idx", shape_with_keys(kTokens)));
    BackwardProblem problem(shape_with_keys(kTokens)), plain(shape_with_keys(projected.keys));
    plain.forward.q = problem.forward.q;
    plain.forward.k = projected.apply(projected.e, problem.forward.k);
    plain.forward.v = projected.apply(projected.of_values(), problem.forward.v);
    plain.d_out = problem.d_out;
    plain.d_lse = problem.d_lse;
    const GradientPattern pattern{{.score = [](Real score, const Position& p) { return score + Real(0.1F) * p.kv_idx; }}};
    run_projected(attention, projected.projection(), problem.args()).value();
    plain.forward.out = problem.forward.out;
    plain.forward.lse = problem.forward.lse;
    EXPECT_TRUE(is_attention(plain.forward, pattern.pattern));

    std::vector<float> de(projected.e.size(), NAN), df(de);
    KeyProjectionGradients wanted;
    if (projected.has_weights()) wanted.e = projected.writable(de);
    if (projected.has_weights() && !one.shared) wanted.f = projected.writable(df);
    run_backward_projected(attention, projected.projection(), problem.args(), problem.gradients(), wanted).value();
    const GradientValues inner = oracle_gradients(plain, pattern);
    GradientValues expected = inner;
    expected.k = projected.of_source(projected.e, problem.forward.k, inner.k);
    expected.v = projected.of_source(projected.of_values(), problem.forward.v, inner.v);
    EXPECT_TRUE(agrees(problem, expected));
    if (!projected.has_weights()) continue;
    std::vector<double> of_e(de.size()), of_f(df.size());
    projected.add_weights(problem.forward.k, inner.k, of_e);
    projected.add_weights(problem.forward.v, inner.v, one.shared ? of_e : of_f);
    EXPECT_TRUE(close(widened(de), of_e, near(1e-4)));
    if (!one.shared) {
      EXPECT_TRUE(close(widened(df), of_f, near(1e-4)));
    }
  }
}

// Of e = 1, and of pools of one, as many keys as tokens: the ordinary call, bit for bit.
TEST(ProjectedKeys, OfTheIdentityAreTheKeys) {
  covers("X01");
  const Shape shape{.batch = 2, .q_heads = 2, .kv_heads = 2, .q_len = 50, .kv_len = 50, .head_dim = kDim};
  const Attention attention = compile_or_throw(engine_for("host"), spec_of("mask = kv_idx <= q_idx", shape));
  std::vector<float> one(2500);
  for (std::size_t i = 0; i < 50; ++i) one[i * 51] = 1;
  Problem plain(shape);
  attention.run(plain.args()).value();
  for (const KeyPooling pooling : {KeyPooling::kDense, KeyPooling::kMean, KeyPooling::kMax}) {
    KeyProjection projection{.pooling = pooling, .allow_leak = true};
    if (pooling == KeyPooling::kDense) projection.e = TensorView(one.data(), DType::kF32, {50, 50});
    Problem problem(shape);
    run_projected(attention, projection, problem.args()).value();
    EXPECT_TRUE(outputs_identical(problem, plain));
  }
}

// B8: the last token changes nothing before it: of 4 tokens a key is seen from the last of them on.
TEST(ProjectedKeys, ThatArePooledCanBeCausal) {
  const Shape shape{.batch = 1, .q_heads = 2, .kv_heads = 2, .q_len = 22, .kv_len = 22, .head_dim = kDim};
  AttentionSpec spec = pooled_keys({.causal = true, .head_dim = kDim});
  const Attention attention = compile_or_throw(engine_for("host"), spec);
  const KeyProjection projection{.pooling = KeyPooling::kMean, .stride = 4};
  Problem problem(shape);
  run_projected(attention, projection, problem.args()).value();
  Problem plain({.batch = 1, .q_heads = 2, .kv_heads = 2, .q_len = 22, .kv_len = 6, .head_dim = kDim});
  plain.q = problem.q;
  const auto pooled = [](const Tensor& source) {
    return [&source](std::size_t i) {
      const std::size_t d = i % kDim, key = i / kDim % 6, h = i / kDim / 6;
      double sum = 0;
      const std::size_t end = std::min<std::size_t>(key * 4 + 4, 22);
      for (std::size_t t = key * 4; t < end; ++t) sum += source[(h * 22 + t) * kDim + d];
      return sum / static_cast<double>(end - key * 4);
    };
  };
  plain.k.fill(pooled(problem.k));
  plain.v.fill(pooled(problem.v));
  plain.out = problem.out;
  plain.lse = problem.lse;
  EXPECT_TRUE(is_attention(plain, {.mask = [](const Position& p) { return std::min(p.kv_idx * 4 + 4, 22) - 1 <= p.q_idx; }}));
  EXPECT_EQ(problem.lse[0], -std::numeric_limits<float>::infinity());

  Problem changed(shape);
  for (std::size_t h = 0; h < 2; ++h) {
    for (std::size_t d = 0; d < kDim; ++d)
      changed.k.set((h * 22 + 21) * kDim + d, 9), changed.v.set((h * 22 + 21) * kDim + d, 9);
  }
  run_projected(attention, projection, changed.args()).value();
  for (std::size_t i = 0; i < problem.out.size(); ++i) {
    if (i / kDim % 22 < 21) {
      EXPECT_EQ(problem.out[i], changed.out[i]);
    }
  }
  EXPECT_NE(problem.out[21 * kDim], changed.out[21 * kDim]);
}

// B8: whatever padding holds, NaN included, is multiplied by nothing; longer matrices are cut by their view.
TEST(ProjectedKeys, LeavePaddingOut) {
  const std::vector<float> e = Random(5).normals(60 * 8);
  const std::int32_t length = 41;
  const Attention attention = compile_or_throw(engine_for("host"), spec_of("", shape_with_keys(kTokens)));
  Shape shape = shape_with_keys(kTokens), cut = shape_with_keys(length);
  shape.batch = cut.batch = 1;
  Problem padded(shape), exact(cut);
  for (Tensor Problem::* tensor : {&Problem::k, &Problem::v}) {
    for (std::size_t i = 0; i < (padded.*tensor).size(); ++i) {
      const std::size_t d = i % kDim, t = i / kDim % kTokens, h = i / kDim / kTokens;
      if (t < at(length))
        (exact.*tensor).set((h * at(length) + t) * kDim + d, (padded.*tensor)[i]);
      else
        (padded.*tensor).set(i, NAN);
    }
  }
  exact.q = padded.q;
  KeyProjection projection{.e = TensorView(e.data(), DType::kF32, {kTokens, 8}),
                           .token_lengths = TensorView(&length, DType::kI32, {1})};
  run_projected(attention, projection, padded.args()).value();
  projection.e = TensorView(e.data(), DType::kF32, {length, 8});
  projection.token_lengths = {};
  run_projected(attention, projection, exact.args()).value();
  EXPECT_EQ(padded.out.bytes, exact.out.bytes);
}

// As many scores a query, however many tokens there are.
TEST(ProjectedKeys, CostIsLinearInTheTokens) {
  covers("X03");
  const auto visited = [](std::int32_t tokens) {
    Problem problem({.batch = 1, .q_heads = 1, .kv_heads = 1, .q_len = tokens, .kv_len = tokens, .head_dim = 8});
    const std::vector<float> e = Random(1).normals(at(tokens * 32));
    const Attention plain = compile_or_throw(engine_for("host"), spec_of("", problem.shape));
    const KeyProjection linformer{.e = {e.data(), DType::kF32, {tokens, 32}}};
    return static_cast<double>(run_projected(plain, linformer, problem.args()).value().scores_visited);
  };
  EXPECT_NEAR(visited(8192) / visited(2048), 4, 0.2);
}

TEST(ProjectedKeys, OfHalfPrecisionAreRoundedOnce) {
  const PoolingCase one{"", KeyPooling::kDense, 9};
  const Projected projected(one);
  const Types types{DType::kBF16, DType::kBF16, DType::kBF16};
  AttentionSpec spec = spec_of("", shape_with_keys(kTokens));
  spec.dtype = DType::kBF16;
  const Attention attention = compile_or_throw(engine_for("host"), spec);
  Problem problem(shape_with_keys(kTokens), types), plain(shape_with_keys(9), types);
  run_projected(attention, projected.projection(), problem.args()).value();
  plain.q = problem.q;
  const Tensor k = projected.apply(projected.e, problem.k), v = projected.apply(projected.e, problem.v);
  plain.k.fill([&](std::size_t i) { return k[i]; });
  plain.v.fill([&](std::size_t i) { return v[i]; });
  attention.run(plain.args()).value();
  EXPECT_TRUE(outputs_agree(problem, plain, {4e-3}));
}

TEST(ProjectedKeys, RefuseWhatTheyCannotMean) {
  covers("X01");
  const std::vector<float> e(kTokens * 9);
  const KeyProjection dense{.e = TensorView(e.data(), DType::kF32, {kTokens, 9})};
  const Shape shape = shape_with_keys(kTokens);
  Problem problem(shape);
  const auto found = [&](const char* text, const KeyProjection& projection, const RunArgs& args) {
    const auto done = run_projected(compile_or_throw(engine_for("host"), spec_of(text, shape)), projection, args);
    return done.has_value() ? std::string() : render(done.diagnostics());
  };
  const auto expect = [](const std::string& text, const char* part) { EXPECT_NE(text.find(part), std::string::npos) << text; };
  expect(found("mask = kv_idx <= q_idx", dense, problem.args()), "pool them, or set allow_leak");
  EXPECT_EQ(found("mask = kv_idx < 5", dense, problem.args()), "");
  KeyProjection wrong = dense;
  wrong.e = TensorView(e.data(), DType::kF32, {kTokens - 1, 9});
  expect(found("", wrong, problem.args()), "e has tokens 44, but k has 45");
  wrong.e = {};
  expect(found("", wrong, problem.args()), "e has 0 dimensions; it must have 2");
  expect(found("", {.pooling = KeyPooling::kMean, .stride = 0}, problem.args()), "stride is 0");
  const std::int32_t lengths[] = {3, 46};
  wrong = dense;
  wrong.token_lengths = TensorView(lengths, DType::kI32, {2});
  expect(found("", wrong, problem.args()), "token_lengths[1] is 46; give 0 to 45");
  RunArgs args = problem.args();
  args.k.rank = 3;
  expect(found("", dense, args), "k has 3 dimensions");
  args = problem.args();
  const Sequences sequences{};
  args.sequences = &sequences;
  expect(found("", dense, args), "sequences is given");
  std::vector<float> de(1);
  const auto none = run_backward_projected(compile_or_throw(engine_for("host"), spec_of("", shape)),
                                           {.pooling = KeyPooling::kMean, .stride = 3}, problem.args(), {},
                                           {.e = MutableTensorView(de.data(), DType::kF32, {1})});
  expect(render(none.diagnostics()), "gradient of e is wanted, but this projection has none");
  EXPECT_EQ(run_projected(Attention(), dense, problem.args()).diagnostics()[0].kind, "empty-handle");
}

}  // namespace
}  // namespace flexjit::conformance
