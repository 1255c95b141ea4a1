// Gradients of modules: FlexAttention's by the chain rule over layers as loops and the oracle's attention; of the others by
// what small steps along a direction do to the module's own result, of which the values' part is linear and so exact.
#include <cmath>

#include "harness.h"
#include "support/checklist.h"
#include "support/gradients.h"
#include "support/sample.h"

namespace flexjit::conformance {
namespace {

using Numbers = std::vector<double>;

double dot(const auto& a, const auto& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += static_cast<double>(a[i]) * static_cast<double>(b[i]);
  return sum;
}

// (batch, length, heads, dim) element i as one of (batch, heads, length, dim).
struct ByHead {
  std::size_t length, heads, dim;
  std::size_t operator()(std::size_t i) const {
    const std::size_t d = i % dim, h = i / dim % heads, n = i / dim / heads % length, b = i / dim / heads / length;
    return ((b * heads + h) * length + n) * dim + d;
  }
};

// y (rows, outputs) of a layer, with the bias.
Numbers results_of(const LinearLayer& layer, const Numbers& x) {
  const std::size_t inputs = at(layer.inputs), outputs = at(layer.outputs);
  Numbers y(x.size() / inputs * outputs);
  for (std::size_t i = 0; i < y.size(); ++i) {
    y[i] = layer.bias.empty() ? 0 : layer.bias[i % outputs];
    for (std::size_t c = 0; c < inputs; ++c) y[i] += x[i / outputs * inputs + c] * layer.weight[i % outputs * inputs + c];
  }
  return y;
}

// What a layer's gradients are for that of its results: its own, and what is added to d_x.
testing::AssertionResult is_gradient(const LinearLayer& actual, const LinearLayer& layer, const Numbers& x, const Numbers& d_y,
                                     Numbers& d_x) {
  const std::size_t inputs = at(layer.inputs), outputs = at(layer.outputs);
  Numbers weight(layer.weight.size()), bias(layer.bias.size());
  for (std::size_t i = 0; i < d_y.size(); ++i) {
    if (!bias.empty()) bias[i % outputs] += d_y[i];
    for (std::size_t c = 0; c < inputs; ++c) {
      weight[i % outputs * inputs + c] += d_y[i] * x[i / outputs * inputs + c];
      d_x[i / outputs * inputs + c] += d_y[i] * layer.weight[i % outputs * inputs + c];
    }
  }
  const testing::AssertionResult of_bias = close(widened(actual.bias), bias, near(1e-5));
  return of_bias ? close(widened(actual.weight), weight, near(1e-5)) : of_bias;
}

// Layer by layer: longer than 40 lines.
TEST(ModulesBackward, FlexAttentionIsTheChainRule) {
  covers("F10");
  for (const bool has_bias : {false, true}) {
    const FlexAttention module =
        FlexAttention::create(
            {.hidden_size = 20, .num_heads = 4, .num_kv_heads = 2, .head_dim = 8, .use_bias = has_bias, .seed = 3},
            engine_for("host"))
            .value();
    BackwardProblem problem({.batch = 2, .q_heads = 4, .kv_heads = 2, .q_len = 13, .kv_len = 13, .head_dim = 8});
    const std::vector<float> x = Random(1).normals(2 * 13 * 20), d_y = Random(2).normals(x.size());
    const Numbers rows = widened(x), d_rows = widened(d_y);
    const ByHead by_query{13, 4, 8}, by_key{13, 2, 8};
    const auto take = [&](const LinearLayer& layer, const ByHead& place, test::Tensor& to) {
      const Numbers y = results_of(layer, rows);
      for (std::size_t i = 0; i < y.size(); ++i) to.set(place(i), y[i]);
    };
    take(module.q_proj, by_query, problem.forward.q);
    take(module.k_proj, by_key, problem.forward.k);
    take(module.v_proj, by_key, problem.forward.v);
    std::vector<float> slope{0.25F};
    std::vector<Real> slope_numbers{0.25};
    const GradientPattern pattern{
        .pattern = {
            .score = [&](Real score, const Position& p) { return score - slope_numbers[0] * std::abs(p.q_idx - p.kv_idx); },
            .mask = [](const Position& p) { return p.kv_idx <= p.q_idx; }},
        .buffers = {{"slope", &slope_numbers}},
        .has_lse = false};
    problem.want_buffer("slope", {1});
    const Numbers out = oracle(problem.forward, pattern.pattern).out;
    Numbers heads(out.size()), d_heads(out.size()), d_x(rows.size());
    for (std::size_t i = 0; i < out.size(); ++i) heads[i] = out[by_query(i)];

    Captures captures;
    captures.add("slope", {1}, slope);
    std::vector<float> d_slope(1);
    const FlexAttentionCall call{
        .score_mod = "score - slope[0] * abs(q_idx - kv_idx)", .mask_mod = "kv_idx <= q_idx", .bindings = &captures.bindings()};
    const FlexAttentionGradients found =
        module
            .backward({x.data(), DType::kF32, {2, 13, 20}}, {d_y.data(), DType::kF32, {2, 13, 20}}, call,
                      {{"slope", {d_slope.data(), DType::kF32, {1}}}})
            .value();
    EXPECT_TRUE(is_gradient(found.o_proj, module.o_proj, heads, d_rows, d_heads));
    for (std::size_t i = 0; i < out.size(); ++i) problem.d_out.set(by_query(i), d_heads[i]);
    const test::GradientValues expected = oracle_gradients(problem, pattern);
    const auto of_rows = [](const Numbers& of_heads, const ByHead& place) {
      Numbers all(of_heads.size());
      for (std::size_t i = 0; i < all.size(); ++i) all[i] = of_heads[place(i)];
      return all;
    };
    EXPECT_TRUE(is_gradient(found.q_proj, module.q_proj, rows, of_rows(expected.q, by_query), d_x));
    EXPECT_TRUE(is_gradient(found.k_proj, module.k_proj, rows, of_rows(expected.k, by_key), d_x));
    EXPECT_TRUE(is_gradient(found.v_proj, module.v_proj, rows, of_rows(expected.v, by_key), d_x));
    EXPECT_TRUE(close(widened(found.x), d_x, near(1e-5)));
    EXPECT_TRUE(close(widened(d_slope), expected.buffers.at("slope"), near(1e-4)));
    const auto narrow = module.backward({x.data(), DType::kF32, {2, 13, 20}}, {d_y.data(), DType::kF32, {2, 13, 10}});
    EXPECT_NE(render(narrow.diagnostics()).find("d_result has elements 10, but hidden_size has 20"), std::string::npos);
  }
}

// The change of <d, out> along a random direction at `numbers`, beside what their gradient says.
template <typename Loss>
void expect_slope(const char* what, std::vector<float>& numbers, const std::vector<float>& gradient, const Loss& loss) {
  ASSERT_EQ(gradient.size(), numbers.size()) << what;
  constexpr float kStep = 1.0F / 256;
  const std::vector<float> before = numbers, direction = Random(17).normals(numbers.size());
  const auto moved = [&](float step) {
    for (std::size_t i = 0; i < numbers.size(); ++i) numbers[i] = before[i] + step * direction[i];
    return loss();
  };
  const double slope = (moved(kStep) - moved(-kStep)) / (2 * kStep), expected = dot(gradient, direction);
  numbers = before;
  EXPECT_NEAR(slope, expected, 3e-3 * std::sqrt(dot(gradient, gradient))) << what;
}

// `more` are numbers that the module learns, each with its gradient in the result.
template <typename Module>
void expect_gradients(
    Module module, std::int64_t heads, std::int64_t length, std::int64_t dim,
    std::initializer_list<std::pair<std::vector<float> Module::*, std::vector<float> AttentionGradients::*>> more = {}) {
  const std::size_t count = at(static_cast<std::int32_t>(2 * heads * length * dim));
  std::vector<float> q = Random(1).normals(count), k = Random(2).normals(count), v = Random(3).normals(count);
  const std::vector<float> d = Random(4).normals(count);
  const auto view = [&](const std::vector<float>& x) { return TensorView(x.data(), DType::kF32, {2, heads, length, dim}); };
  const auto result = [&] { return module(view(q), view(k), view(v)).value(); };
  const auto loss = [&] { return dot(d, result()); };
  const AttentionGradients found = module.backward(view(q), view(k), view(v), view(d)).value();
  EXPECT_NEAR(dot(found.v, v), loss(), 1e-4 * std::sqrt(dot(d, d) * dot(result(), result())));
  expect_slope("q", q, found.q, loss);
  expect_slope("k", k, found.k, loss);
  expect_slope("v", v, found.v, loss);
  for (const auto& [numbers, gradient] : more) expect_slope("learned", module.*numbers, found.*gradient, loss);
}

TEST(ModulesBackward, OthersFollowTheirResults) {
  covers("X01", "X04", "X06", "X09", "X10");
  Sample sample;
  for (const bool shared : {true, false}) {
    if (!sample.next()) continue;
    auto linformer =
        LinformerAttention::create({.dim = 32, .n_heads = 2, .seq_len = 20, .proj_len = 6, .shared_proj = shared}).value();
    for (auto* learned : {&linformer.e, &linformer.f})
      for (float& each : *learned) each /= 5;
    if (shared)
      expect_gradients(linformer, 2, 20, 16, {{&LinformerAttention::e, &AttentionGradients::e}});
    else
      expect_gradients(linformer, 2, 20, 16,
                       {{&LinformerAttention::e, &AttentionGradients::e}, {&LinformerAttention::f, &AttentionGradients::f}});
  }
  if (sample.next())
    expect_gradients(PerformerAttention::create({.dim = 32, .n_heads = 2, .feature_dim = 24}).value(), 2, 30, 16);
  if (sample.next())
    expect_gradients(LongformerAttention::create({.window_size = 4, .global_positions = {0, 9}, .head_dim = 16}).value(), 2, 30,
                     16);
  SwinAttention::Options image{.dim = 32, .n_heads = 2, .height = 4, .width = 6, .window_size = 2, .shift_size = 1};
  if (sample.next()) expect_gradients(SwinAttention::create(image).value(), 2, 24, 16);
  image.rolled = true;
  if (sample.next()) expect_gradients(SwinAttention::create(image).value(), 2, 24, 16);
  image.window_size = 8;
  image.shift_size = 7;  // further than the image is high
  if (sample.next()) expect_gradients(SwinAttention::create(image).value(), 2, 24, 16);
  if (sample.next())
    expect_gradients(NeighborhoodAttention::create({.dim = 32, .n_heads = 2, .height = 5, .width = 6, .radius = 1}).value(), 2,
                     30, 16);
}

}  // namespace
}  // namespace flexjit::conformance
