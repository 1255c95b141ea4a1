// Trains the queries of causal attention: from the gradient of mean((out - target)^2) by out to its gradient by q, to queries
// of a smaller loss, five times. Before the first step the gradient is compared with differences of the loss, which the
// reference computes in fp64, so that the comparison shares no code with what it is about.
//
// The gradient of a mean over 65536 numbers is small, and a step of 0.01 along it changes the loss in its ninth digit. So the
// loss is summed in fp64, though all tensors are fp32.
#include <flexjit/flexjit.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <random>
#include <vector>

namespace {

using flexjit::DType, flexjit::TensorView, flexjit::MutableTensorView;

constexpr std::int64_t kHeads = 4, kLength = 256, kDim = 64, kCount = kHeads * kLength * kDim;
constexpr int kSteps = 5, kChecked = 24;
constexpr float kLearningRate = 0.01F;
constexpr double kTolerance = 1e-5;

struct Tensors {
  std::vector<float> q, k, v, target;
};

std::vector<float> normal_numbers(std::mt19937& random) {
  std::normal_distribution<float> normal;
  std::vector<float> numbers(kCount);
  std::generate(numbers.begin(), numbers.end(), [&] { return normal(random); });
  return numbers;
}

// (batch, heads, length, dim) of either element type.
template <typename View, typename Number>
View view_of(std::vector<Number>& numbers) {
  return View(numbers.data(), sizeof(Number) == sizeof(float) ? DType::kF32 : DType::kF64, {1, kHeads, kLength, kDim});
}

flexjit::Attention causal_attention(DType dtype) {
  flexjit::AttentionSpec spec;
  spec.mask_mod = "q_idx >= kv_idx";
  spec.dtype = dtype;
  spec.head_dim = kDim;
  return flexjit::default_engine().compile(spec).value();
}

// The loss as a function of single queries. A query has a part in its own row of the output alone, so no other is computed.
class ExactLoss {
 public:
  explicit ExactLoss(const Tensors& tensors)
      : attention_(causal_attention(DType::kF64)),
        q_(tensors.q.begin(), tensors.q.end()),
        k_(tensors.k.begin(), tensors.k.end()),
        v_(tensors.v.begin(), tensors.v.end()),
        target_(tensors.target.begin(), tensors.target.end()),
        out_(kCount) {}

  // d loss / d q[element], but for the square of the step.
  double difference_quotient(std::size_t element) {
    constexpr double kStep = 1e-4;
    const double value = q_[element];
    q_[element] = value + kStep;
    const double above = part_of_row(element);
    q_[element] = value - kStep;
    const double below = part_of_row(element);
    q_[element] = value;
    return (above - below) / (2 * kStep);
  }

 private:
  // What the row of this element adds to the loss.
  double part_of_row(std::size_t element) {
    const auto row = static_cast<std::int32_t>(static_cast<std::int64_t>(element) / kDim % kLength);
    const flexjit::RunArgs args{.q = view_of<TensorView>(q_),
                                .k = view_of<TensorView>(k_),
                                .v = view_of<TensorView>(v_),
                                .out = view_of<MutableTensorView>(out_)};
    attention_.run_reference(args, {.q_begin = row, .q_count = 1}).value();
    const std::size_t begin = element / kDim * kDim;
    double sum = 0;
    for (std::size_t i = begin; i < begin + kDim; ++i) sum += (out_[i] - target_[i]) * (out_[i] - target_[i]);
    return sum / kCount;
  }

  flexjit::Attention attention_;
  std::vector<double> q_, k_, v_, target_, out_;
};

// The largest error of some elements of the gradient, as a part of the largest of these.
double largest_error(const Tensors& tensors, const std::vector<float>& d_q) {
  ExactLoss loss(tensors);
  double error = 0, largest = 0;
  for (int i = 0; i < kChecked; ++i) {
    const auto element = static_cast<std::size_t>((i * 27283 + 64) % kCount);  // of all heads, early and late rows
    const double expected = loss.difference_quotient(element);
    error = std::max(error, std::abs(d_q[element] - expected));
    largest = std::max(largest, std::abs(expected));
  }
  std::printf("dQ against differences: largest error %.1e of gradients up to %.1e\n", error, largest);
  return error / largest;
}

}  // namespace

int main() {
  std::mt19937 random(1);
  Tensors tensors{normal_numbers(random), normal_numbers(random), normal_numbers(random), normal_numbers(random)};
  std::vector<float> out(kCount), lse(kHeads * kLength), d_out(kCount), d_q(kCount);

  const flexjit::Attention attention = causal_attention(DType::kF32);
  const flexjit::RunArgs forward{.q = view_of<TensorView>(tensors.q),
                                 .k = view_of<TensorView>(tensors.k),
                                 .v = view_of<TensorView>(tensors.v),
                                 .out = view_of<MutableTensorView>(out),
                                 .lse = MutableTensorView(lse.data(), DType::kF32, {1, kHeads, kLength})};
  const flexjit::Gradients gradients{.out = view_of<TensorView>(d_out), .q = view_of<MutableTensorView>(d_q)};

  bool right = true;
  double before = HUGE_VAL;
  for (int step = 1; step <= kSteps; ++step) {
    attention.run(forward).value();
    double loss = 0;
    for (std::size_t i = 0; i < kCount; ++i) {
      const float difference = out[i] - tensors.target[i];
      loss += static_cast<double>(difference) * difference / kCount;
      d_out[i] = 2 * difference / kCount;
    }
    flexjit::run_backward(attention, forward, gradients).value();
    if (step == 1) right = largest_error(tensors, d_q) <= kTolerance;
    std::printf("Step %d: Loss = %.12f\n", step, loss);
    right = right && loss < before;
    before = loss;
    for (std::size_t i = 0; i < kCount; ++i) tensors.q[i] -= kLearningRate * d_q[i];
  }
  if (!right) std::puts("the gradient is wrong, or the loss does not fall");
  return right ? 0 : 1;
}
