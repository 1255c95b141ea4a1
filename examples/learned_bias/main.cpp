// Learns what an attention adds to its scores from nothing but what it gives: a table of biases, one for each head and distance
// up to 8, and an ALiBi slope for each head. Teacher and student are one compiled pattern with other buffers; the student's
// begin as 0, and follow the gradients that run_backward finds for captured buffers.
//
// A number that is added to all scores of a row changes no weight. So a head's table is known but for a constant, and both
// tables are printed, and compared, as differences from their first entry.
#include <flexjit/flexjit.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <vector>

namespace {

using flexjit::DType, flexjit::TensorView, flexjit::MutableTensorView;

constexpr std::int64_t kHeads = 4, kLength = 256, kDim = 32, kCount = kHeads * kLength * kDim;
constexpr std::int64_t kEntries = 9;  // as in the pattern

constexpr const char* kPattern = R"(
buffer table : f32[num_heads, 9]
buffer slope : f32[num_heads]
let distance = q_idx - kv_idx
score = score + table[h, clamp(distance, 0, 8)] - slope[h] * distance
mask  = distance >= 0
)";

struct Bias {
  std::vector<float> table = std::vector<float>(kHeads * kEntries);
  std::vector<float> slope = std::vector<float>(kHeads);
};

Bias teacher_bias(std::mt19937& random) {
  std::normal_distribution<float> normal;
  Bias bias;
  for (float& entry : bias.table) entry = normal(random) / 2;
  for (std::size_t h = 0; h < kHeads; ++h) bias.slope[h] = std::ldexp(0.25F, -static_cast<int>(h));
  return bias;
}

// The bindings look at `bias`, which must outlive them.
flexjit::Bindings bindings_of(Bias& bias) {
  flexjit::Bindings bindings;
  bindings.buffers["table"] = TensorView(bias.table.data(), DType::kF32, {kHeads, kEntries});
  bindings.buffers["slope"] = TensorView(bias.slope.data(), DType::kF32, {kHeads});
  return bindings;
}

// Steps of Adam (Kingma and Ba, 2015) for the numbers of one vector.
class Adam {
 public:
  explicit Adam(std::vector<float>& numbers) : numbers_(numbers), mean_(numbers.size()), square_(numbers.size()) {}

  void step(const std::vector<float>& gradient, float rate) {
    constexpr float kMean = 0.9F, kSquare = 0.99F;
    mean_weight_ *= kMean;
    square_weight_ *= kSquare;
    for (std::size_t i = 0; i < numbers_.size(); ++i) {
      mean_[i] += (1 - kMean) * (gradient[i] - mean_[i]);
      square_[i] += (1 - kSquare) * (gradient[i] * gradient[i] - square_[i]);
      const float mean = mean_[i] / (1 - mean_weight_), square = square_[i] / (1 - square_weight_);
      numbers_[i] -= rate * mean / (std::sqrt(square) + 1e-12F);
    }
  }

 private:
  std::vector<float>& numbers_;
  std::vector<float> mean_, square_;
  float mean_weight_ = 1, square_weight_ = 1;
};

// The largest difference between what the two add, beyond what can be known.
float print_both(const Bias& teacher, const Bias& student) {
  float largest = 0;
  for (std::size_t h = 0; h < kHeads; ++h) {
    for (const Bias* bias : {&teacher, &student}) {
      std::printf("head %zu  %s  slope %8.5f  table", h, bias == &teacher ? "teacher" : "student", bias->slope[h]);
      const float* row = bias->table.data() + h * kEntries;
      for (std::size_t i = 1; i < kEntries; ++i) std::printf(" %8.5f", row[i] - row[0]);
      std::putchar('\n');
    }
    largest = std::max(largest, std::abs(student.slope[h] - teacher.slope[h]));
    const float *wanted = teacher.table.data() + h * kEntries, *found = student.table.data() + h * kEntries;
    for (std::size_t i = 1; i < kEntries; ++i) {
      largest = std::max(largest, std::abs((found[i] - found[0]) - (wanted[i] - wanted[0])));
    }
  }
  return largest;
}

struct Losses {
  double first = 0, last = 0;
};

// `forward` reads what `student` holds and writes `out`; its lse is kept here.
Losses learn(const flexjit::Attention& attention, flexjit::RunArgs forward, Bias& student, const std::vector<float>& wanted,
             const std::vector<float>& out) {
  constexpr int kSteps = 1000;
  std::vector<float> lse(kHeads * kLength), d_out(kCount);
  Bias d_bias;
  forward.lse = MutableTensorView(lse.data(), DType::kF32, {1, kHeads, kLength});
  flexjit::Gradients gradients{.out = TensorView(d_out.data(), DType::kF32, {1, kHeads, kLength, kDim})};
  gradients.buffers["table"] = MutableTensorView(d_bias.table.data(), DType::kF32, {kHeads, kEntries});
  gradients.buffers["slope"] = MutableTensorView(d_bias.slope.data(), DType::kF32, {kHeads});

  Adam table(student.table), slope(student.slope);
  Losses losses;
  for (int step = 0; step <= kSteps; ++step) {
    attention.run(forward).value();
    losses.last = 0;
    for (std::size_t i = 0; i < kCount; ++i) {
      const float difference = out[i] - wanted[i];
      losses.last += static_cast<double>(difference) * difference / kCount;
      d_out[i] = 2 * difference / kCount;
    }
    if (step == 0) losses.first = losses.last;
    if (step % 100 == 0) std::printf("step %4d: loss %.3e\n", step, losses.last);
    flexjit::run_backward(attention, forward, gradients).value();
    const float rate = 0.1F * (1 - static_cast<float>(step) / (kSteps + 1));
    table.step(d_bias.table, rate);
    slope.step(d_bias.slope, rate / 4);
  }
  return losses;
}

}  // namespace

int main() {
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  std::vector<float> q(kCount), k(kCount), v(kCount), wanted(kCount), out(kCount);
  for (std::vector<float>* tensor : {&q, &k, &v}) {
    std::generate(tensor->begin(), tensor->end(), [&] { return normal(random); });
  }
  Bias teacher = teacher_bias(random), student;
  const flexjit::Bindings taught = bindings_of(teacher), learned = bindings_of(student);

  flexjit::AttentionSpec spec;
  spec.program = kPattern;
  spec.head_dim = kDim;
  const flexjit::Attention attention = flexjit::default_engine().compile(spec).value();
  flexjit::RunArgs args{.q = TensorView(q.data(), DType::kF32, {1, kHeads, kLength, kDim}),
                        .k = TensorView(k.data(), DType::kF32, {1, kHeads, kLength, kDim}),
                        .v = TensorView(v.data(), DType::kF32, {1, kHeads, kLength, kDim}),
                        .out = MutableTensorView(wanted.data(), DType::kF32, {1, kHeads, kLength, kDim}),
                        .bindings = &taught};
  attention.run(args).value();

  args.out.data = out.data();
  args.bindings = &learned;
  const Losses losses = learn(attention, args, student, wanted, out);
  const float error = print_both(teacher, student);
  std::printf("loss %.2e -> %.2e, largest error %.1e\n", losses.first, losses.last, error);
  return losses.last < losses.first / 1000 && error < 0.01F ? EXIT_SUCCESS : EXIT_FAILURE;
}
