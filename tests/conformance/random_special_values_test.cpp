// Random programs over inputs with NaN, infinities, the largest numbers and denormals in q, k, v and captured buffers, wherever
// the mask allows and forbids: the kernel equals the reference, in both nests. By default 200 programs; the environment
// variable FLEXJIT_SPECIAL_PROGRAMS sets another count (10000 take minutes) and FLEXJIT_SPECIAL_SEED another first seed.
// Program n of a run has the seed first + n, so one failure is repeated with FLEXJIT_SPECIAL_SEED=<its seed>
// FLEXJIT_SPECIAL_PROGRAMS=1.
#include <cmath>
#include <cstdlib>
#include <limits>

#include "on_backends.h"
#include "random_expression.h"

namespace flexjit::conformance {
namespace {

constexpr int kShards = 4;  // test cases that run side by side
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr double kLargest = static_cast<double>(std::numeric_limits<float>::max());

std::int64_t setting(const char* name, std::int64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr || *text == '\0' ? otherwise : std::strtoll(text, nullptr, 10);
}

// Each is exact in what it does to a special value, in fp32 as in fp64, or leaves nothing of the score in both.
constexpr const char* kScores[] = {
    "score",
    "score + special_k[kv_idx]",
    "special_q[q_idx] + score",
    "score + special[q_idx, kv_idx]",
    "special_k[kv_idx] > 1.0 ? score : special_k[kv_idx]",
    "q_idx % 3 == 0 ? special_k[kv_idx] : score",
    "where(special[q_idx, kv_idx] < 0.0, special[q_idx, kv_idx], score)",
    "0.5 * score + special_k[kv_idx] + special_q[q_idx]",
    "softcap(score, 2.0) + special_k[kv_idx]",
};
constexpr const char* kBuffers =
    "buffer special_k : f32[kv_len]\nbuffer special_q : f32[q_len]\nbuffer special : f32[q_len, kv_len]\n";

// Numbers of one kind of harm each; NaN and +inf take whole rows with them, so that not every program has them.
struct Specials {
  std::vector<double> values;
  double share = 0;

  Specials(Random& random, double largest, double least) {
    if (random.chance(0.4)) values.push_back(kNan);
    if (random.chance(0.4)) values.push_back(kInf);
    if (random.chance(0.5)) values.push_back(-kInf);
    if (random.chance(0.5)) values.push_back(largest);
    if (random.chance(0.7)) values.push_back(-largest);
    values.push_back(least);
    values.push_back(-0.0);
    share = random.chance(0.3) ? 0.0 : random.chance(0.5) ? 0.01 : 0.2;
  }
  double pick(Random& random, double otherwise) const {
    if (!random.chance(share)) return otherwise;
    return values[static_cast<std::size_t>(random.integer(0, static_cast<std::int32_t>(values.size()) - 1))];
  }
};

double largest_of(DType dtype) {
  switch (dtype) {
    case DType::kF64: return std::numeric_limits<double>::max();
    case DType::kF16: return 65504;
    case DType::kBF16: return 0x1.fep127;
    default: return kLargest;
  }
}

double least_of(DType dtype) { return dtype == DType::kF64 ? 0x1p-1070 : dtype == DType::kF16 ? 0x1p-23 : 0x1p-131; }

// Where the kernel's own arithmetic says nothing about a row, because the products of a pair that the mask allows cannot be
// summed in it, or because its rounding of large scores decides which keys have weight.
class Unclear {
 public:
  Unclear(const Attention& attention, Weights weights, const RunArgs& args, const Problem& tensors)
      : attention_(attention),
        is_sigmoid_(weights == Weights::kSigmoid),
        args_(args),
        t_(tensors),
        q_(tensors.q.values()),
        k_(tensors.k.values()),
        is_fp64_(tensors.types.q == DType::kF64),
        limit_(is_fp64_ ? largest_of(DType::kF64) : kLargest),
        errors_(static_cast<std::size_t>(tensors.shape.kv_len)) {}

  bool any(std::int32_t b, std::int32_t h, std::int32_t q_idx, std::span<const std::uint8_t> allowed) {
    constexpr long double kMatters = 1e-5L;
    long double worst = 0;
    for (std::size_t kv = 0; kv < allowed.size(); ++kv) {
      errors_[kv] = allowed[kv] == 0 ? 0 : error_of(b, h, q_idx, static_cast<std::int32_t>(kv));
      worst = std::max(worst, errors_[kv]);
    }
    if (std::isinf(worst)) return true;
    return worst > kMatters && is_decided_by_rounding(b, h, q_idx, allowed);
  }

 private:
  // Of a score, from the sum of its products. Infinite: this sum may overflow.
  long double error_of(std::int32_t b, std::int32_t h, std::int32_t q_idx, std::int32_t kv) const {
    const Shape& s = t_.shape;
    const double* q = q_.data() + static_cast<std::ptrdiff_t>((b * s.q_heads + h) * s.q_len + q_idx) * s.head_dim;
    const std::int32_t row = (b * s.kv_heads + h / (s.q_heads / s.kv_heads)) * s.kv_len + kv;
    const double* k = k_.data() + static_cast<std::ptrdiff_t>(row) * s.head_dim;
    long double sum = 0;
    for (std::int32_t d = 0; d < s.head_dim; ++d) {
      const long double product = std::abs(static_cast<long double>(q[d]) * static_cast<long double>(k[d]));
      if (std::isfinite(q[d]) && std::isfinite(k[d])) sum += product;
    }
    if (sum >= 0.5L * static_cast<long double>(limit_)) return std::numeric_limits<long double>::infinity();
    return sum * (is_fp64_ ? 0x1p-49L : 0x1p-20L);
  }

  // Whether a key's weight may be anything between two far values: it is as large as the largest but for the rounding of both.
  bool is_decided_by_rounding(std::int32_t b, std::int32_t h, std::int32_t q_idx, std::span<const std::uint8_t> allowed) const {
    constexpr long double kVanishes = 100;
    const std::vector<float> scores = attention_.scores(args_, {.q = {q_idx, q_idx + 1}, .b = b, .h = h}).value();
    long double highest = is_sigmoid_ ? 0 : -std::numeric_limits<long double>::infinity(), error = 0;
    int contenders = is_sigmoid_ ? 1 : 0;
    for (std::size_t kv = 0; kv < scores.size() && !is_sigmoid_; ++kv) {
      if (allowed[kv] != 0 && static_cast<long double>(scores[kv]) > highest) highest = scores[kv], error = errors_[kv];
    }
    for (std::size_t kv = 0; kv < scores.size(); ++kv) {
      const long double distance = std::abs(highest - static_cast<long double>(scores[kv]));
      if (allowed[kv] != 0 && std::isfinite(scores[kv]) && distance <= error + errors_[kv] + kVanishes) ++contenders;
    }
    return contenders > 1;
  }

  const Attention& attention_;
  bool is_sigmoid_;
  const RunArgs args_;
  const Problem& t_;
  const std::vector<double> q_, k_;
  bool is_fp64_;
  double limit_;
  std::vector<long double> errors_;
};

double tolerance_of(DType dtype) { return dtype == DType::kBF16 ? 4e-2 : dtype == DType::kF16 ? 1e-2 : 8e-5; }

// One random program with its inputs, run by kernel and reference.
class Trial {
 public:
  explicit Trial(std::uint64_t seed) : random_(seed ^ 0x51ED270B27D4EB4FU), seed_(seed) {
    Random of_program(seed);
    RandomProgram program = random_program(of_program);
    constexpr DType kTypes[] = {DType::kF32, DType::kF32, DType::kBF16, DType::kF16, DType::kF64};
    dtype_ = kTypes[random_.integer(0, 4)];
    special_scores_ = random_.chance(0.6);
    if (special_scores_) program.score.clear();
    text_ = kBuffers + text_of(program);
    if (special_scores_)
      text_ += "score = " + std::string(kScores[random_.integer(0, static_cast<std::int32_t>(std::size(kScores)) - 1)]) + "\n";
    choose_shape();
  }

  const std::string& text() const { return text_; }

  // Empty: they agree. "skipped": nothing to compare.
  std::string run() {
    const std::vector<std::string> targets = arithmetics_here();
    AttentionSpec spec = spec_of(text_, shape_);
    spec.dtype = dtype_;
    if (random_.chance(0.1)) spec.weights = Weights::kSigmoid;
    const Result<Attention> attention = engine_for(targets[seed_ % targets.size()]).compile(spec);
    if (!attention) return "skipped";
    Captures captures = random_captures(shape_, random_);
    add_special_buffers(captures);
    Problem kernel(shape_, {dtype_, dtype_, dtype_}, seed_);
    make_special(kernel);
    Problem reference = kernel;
    const std::vector<float> sinks(at(shape_.q_heads), sink());
    const auto args_of = [&](Problem& tensors) {
      RunArgs args = tensors.args(&captures.bindings());
      if (spec.weights == Weights::kSigmoid)
        args.lse = {};
      else
        args.sinks = TensorView(sinks.data(), DType::kF32, {shape_.q_heads});
      return args;
    };
    const Result<RunStats> ran = attention->run(args_of(kernel)), expected = attention->run_reference(args_of(reference));
    if (ran.has_value() != expected.has_value()) return "only one of kernel and reference failed";
    if (!ran) return "skipped";  // a read outside its buffer
    Problem magnitudes = reference;
    magnitudes.v.fill([&](std::size_t i) { return std::isfinite(reference.v[i]) ? std::abs(reference.v[i]) : 0; });
    attention->run_reference(args_of(magnitudes)).value();
    return compare(*attention, spec.weights, args_of(kernel), kernel, reference, magnitudes);
  }

 private:
  void choose_shape() {
    shape_.batch = random_.integer(1, 2);
    shape_.kv_heads = random_.integer(1, 2);
    shape_.q_heads = shape_.kv_heads * random_.integer(1, 2);
    const bool few = random_.chance(0.5);
    shape_.q_len = few ? random_.integer(1, 3) : random_.integer(4, 60);
    shape_.kv_len = few && random_.chance(0.3) ? random_.integer(500, 1100) : random_.integer(1, 150);
    shape_.head_dim = random_.chance(0.5) ? 16 : 5;
    shape_.v_head_dim = random_.chance(0.5) ? 16 : 9;
  }

  void add_special_buffers(Captures& captures) {
    const Specials specials(random_, kLargest, 0x1p-140);
    const auto values = [&](std::int32_t count) {
      std::vector<float> made(at(count));
      for (float& value : made) value = static_cast<float>(specials.pick(random_, static_cast<double>(random_.normal())));
      return made;
    };
    captures.add("special_k", {shape_.kv_len}, values(shape_.kv_len)).add("special_q", {shape_.q_len}, values(shape_.q_len));
    captures.add("special", {shape_.q_len, shape_.kv_len}, values(shape_.q_len * shape_.kv_len));
  }

  // A random score makes more of a special product than both arithmetics must agree on, so that q and k are then ordinary.
  void make_special(Problem& tensors) {
    const auto fill = [&](Tensor& values, std::int32_t dim) {
      const Specials specials(random_, largest_of(dtype_), least_of(dtype_));
      const double whole_rows = random_.chance(0.5) ? 0.1 : 0.0;
      for (std::size_t row = 0; row * at(dim) < values.size(); ++row) {
        const bool whole = random_.chance(whole_rows);
        for (std::size_t d = row * at(dim); d < (row + 1) * at(dim); ++d) {
          values.set(d, whole ? specials.values.front() : specials.pick(random_, values[d]));
        }
      }
    };
    fill(tensors.v, shape_.v_head_dim);
    if (special_scores_ && random_.chance(0.5)) fill(tensors.k, shape_.head_dim);
    if (special_scores_ && random_.chance(0.3)) fill(tensors.q, shape_.head_dim);
  }

  float sink() {
    constexpr float kSinks[] = {
        -INFINITY, -INFINITY, 0.5F, 900.0F, -std::numeric_limits<float>::max(), std::numeric_limits<float>::max()};
    return kSinks[random_.integer(0, static_cast<std::int32_t>(std::size(kSinks)) - 1)];
  }

  bool agrees(double actual, double expected, double magnitude) const {
    if (actual == expected || (std::isnan(actual) && std::isnan(expected))) return true;
    return std::abs(actual - expected) <= tolerance_of(dtype_) * (1 + magnitude);
  }

  std::string compare(const Attention& attention, Weights weights, const RunArgs& args, const Problem& kernel,
                      const Problem& reference, const Problem& magnitudes) {
    Unclear unclear(attention, weights, args, kernel);
    const BlockMaskOptions options{.batch = shape_.batch,
                                   .heads = shape_.q_heads,
                                   .kv_heads = shape_.kv_heads,
                                   .q_len = shape_.q_len,
                                   .kv_len = shape_.kv_len};
    for (std::int32_t b = 0; b < shape_.batch; ++b) {
      for (std::int32_t h = 0; h < shape_.q_heads; ++h) {
        const std::vector<std::uint8_t> allowed =
            attention.mask_elements(options, {.b = b, .h = h}, {0, shape_.q_len}, {0, shape_.kv_len}, args.bindings).value();
        for (std::int32_t q = 0; q < shape_.q_len; ++q) {
          const auto of_row = std::span(allowed).subspan(at(q) * at(shape_.kv_len), at(shape_.kv_len));
          if (unclear.any(b, h, q, of_row)) continue;
          const std::size_t row = at((b * shape_.q_heads + h) * shape_.q_len + q);
          const auto lse = static_cast<double>(kernel.lse[row]), lse_expected = static_cast<double>(reference.lse[row]);
          if (!agrees(lse, lse_expected, std::abs(lse_expected))) return describe("lse", row, lse, lse_expected);
          for (std::size_t d = row * at(shape_.v_head_dim); d < (row + 1) * at(shape_.v_head_dim); ++d) {
            const double scale = magnitudes.out[d];
            if (!agrees(kernel.out[d], reference.out[d], std::isnan(scale) ? 0 : scale))
              return describe("out", d, kernel.out[d], reference.out[d]);
          }
        }
      }
    }
    return {};
  }

  std::string describe(const char* what, std::size_t index, double actual, double expected) const {
    return std::string(what) + "[" + std::to_string(index) + "] is " + std::to_string(actual) + " instead of " +
           std::to_string(expected) + ", " + std::string(name_of(dtype_)) + ", " + to_string(shape_);
  }

  Random random_;
  std::uint64_t seed_;
  std::string text_;
  Shape shape_;
  DType dtype_ = DType::kF32;
  bool special_scores_ = false;
};

class RandomSpecialValues : public testing::TestWithParam<int> {};

TEST_P(RandomSpecialValues, KernelEqualsReference) {
  const std::int64_t count = setting("FLEXJIT_SPECIAL_PROGRAMS", 200), first = setting("FLEXJIT_SPECIAL_SEED", 1);
  std::int64_t tried = 0, compared = 0, differed = 0;
  for (std::int64_t n = GetParam(); n < count && differed < 3; n += kShards) {
    const auto seed = static_cast<std::uint64_t>(first + n);
    Trial trial(seed);
    const std::string wrong = trial.run();
    ++tried;
    if (wrong == "skipped") continue;
    ++compared;
    if (wrong.empty()) continue;
    ++differed;
    ADD_FAILURE() << "seed " << seed << ": " << wrong << "\n" << trial.text();
  }
  // Most programs must reach the comparison, or the test would show little.
  if (tried >= 20) {
    EXPECT_GE(compared, tried * 3 / 4);
  }
  RecordProperty("programs", static_cast<int>(compared));
}

INSTANTIATE_TEST_SUITE_P(Shards, RandomSpecialValues, testing::Range(0, kShards));

}  // namespace
}  // namespace flexjit::conformance
