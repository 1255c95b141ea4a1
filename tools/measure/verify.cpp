// A sample is a few runs of consecutive rows, the first and the last row of the tensor among them: tails and diagonals are
// where kernels go wrong.
#include "measure/verify.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

namespace flexjit::tools {
namespace {

constexpr double kQuickMultiplyAdds = 3e8;  // of the reference: well under a second
constexpr std::int64_t kRunLength = 8;      // consecutive rows of a sample

struct RowRun {
  std::int64_t begin, count;
};

std::int64_t rows_to_check(const VerifyRequest& request) {
  const Sizes& s = request.problem.sizes;
  if (request.rows) return std::min<std::int64_t>(*request.rows, s.q_len);
  const double work = static_cast<double>(s.heads) * request.problem.pairs() * static_cast<double>(s.head_dim + s.v_head_dim);
  return work <= kQuickMultiplyAdds ? s.q_len : std::min<std::int64_t>(kSampledRows, s.q_len);
}

// `rows` of q_len rows in evenly spaced runs, from row 0 to the last row.
std::vector<RowRun> spread(std::int64_t rows, std::int64_t q_len) {
  if (rows == q_len) return {{0, q_len}};
  const std::int64_t runs = (rows + kRunLength - 1) / kRunLength;
  std::vector<RowRun> out;
  for (std::int64_t r = 0; r < runs; ++r) {
    const std::int64_t count = rows * (r + 1) / runs - rows * r / runs;
    out.push_back({runs == 1 ? 0 : (q_len - count) * r / (runs - 1), count});
  }
  return out;
}

// NaN where only one side is NaN, so that it fails every comparison with a tolerance.
double distance(double a, double b) {
  if (a == b || (std::isnan(a) && std::isnan(b))) return 0;
  return std::abs(a - b);
}

double largest_finite(const Array& array) {
  double largest = 0;
  for (std::int64_t i = 0, n = array.count(); i < n; ++i) {
    const double x = std::abs(number_at(array, i));
    if (std::isfinite(x)) largest = std::max(largest, x);
  }
  return largest;
}

// No scales: 1.
double largest_scale(const Array& scales) { return scales.shape.empty() ? 1 : largest_finite(scales); }

struct Tolerance {
  double base, score, weight, out, lse;
  double pattern_size, pattern;  // of a score, by what the pattern computes: of the row's size, and beside it
};

Tolerance tolerance_of(const Problem& problem, const ScoreRounding& rounding) {
  constexpr double kFew = 4;  // roundings that `score` has room for
  const double unit = rounding_of(problem.q.dtype);
  const bool low = unit > 0x1p-20;
  const bool wide = problem.q.dtype == DType::kF64;
  const double arithmetic = rounding_of(wide ? DType::kF64 : DType::kF32);
  return {.base = wide ? 1e-10 : 1e-5,
          .score = wide ? 1e-15 : 2.4e-7,
          .weight = low ? unit : 0,
          .out = 2 * rounding_of(problem.out_dtype),
          .lse = low ? unit : 1e-5,
          .pattern_size = rounding.of_size > kFew ? rounding.of_size * arithmetic : 0,
          .pattern = rounding.absolute * arithmetic};
}

class Comparison {
 public:
  explicit Comparison(const VerifyRequest& request)
      : request_(request),
        expected_{request.problem.make_output(), request.problem.make_lse()},
        largest_v_(largest_finite(request.problem.v) * largest_scale(request.problem.v_scales)),
        tolerance_(tolerance_of(request.problem, request.rounding)) {}

  Outputs& expected() { return expected_; }

  void compare(const RowRun& run, Verification& result) const {
    const Sizes& s = request_.problem.sizes;
    const Ragged* ragged = request_.problem.ragged.get();
    for (std::int64_t plane = 0; plane < s.batch * s.heads; ++plane) {
      const std::int64_t b = plane / s.heads, h = plane % s.heads;
      const auto sequence = static_cast<std::size_t>(b);
      const std::int64_t q_len = ragged != nullptr ? ragged->lengths()[sequence].q : s.q_len;
      for (std::int64_t row = run.begin; row < std::min(run.begin + run.count, q_len); ++row) {
        const auto [entry, place] = ragged != nullptr ? ragged->place_of(sequence, row) : std::array{b, row};
        compare_row(entry, h, place, result);
      }
    }
    result.rows += run.count;
  }

 private:
  void compare_row(std::int64_t b, std::int64_t h, std::int64_t row, Verification& result) const {
    const Sizes& s = request_.problem.sizes;
    const std::int64_t lse_at = (b * s.heads + h) * expected_.lse.shape[2] + row;
    const double lse = expected_.lse.as<float>()[lse_at];
    const double size = std::isfinite(lse) ? std::abs(lse) : 0;
    const double pattern = tolerance_.pattern_size * size + tolerance_.pattern;  // a score may be off by
    note(distance(request_.lse.as<float>()[lse_at], lse), tolerance_.lse + 1e-6 * size + pattern, result.max_lse_error,
         result.correct);
    // A score that is off by e moves its weight by e of itself, and the output by at most twice that of the largest value.
    const double score = tolerance_.score * size + 2 * pattern;

    const TensorView view = view_of(expected_.out, request_.problem.layout);
    const std::int64_t at = b * view.strides[0] + h * view.strides[1] + row * view.strides[2];
    double largest = 0;  // of the row, where its weights have any size and sign: what one output cancels, its neighbours show
    for (std::int64_t d = 0; d < s.v_head_dim && request_.problem.weights == Weights::kLinear; ++d) {
      const double expected = std::abs(number_at(expected_.out, at + d));
      if (std::isfinite(expected)) largest = std::max(largest, expected);
    }
    for (std::int64_t d = 0; d < s.v_head_dim; ++d) {
      const double expected = number_at(expected_.out, at + d);
      const double magnitude = std::isfinite(expected) ? std::abs(expected) : 0;
      note(distance(number_at(request_.out, at + d), expected),
           tolerance_.base * (1 + std::max(magnitude, largest)) + score * largest_v_ + tolerance_.weight * largest_v_ +
               tolerance_.out * magnitude,
           result.max_abs_error, result.correct);
    }
  }

  static void note(double error, double tolerance, double& worst, bool& correct) {
    if (!(error <= tolerance)) correct = false;
    if (!(error <= worst) && !std::isnan(worst)) worst = error;
  }

  const VerifyRequest& request_;
  Outputs expected_;
  double largest_v_;
  Tolerance tolerance_;
};

}  // namespace

double rounding_of(DType dtype) {
  switch (dtype) {
#define FLEXJIT_DTYPE(name, c_name, text, stored, kind, npy, unit, largest) \
  case DType::k##name: return unit;
#include "flexjit/dtypes.def"
#undef FLEXJIT_DTYPE
  }
  return 0x1p-24;
}

Result<Verification> verify(const VerifyRequest& request, const Progress& progress) {
  const Problem& problem = request.problem;
  Comparison comparison(request);
  const RunArgs args = arguments_of(problem, comparison.expected(), request.bindings);
  Verification result;
  const std::int64_t rows = rows_to_check(request);
  if (rows == 0) return result;
  for (const RowRun& run : spread(rows, problem.sizes.q_len)) {
    progress.show(fmt::format("verifying rows: {} of {}", result.rows, rows));
    const auto stats = request.attention.run_reference(
        args, {.q_begin = static_cast<std::int32_t>(run.begin), .q_count = static_cast<std::int32_t>(run.count)});
    if (!stats) return stats.diagnostics();
    comparison.compare(run, result);
  }
  return result;
}

}  // namespace flexjit::tools
