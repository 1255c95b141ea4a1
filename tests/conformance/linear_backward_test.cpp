// Gradients of linear weights against differences of the definition, in long double.
#include "flexjit/backward.h"

#include <algorithm>

#include "on_backends.h"
#include "support/checklist.h"
#include "support/linear_oracle.h"

namespace flexjit::conformance {
namespace {

// The loss is sum of out * grad_out; its derivative by one element, by differences.
class Differences {
 public:
  Differences(const Problem& problem, const LinearOracle& of, const Tensor& grad_out)
      : problem_(problem), of_(of), grad_out_(grad_out.values()) {}

  double by(Tensor Problem::* tensor, std::size_t i) {
    constexpr double kStep = 1e-5;
    const double at = (problem_.*tensor)[i];
    const Real above = loss(tensor, i, at + kStep), below = loss(tensor, i, at - kStep);
    (problem_.*tensor).set(i, at);
    return static_cast<double>((above - below) / (2 * kStep));
  }

 private:
  Real loss(Tensor Problem::* tensor, std::size_t i, double value) {
    (problem_.*tensor).set(i, value);
    const std::vector<double> out = linear_oracle(problem_, of_);
    Real sum = 0;
    for (std::size_t n = 0; n < out.size(); ++n) sum += Real{out[n]} * grad_out_[n];
    return sum;
  }

  Problem problem_;
  LinearOracle of_;
  std::vector<double> grad_out_;
};

struct GradientTensors {
  explicit GradientTensors(const Problem& problem, DType dtype)
      : out(problem.out),
        q(dtype, extents(problem.shape.q_heads, problem.shape.q_len, problem.shape.head_dim, problem)),
        k(dtype, extents(problem.shape.kv_heads, problem.shape.kv_len, problem.shape.head_dim, problem)),
        v(dtype, extents(problem.shape.kv_heads, problem.shape.kv_len, problem.shape.value_dim(), problem)) {
    Random random(99);
    out.fill([&](std::size_t) { return static_cast<double>(random.normal()); });
  }
  static Extents extents(std::int32_t heads, std::int32_t length, std::int32_t dim, const Problem& problem) {
    return {problem.shape.batch, heads, length, dim};
  }
  Gradients gradients() { return {.out = std::as_const(out).view(), .q = q.view(), .k = k.view(), .v = v.view()}; }
  Tensor out, q, k, v;
};

class LinearBackwardOn : public OnBackends {
 protected:
  // fp64, so that differences tell; some elements of each gradient.
  static void expect_gradients(AttentionSpec spec, const Shape& shape, const LinearOracle& of,
                               const Bindings* bindings = nullptr) {
    spec.dtype = DType::kF64;
    spec.head_dim = shape.head_dim;
    spec.v_head_dim = shape.v_head_dim;
    spec.weights = Weights::kLinear;
    const Types types{DType::kF64, DType::kF64, DType::kF64};
    Problem problem(shape, types, 3);
    GradientTensors gradients(problem, DType::kF64);
    const Attention attention = compile_or_throw(engine(), spec);
    RunArgs args = problem.args(bindings);
    args.lse = {};
    attention.run(args).value();
    run_backward(attention, args, gradients.gradients()).value();
    Differences differences(problem, of, gradients.out);
    const struct {
      const char* name;
      const Tensor& gradient;
      Tensor Problem::* tensor;
    } kTensors[] = {{"q", gradients.q, &Problem::q}, {"k", gradients.k, &Problem::k}, {"v", gradients.v, &Problem::v}};
    for (const auto& [name, gradient, tensor] : kTensors) {
      const std::size_t step = std::max<std::size_t>(gradient.size() / 12, 1);
      for (std::size_t i = step / 2; i < gradient.size(); i += step) {
        const double expected = differences.by(tensor, i);
        EXPECT_NEAR(gradient[i], expected, 2e-7 * (1 + std::abs(expected))) << name << " " << i << ", " << to_string(shape);
      }
    }
  }
};

std::function<bool(const Position&)> up_to_the_diagonal(const Shape& shape) {
  return [offset = shape.kv_len - shape.q_len](const Position& p) { return p.kv_idx <= p.q_idx + offset; };
}

TEST_P(LinearBackwardOn, OfNamedMaps) {
  const Shape shape{.batch = 2, .q_heads = 2, .kv_heads = 1, .q_len = 35, .kv_len = 35, .head_dim = 6, .v_head_dim = 5};
  const std::vector<float> numbers = random_features({.features = 9, .head_dim = 6, .seed = 4}).value();
  Captures captures;
  captures.add("W", {9, 6}, numbers);
  Matrix w;
  for (std::size_t f = 0; f < 9; ++f) w.emplace_back(numbers.begin() + f * 6, numbers.begin() + (f + 1) * 6);
  for (const bool causal : {false, true}) {
    for (const bool normalised : {true, false}) {
      SCOPED_TRACE(testing::Message() << "causal " << causal << ", normalised " << normalised);
      AttentionSpec spec;
      spec.causal = causal;
      spec.linear.normalised = normalised;
      LinearOracle of{.map = elu1_map(), .normalised = normalised};
      if (causal) of.mask = up_to_the_diagonal(shape);
      expect_gradients(spec, shape, of);
      spec.buffers = {{.name = "W", .dtype = DType::kF32, .rank = 2}};
      spec.linear.feature_map = "favor(W)";
      spec.linear.features = 9;
      of.map = favor_map(w, 1e-4);
      expect_gradients(spec, shape, of, &captures.bindings());
    }
  }
}

TEST_P(LinearBackwardOn, OfLengthsThatDiffer) {
  for (const auto& [q_len, kv_len] : {std::pair{7, 50}, {50, 7}, {1, 33}}) {
    const Shape shape{.q_len = q_len, .kv_len = kv_len, .head_dim = 4};
    AttentionSpec spec;
    spec.causal = true;
    expect_gradients(spec, shape, {.map = elu1_map(), .mask = up_to_the_diagonal(shape)});
  }
}

// B7: the normaliser's part in the gradient of k; and that masked keys have none at all.
TEST_P(LinearBackwardOn, OfMaskedKeys) {
  const Shape shape{.q_heads = 2, .kv_heads = 2, .q_len = 40, .kv_len = 40, .head_dim = 8};
  AttentionSpec spec;
  spec.mask_mod = "kv_idx % 5 != 1 && kv_idx <= q_idx";
  const auto allowed = [](const Position& p) { return p.kv_idx % 5 != 1 && p.kv_idx <= p.q_idx; };
  expect_gradients(spec, shape, {.map = elu1_map(), .mask = allowed});
}

// Half types: within their rounding of the gradients of fp32, and in fp32 where that is wanted.
TEST_P(LinearBackwardOn, OfHalfTypes) {
  const Shape shape{.q_heads = 2, .kv_heads = 1, .q_len = 70, .kv_len = 70, .head_dim = 20, .v_head_dim = 24};
  AttentionSpec spec;
  spec.head_dim = shape.head_dim;
  spec.v_head_dim = shape.v_head_dim;
  spec.weights = Weights::kLinear;
  spec.causal = true;
  Problem half(shape, {DType::kBF16, DType::kBF16, DType::kF32}, 8), whole(shape, {}, 8);
  for (const auto tensor : {&Problem::q, &Problem::k, &Problem::v})
    (whole.*tensor).fill([&](std::size_t i) { return (half.*tensor)[i]; });
  GradientTensors of_half(half, DType::kBF16), of_whole(whole, DType::kF32);
  for (Problem* problem : {&half, &whole}) {
    spec.dtype = spec.kv_dtype.emplace(problem->types.q);
    spec.out_dtype = DType::kF32;
    const Attention attention = compile_or_throw(engine(), spec);
    RunArgs args = problem->args();
    args.lse = {};
    attention.run(args).value();
    run_backward(attention, args, (problem == &half ? of_half : of_whole).gradients()).value();
  }
  for (const auto tensor : {&GradientTensors::q, &GradientTensors::k, &GradientTensors::v})
    EXPECT_TRUE(close((of_half.*tensor).values(), (of_whole.*tensor).values(), near(8e-3)));
}

INSTANTIATE_TEST_SUITE_P(Backends, LinearBackwardOn, testing::ValuesIn(arithmetics_here()), name_of_backend);

TEST(LinearBackward, IsRefusedWhereThereIsNone) {
  const Shape shape{.q_len = 4, .kv_len = 4, .head_dim = 8};
  const auto text_of = [&](AttentionSpec spec, bool buffers = false) {
    spec.head_dim = 8;
    spec.weights = Weights::kLinear;
    const Attention attention = compile_or_throw(engine_for("host"), spec);
    Problem problem(shape);
    RunArgs args = problem.args();
    args.lse = {};
    GradientTensors tensors(problem, DType::kF32);
    Gradients gradients = tensors.gradients();
    if (buffers) gradients.buffers["W"] = {};
    return render(run_backward(attention, args, gradients).diagnostics());
  };
  AttentionSpec gated;
  gated.causal = true;
  gated.linear.gate = "0.5";
  EXPECT_EQ(text_of(gated),
            "run_backward: error: this gradient is not there for linear weights; gates have none, nor what they fade\n");
  AttentionSpec general;
  general.mask_mod = "abs(q_idx - kv_idx) < 2";
  EXPECT_EQ(
      text_of(general),
      "run_backward: error: this gradient is not there for linear weights; they are computed by kernels alone, under causal "
      "masks, masks of keys or both\n");
  EXPECT_EQ(text_of({}, true),
            "run_backward: error: this gradient is not there for linear weights; captured buffers have none\n");
}

}  // namespace
}  // namespace flexjit::conformance
