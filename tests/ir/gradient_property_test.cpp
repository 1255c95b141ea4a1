// Of random programs: the derivative by the score of each pair and by each element of each captured buffer is what central
// finite differences of the forward program in fp64 say, wherever they say anything: where two step sizes agree and no kink is
// near. FLEXJIT_RANDOM_PROGRAMS sets how many programs, FLEXJIT_RANDOM_SEED the first seed; program n has the seed first + n.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <iostream>
#include <random>

#include "gradients.h"
#include "ir/passes/passes.h"
#include "random_smooth.h"
#include "text.h"

namespace flexjit::ir::test {
namespace {

std::uint64_t setting(const char* name, std::uint64_t otherwise) {
  const char* value = std::getenv(name);
  return value == nullptr ? otherwise : std::strtoull(value, nullptr, 10);
}

// Values at x - h, x - h / 2, x, x + h / 2, x + h.
constexpr double kStep = 1e-5;
constexpr double kOffsets[] = {-kStep, -kStep / 2, 0, kStep / 2, kStep};

// The slope where it is smooth: a kink leaves a second difference that does not shrink with the step, a jump a slope that grows
// as the step shrinks, and rounding grows with the values.
std::optional<double> slope(const std::array<double, 5>& f) {
  const double wide = (f[4] - f[0]) / (2 * kStep), narrow = (f[3] - f[1]) / kStep;
  const double bend_wide = std::abs(f[4] - 2 * f[2] + f[0]) / kStep, bend = std::abs(f[3] - 2 * f[2] + f[1]) / (kStep / 2);
  const double size = 1 + std::abs(narrow);
  const bool is_smooth = std::abs(wide - narrow) <= 1e-5 * size && std::max(bend, bend_wide) <= 3e-3 * size;
  if (!is_smooth || std::abs(f[2]) > 1e4 || std::abs(narrow) > 1e6) return std::nullopt;
  return narrow;
}

struct Counts {
  std::uint64_t scores = 0, elements = 0, unsmooth = 0, zeros = 0;
};

class Check {
 public:
  explicit Check(std::uint64_t seed)
      : ir_(lowered(random_smooth_text(seed), Precision::kFp64)), call_(ir_.interface, seed), random_(seed) {
    std::uniform_real_distribution<double> score(-2, 2), grad(-1, 1);
    for (std::size_t i = 0; i < SmallCall::kPairs; ++i) scores_.push_back(score(random_)), grads_.push_back(grad(random_));
    allowed_ = away_from_poles(ir_.program, call_, scores_);
  }

  void run(Counts& counts) {
    const std::vector<Program> derivatives = test::derivatives(ir_);
    for (std::size_t i = 0; i < derivatives.size(); ++i) {
      SCOPED_TRACE("derivative " + std::to_string(i));
      found_.push_back(gradients(derivatives[i], call_, scores_, grads_, allowed_));
    }
    for_each_score(counts);
    for (std::size_t slot = 0; slot < call_.floats().size(); ++slot) {
      for (std::size_t at = 0; at < call_.floats()[slot].size(); ++at) element(slot, at, counts);
    }
  }

 private:
  void compare(const std::array<double, 5>& f, const std::function<double(const Gradients&)>& of, std::uint64_t& count,
               Counts& counts) {
    const std::optional<double> expected = slope(f);
    ++(expected ? count : counts.unsmooth);
    if (!expected) return;
    counts.zeros += *expected == 0 ? 1 : 0;
    for (const Gradients& found : found_) {
      EXPECT_NEAR(of(found), *expected, 3e-4 * (1 + std::abs(*expected))) << "derivative " << &found - found_.data();
    }
  }

  void for_each_score(Counts& counts) {
    std::array<Pairs, 5> values;
    for (std::size_t step = 0; step < values.size(); ++step) {
      Pairs moved = scores_;
      for (double& score : moved) score += kOffsets[step];
      values[step] = modified(ir_.program, call_, moved);
    }
    for (std::size_t i = 0; i < scores_.size(); ++i) {
      if (allowed_[i] == 0) continue;
      std::array<double, 5> f{};
      for (std::size_t step = 0; step < f.size(); ++step) f[step] = grads_[i] * values[step][i];
      SCOPED_TRACE("score of pair " + std::to_string(i));
      compare(f, [i](const Gradients& found) { return found.scores[i]; }, counts.scores, counts);
    }
  }

  void element(std::size_t slot, std::size_t at, Counts& counts) {
    double& x = call_.floats()[slot][at];
    const double before = x;
    std::array<double, 5> f{};
    for (std::size_t step = 0; step < f.size(); ++step) {
      x = before + kOffsets[step];
      const Pairs values = modified(ir_.program, call_, scores_);
      for (std::size_t i = 0; i < values.size(); ++i) f[step] += allowed_[i] != 0 ? grads_[i] * values[i] : 0;
    }
    x = before;
    SCOPED_TRACE("element " + std::to_string(at) + " of buffer " + ir_.interface.buffers[slot].name);
    compare(f, [=](const Gradients& found) { return found.buffers[slot][at]; }, counts.elements, counts);
  }

  Lowered ir_;
  SmallCall call_;
  std::mt19937_64 random_;
  Pairs scores_, grads_;
  std::vector<std::uint8_t> allowed_;
  std::vector<Gradients> found_;
};

TEST(Gradients, OfRandomProgramsAreFiniteDifferences) {
  const std::uint64_t programs = setting("FLEXJIT_RANDOM_PROGRAMS", 150), first = setting("FLEXJIT_RANDOM_SEED", 1);
  Counts counts;
  for (std::uint64_t seed = first; seed < first + programs; ++seed) {
    Check(seed).run(counts);
    if (HasFailure()) FAIL() << "seed " << seed << "\n" << random_smooth_text(seed);
  }
  std::cout << programs << " programs: " << counts.scores << " scores and " << counts.elements << " elements compared, "
            << counts.zeros << " of them 0, " << counts.unsmooth << " near a kink, a pole or a large value\n";
  const bool says_something = programs > 100;
  if (says_something) {
    EXPECT_GT(counts.scores + counts.elements, 2 * counts.unsmooth);
  }
}

}  // namespace
}  // namespace flexjit::ir::test
