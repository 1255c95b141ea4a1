// Modules beside what their layers and masks are by the definition, in long double.
#include <algorithm>
#include <cmath>
#include <functional>

#include "harness.h"
#include "support/checklist.h"
#include "support/sample.h"

namespace flexjit::conformance {
namespace {

using Numbers = std::vector<double>;

// y = x W^T + bias of rows.
Numbers applied(const LinearLayer& layer, const Numbers& x) {
  const std::size_t inputs = at(layer.inputs), outputs = at(layer.outputs), rows = x.size() / inputs;
  Numbers y(rows * outputs);
  for (std::size_t i = 0; i < rows; ++i) {
    for (std::size_t o = 0; o < outputs; ++o) {
      double sum = layer.bias.empty() ? 0 : layer.bias[o];
      for (std::size_t c = 0; c < inputs; ++c) sum += x[i * inputs + c] * layer.weight[o * inputs + c];
      y[i * outputs + o] = sum;
    }
  }
  return y;
}

// (batch, length, heads, dim) to (batch, heads, length, dim), or back with the two exchanged.
Numbers exchanged(const Numbers& x, std::size_t batch, std::size_t first, std::size_t second) {
  Numbers y(x.size());
  const std::size_t dim = x.size() / batch / first / second;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const std::size_t d = i % dim, b2 = i / dim % second, b1 = i / dim / second % first, b = i / dim / second / first;
    y[((b * second + b2) * first + b1) * dim + d] = x[i];
  }
  return y;
}

Numbers by_definition(const FlexAttention& module, const Shape& shape, const std::vector<float>& x,
                      const OraclePattern& pattern) {
  const Numbers rows(x.begin(), x.end());
  Problem problem(shape);
  const auto heads = [&](const LinearLayer& layer, std::int32_t count) {
    return exchanged(applied(layer, rows), at(shape.batch), at(shape.q_len), at(count));
  };
  const Numbers q = heads(module.q_proj, shape.q_heads), k = heads(module.k_proj, shape.kv_heads),
                v = heads(module.v_proj, shape.kv_heads);
  problem.q.fill([&](std::size_t i) { return q[i]; });
  problem.k.fill([&](std::size_t i) { return k[i]; });
  problem.v.fill([&](std::size_t i) { return v[i]; });
  return applied(module.o_proj, exchanged(oracle(problem, pattern).out, at(shape.batch), at(shape.q_heads), at(shape.q_len)));
}

TEST(Modules, FlexAttentionIsAttentionBetweenProjections) {
  covers("F10", "F25", "F28", "F11");
  struct Case {
    FlexAttentionOptions options;
    std::int32_t batch, length;
  };
  const Case cases[] = {
      {{.hidden_size = 768, .num_heads = 12, .num_kv_heads = 4, .head_dim = 64}, 1, 40},
      {{.hidden_size = 128, .num_heads = 4, .use_bias = true}, 2, 16},
      {{.hidden_size = 64, .num_heads = 2}, 2, 8},
      {{.hidden_size = 60, .num_heads = 4, .num_kv_heads = 2, .head_dim = 10, .use_bias = true, .seed = 9}, 3, 101}};
  for (const Case& one : cases) {
    const FlexAttention module = FlexAttention::create(one.options, engine_for("host")).value();
    const FlexAttentionOptions& sizes = module.options();
    SCOPED_TRACE(sizes.hidden_size);
    EXPECT_EQ(module.q_proj.weight.size(), at(sizes.hidden_size) * at(sizes.num_heads * sizes.head_dim));
    EXPECT_EQ(module.k_proj.weight.size(), at(sizes.hidden_size) * at(sizes.num_kv_heads * sizes.head_dim));
    EXPECT_EQ(module.v_proj.weight.size(), module.k_proj.weight.size());
    EXPECT_EQ(module.o_proj.weight.size(), module.q_proj.weight.size());
    EXPECT_EQ(module.q_proj.bias.empty(), !one.options.use_bias);
    const std::vector<float> x = Random(1).normals(at(one.batch * one.length * sizes.hidden_size));
    const TensorView view(x.data(), DType::kF32, {one.batch, one.length, sizes.hidden_size});
    const Shape shape{.batch = one.batch,
                      .q_heads = sizes.num_heads,
                      .kv_heads = sizes.num_kv_heads,
                      .q_len = one.length,
                      .kv_len = one.length,
                      .head_dim = sizes.head_dim};
    EXPECT_TRUE(close(widened(module(view).value()), by_definition(module, shape, x, {}), near(1e-5)));
    Captures captures;
    captures.add("slope", {1}, std::vector<float>{0.25F});
    const OraclePattern biased{
        .score = [](Real score, const Position& p) { return score - Real(0.25F) * std::abs(p.q_idx - p.kv_idx); },
        .mask = [](const Position& p) { return p.kv_idx <= p.q_idx; }};
    const auto out = module(view, {.score_mod = "score - slope[0] * abs(q_idx - kv_idx)",
                                   .mask_mod = "kv_idx <= q_idx",
                                   .bindings = &captures.bindings()});
    EXPECT_TRUE(close(widened(out.value()), by_definition(module, shape, x, biased), near(1e-5)));
  }
}

TEST(Modules, FlexAttentionDropsInTrainingAlone) {
  covers("F12");
  FlexAttention module =
      FlexAttention::create({.hidden_size = 64, .num_heads = 4, .dropout = 0.5, .default_mask = "kv_idx <= q_idx"},
                            engine_for("host"))
          .value();
  const std::vector<float> x = Random(2).normals(2 * 30 * 64);
  const TensorView view(x.data(), DType::kF32, {2, 30, 64});
  const std::vector<float> plain = module(view).value(), dropped = module(view, {.training = true}).value();
  EXPECT_NE(plain, dropped);
  EXPECT_EQ(dropped, module(view, {.training = true}).value());
  EXPECT_EQ(plain, module(view, {.mask_mod = "kv_idx <= q_idx"}).value());
  EXPECT_NE(plain, module(view, {.mask_mod = "true"}).value());
  module.q_proj.weight.pop_back();
  EXPECT_NE(render(module(view).diagnostics()).find("the number of weights of q_proj is 4095; give 64 x 64"),
            std::string::npos);
  const TensorView narrow(x.data(), DType::kF32, {2, 30, 32});
  EXPECT_NE(render(module(narrow).diagnostics()).find("x has elements 32, but hidden_size has 64"), std::string::npos);
  for (const FlexAttentionOptions& options :
       {FlexAttentionOptions{.hidden_size = 0}, {.num_heads = 12, .num_kv_heads = 5}, {.head_dim = 1025}, {.dropout = 2}})
    EXPECT_EQ(FlexAttention::create(options).diagnostics()[0].kind, "bad-option");
}

// What a module of q, k and v gives, as the output of a problem.
template <typename Module>
void run_module(const Module& module, Problem& problem) {
  const std::vector<float> out = module(problem.q.view(), problem.k.view(), problem.v.view()).value();
  ASSERT_EQ(out.size(), problem.out.size());
  problem.out.fill([&](std::size_t i) { return out[i]; });
}

testing::AssertionResult is_masked(const Problem& problem, const std::function<bool(int, int)>& allowed) {
  return close(problem.out.values(),
               oracle(problem, {.mask = [&](const Position& p) { return allowed(p.q_idx, p.kv_idx); }}).out, near(1e-5));
}

// The examples' own case, and the shapes of their test with fewer sequences and heads.
TEST(Modules, LinformerMeetsProjectedKeys) {
  covers("X01", "X02");
  struct Case {
    std::int32_t batch, heads, length, dim, keys;
    bool shared = true;
  };
  Sample sample;
  for (const Case& one :
       {Case{2, 2, 1024, 64, 128}, {1, 1, 1024, 128, 128, false}, {1, 1, 2048, 64, 256}, {1, 1, 4096, 80, 512, false}}) {
    if (!sample.next()) continue;
    SCOPED_TRACE(one.length);
    Shape shape{.batch = one.batch,
                .q_heads = one.heads,
                .kv_heads = one.heads,
                .q_len = one.length,
                .kv_len = one.length,
                .head_dim = one.dim};
    LinformerAttention module = LinformerAttention::create({.dim = one.heads * one.dim,
                                                            .n_heads = one.heads,
                                                            .seq_len = one.length,
                                                            .proj_len = one.keys,
                                                            .shared_proj = one.shared})
                                    .value();
    ASSERT_EQ(module.e.size(), at(one.length * one.keys));
    // As drawn, keys are sums of thousands, and scores in the hundreds, whose last bits decide.
    for (float& each : module.e) each /= std::sqrt(static_cast<float>(one.length));
    for (float& each : module.f) each /= std::sqrt(static_cast<float>(one.length));
    Problem problem(shape);
    run_module(module, problem);
    shape.kv_len = one.keys;
    Problem projected(shape);
    projected.q = problem.q;
    projected.out = problem.out;
    const std::size_t length = at(one.length), dim = at(one.dim), keys = at(one.keys);
    const auto project = [&](const Tensor& source, const std::vector<float>& e, Tensor& into) {
      Numbers sums(into.size());
      for (std::size_t i = 0; i < source.size(); ++i) {
        const std::size_t d = i % dim, n = i / dim % length, pair = i / dim / length;
        const double x = source[i];
        for (std::size_t m = 0; m < keys; ++m) sums[(pair * keys + m) * dim + d] += x * e[n * keys + m];
      }
      into.fill([&](std::size_t i) { return sums[i]; });
    };
    project(problem.k, module.e, projected.k);
    project(problem.v, one.shared ? module.e : module.f, projected.v);
    EXPECT_TRUE(close(problem.out.values(), oracle(projected, {}).out, near(1e-5)));
  }
  const std::vector<float> x(8 * 100 * 64);
  const TensorView short_one(x.data(), DType::kF32, {1, 8, 100, 64});
  const auto refused = LinformerAttention::create({}).value()(short_one, short_one, short_one);
  EXPECT_NE(render(refused.diagnostics()).find("k has tokens 100, but the module has 1024"), std::string::npos);
}

TEST(Modules, PerformerMeetsFeatures) {
  covers("X04", "X05", "C20");
  const Shape shape{.batch = 1, .q_heads = 2, .kv_heads = 2, .q_len = 60, .kv_len = 60, .head_dim = 16};
  for (const auto features : {PerformerAttention::Features::kExpClamp, PerformerAttention::Features::kOrthogonal}) {
    const PerformerAttention module =
        PerformerAttention::create({.dim = 32, .n_heads = 2, .feature_dim = 24, .features = features}).value();
    ASSERT_EQ(module.w.size(), 24U * 16U);
    Problem problem(shape);
    run_module(module, problem);
    const auto feature = [&](const Tensor& x, std::size_t row, std::size_t r) {
      double along = 0, squares = 0;
      for (std::size_t d = 0; d < 16; ++d) {
        along += x[row * 16 + d] * module.w[r * 16 + d];
        squares += x[row * 16 + d] * x[row * 16 + d];
      }
      if (features == PerformerAttention::Features::kExpClamp) return std::exp(std::clamp(along / 4, -10.0, 10.0));
      return std::exp(along / 2 - squares / 8) + 1e-4;
    };
    Numbers expected(problem.out.size());
    for (std::size_t row = 0; row < 120; ++row) {
      double sum = 0;
      for (std::size_t j = row / 60 * 60; j < row / 60 * 60 + 60; ++j) {
        double weight = 0;
        for (std::size_t r = 0; r < 24; ++r) weight += feature(problem.q, row, r) * feature(problem.k, j, r);
        sum += weight;
        for (std::size_t d = 0; d < 16; ++d) expected[row * 16 + d] += weight * problem.v[j * 16 + d];
      }
      for (std::size_t d = 0; d < 16; ++d) expected[row * 16 + d] /= sum;
    }
    EXPECT_TRUE(close(problem.out.values(), expected, near(1e-4)));
  }
  EXPECT_FALSE(PerformerAttention::create({.dim = 33, .n_heads = 2}).has_value());
}

TEST(Modules, LongformerSeesItsBandAndGlobalPositions) {
  covers("X06", "X07");
  Problem problem({.batch = 2, .q_heads = 2, .kv_heads = 2, .q_len = 90, .kv_len = 90, .head_dim = 16});
  run_module(LongformerAttention::create({.window_size = 8, .global_positions = {0, 1, 50, 400}, .head_dim = 16}).value(),
             problem);
  EXPECT_TRUE(is_masked(problem, [](int q, int k) {
    const auto global = [](int i) { return i == 0 || i == 1 || i == 50; };
    return global(q) || global(k) || std::abs(q - k) <= 8;
  }));
  EXPECT_FALSE(LongformerAttention::create({.global_positions = {-1}}).has_value());
}

TEST(Modules, SwinIsSwinsOrThatOfTheExamples) {
  covers("X08", "X09", "C19");
  const Shape shape{.batch = 2, .q_heads = 2, .kv_heads = 2, .q_len = 96, .kv_len = 96, .head_dim = 12};
  SwinAttention::Options options{.dim = 24, .n_heads = 2, .height = 8, .width = 12, .window_size = 4};
  Problem plain(shape), shifted(shape), rolled(shape);
  const auto same_window = [](int q, int k) { return q / 12 / 4 == k / 12 / 4 && q % 12 / 4 == k % 12 / 4; };
  run_module(SwinAttention::create(options).value(), plain);
  EXPECT_TRUE(is_masked(plain, same_window));
  options.shift_size = 1;
  run_module(SwinAttention::create(options).value(), shifted);
  const auto part = [](int x, int extent) { return std::pair((x + extent - 1) % extent / 4, x < 1); };
  EXPECT_TRUE(is_masked(
      shifted, [&](int q, int k) { return part(q / 12, 8) == part(k / 12, 8) && part(q % 12, 12) == part(k % 12, 12); }));
  options.rolled = true;
  run_module(SwinAttention::create(options).value(), rolled);
  Problem expected(shape);  // the examples' order: roll, windows, and nothing rolled back
  for (Tensor Problem::* tensor : {&Problem::q, &Problem::k, &Problem::v}) {
    const Numbers values = (rolled.*tensor).values();
    (expected.*tensor).fill([&](std::size_t i) {
      const std::size_t d = i % 12, n = i / 12 % 96, pair = i / 12 / 96;
      return values[(pair * 96 + (n / 12 + 1) % 8 * 12 + (n % 12 + 1) % 12) * 12 + d];
    });
  }
  expected.out = rolled.out;
  EXPECT_TRUE(is_masked(expected, same_window));
  EXPECT_FALSE(SwinAttention::create({.window_size = 7, .shift_size = 7}).has_value());
}

TEST(Modules, NeighborhoodIsClipped) {
  covers("X10");
  Problem problem({.batch = 1, .q_heads = 2, .kv_heads = 2, .q_len = 70, .kv_len = 70, .head_dim = 12});
  run_module(NeighborhoodAttention::create({.dim = 24, .n_heads = 2, .height = 7, .width = 10, .radius = 2}).value(), problem);
  EXPECT_TRUE(
      is_masked(problem, [](int q, int k) { return std::abs(q / 10 - k / 10) <= 2 && std::abs(q % 10 - k % 10) <= 2; }));
  const auto refused = NeighborhoodAttention::create({}).value()(problem.q.view(), problem.k.view(), problem.v.view());
  EXPECT_NE(render(refused.diagnostics()).find("q has heads 2, but the module has 8"), std::string::npos);
}

}  // namespace
}  // namespace flexjit::conformance
