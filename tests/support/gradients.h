// A problem with the gradients that a backward pass is given and gives, and what they must be: by the definition, unfused, in
// long double, with differences in the place of derivatives, so that nothing here knows how the library differentiates.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "flexjit/backward.h"
#include "support/comparison.h"
#include "support/oracle.h"

namespace flexjit::test {

// Memory for one backward pass. Outputs start as NaN, so that an element that it forgets is seen.
struct BackwardProblem {
  explicit BackwardProblem(const Shape& shape, const Types& types = {}, std::uint64_t seed = 1, const Layout& layout = dense);

  // The gradient of a captured buffer, as a dense tensor of these extents (rank 1 to 4).
  void want_buffer(const std::string& name, const std::vector<std::int64_t>& extents, DType dtype = DType::kF32);
  // Sinks for every query head, of f32.
  void add_sinks(const std::vector<float>& values);
  void poison_outputs();

  RunArgs args(const Bindings* bindings = nullptr);
  // All that there are. d_out and d_lse are given; make a field's data null for less.
  Gradients gradients();

  struct BufferGradient {
    Tensor tensor;
    int rank;
  };
  Problem forward;
  Tensor d_out;                // given
  std::vector<float> d_lse;    // given
  Tensor dq, dk, dv;           // wanted
  std::vector<float> sinks;    // empty: none
  std::vector<float> d_sinks;  // wanted, with sinks
  std::map<std::string, BufferGradient> d_buffers;
};

// In the order of the tensors that they are of.
struct GradientValues {
  std::vector<double> q, k, v, sinks;
  std::map<std::string, std::vector<double>> buffers;
};
// What a run wrote.
GradientValues gradients_of(const BackwardProblem& problem);

// A pattern whose score reads numbers through these pointers: the oracle moves one after the other to see what that does.
struct GradientPattern {
  OraclePattern pattern{};
  std::map<std::string, std::vector<Real>*> buffers{};
  // Which of the gradients are given; what is not counts as 0.
  bool has_out = true, has_lse = true;
};

// With `low`: as in oracle(), the result of every operation is rounded to `low`, the output among them, and sums are fp32.
GradientValues oracle_gradients(const BackwardProblem& problem, const GradientPattern& pattern,
                                std::optional<DType> low = std::nullopt);

struct GradientBounds {
  Bound tensors = near(1e-5);
  Bound sums = near(2e-5);  // of sinks and buffers, which many rows add to
};
::testing::AssertionResult agrees(const BackwardProblem& problem, const GradientValues& expected,
                                  const GradientBounds& bounds = {});
::testing::AssertionResult has_gradients(const BackwardProblem& problem, const GradientPattern& pattern,
                                         const GradientBounds& bounds = {});
// For elements of 16 bits: no gradient is further from the exact one than twice what unfused arithmetic in `low` is at its
// worst, and 1e-5. Of sinks and buffers there are so few that their worst is a matter of luck: eight times, and four units of
// rounding of themselves, since the error of delta, which the rounded output makes, is the same for all keys of a row.
::testing::AssertionResult has_gradients_as_of(DType low, const BackwardProblem& problem, const GradientPattern& pattern);

// What holds of every result, whatever the pattern, and needs no reference. `tolerance` is relative to the sum of the
// magnitudes that are added up. O is linear in V: sum dO O = sum dV V. Scores are bilinear: sum dQ Q = sum dK K for each batch
// entry and kv head. Nothing is NaN or infinite.
::testing::AssertionResult keeps_identities(const BackwardProblem& problem, double tolerance = 1e-5);
// Scores that move all together change no weight but the sink's: the gradient of a buffer with one element that is added to
// every score, with those of the sinks, is the sum of dLSE over the rows that have one.
::testing::AssertionResult keeps_shift(const BackwardProblem& problem, const std::string& shift, double tolerance = 1e-5);
// Every gradient is exactly 0.
::testing::AssertionResult vanishes(const BackwardProblem& problem);
// Bit for bit.
::testing::AssertionResult gradients_identical(const BackwardProblem& actual, const BackwardProblem& expected);

}  // namespace flexjit::test
