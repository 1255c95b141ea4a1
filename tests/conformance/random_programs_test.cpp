// Random well-typed programs: the kernel must equal the fp64 reference, or both must refuse the same read. By default 300; the
// environment variable FLEXJIT_RANDOM_PROGRAMS sets another count and FLEXJIT_RANDOM_SEED another first seed. Program n of a
// run has the seed first + n, so one failure is repeated with FLEXJIT_RANDOM_SEED=<its seed> FLEXJIT_RANDOM_PROGRAMS=1.
#include <cstdlib>
#include <optional>

#include "random_expression.h"

namespace flexjit::conformance {
namespace {

constexpr int kShards = 4;  // test cases that run side by side

std::int64_t setting(const char* name, std::int64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr || *text == '\0' ? otherwise : std::strtoll(text, nullptr, 10);
}

// kAgrees to kFaults are fine.
enum class Outcome : std::uint8_t { kAgrees, kRejected, kFaults, kDiffers, kNotCompiled };
struct Trial {
  Outcome outcome = Outcome::kAgrees;
  std::string detail;
};

// A generated int division can be provably by zero and a tree can exceed the compiler's size limit; both are legal answers.
bool is_expected_rejection(const Diagnostics& diagnostics) {
  for (const Diagnostic& diagnostic : diagnostics)
    if (diagnostic.kind != "division-by-zero" && diagnostic.kind != "too-complex" && diagnostic.kind != "too-deep")
      return false;
  return true;
}

Trial compare_runs(const Attention& attention, const Shape& shape, const Bindings& bindings) {
  Problem actual(shape), expected(shape);
  Result<RunStats> kernel = attention.run(actual.args(&bindings)),
                   reference = attention.run_reference(expected.args(&bindings));
  if (kernel.has_value() != reference.has_value()) {
    const Result<RunStats>& failed = kernel.has_value() ? reference : kernel;
    return {Outcome::kDiffers, std::string("only the ") + (kernel.has_value() ? "reference" : "kernel") +
                                   " failed: " + render(failed.diagnostics())};
  }
  if (!kernel.has_value()) {
    if (kernel.diagnostics().front().kind == reference.diagnostics().front().kind) return {Outcome::kFaults, {}};
    return {Outcome::kDiffers, render(kernel.diagnostics()) + render(reference.diagnostics())};
  }
  auto agreement = outputs_agree(actual, expected, {4e-5});
  if (agreement) return {};
  return {Outcome::kDiffers, agreement.message()};
}

Shape random_shape(Random& random) {
  Shape shape;
  shape.batch = random.integer(1, 2);
  shape.kv_heads = random.integer(1, 2);
  shape.q_heads = shape.kv_heads * random.integer(1, 2);
  shape.q_len = random.integer(1, 60);
  shape.kv_len = random.integer(1, 90);
  shape.head_dim = random.chance(0.5) ? 16 : 8;
  return shape;
}

Trial try_program(const RandomProgram& program, std::uint64_t seed) {
  Random random(seed ^ 0x9E3779B97F4A7C15U);
  Shape shape = random_shape(random);
  Captures captures = random_captures(shape, random);
  std::vector<std::string> targets = targets_here();
  Result<Attention> attention = engine_for(targets[seed % targets.size()]).compile(spec_of(text_of(program), shape));
  if (attention.has_value()) return compare_runs(*attention, shape, captures.bindings());
  if (is_expected_rejection(attention.diagnostics())) return {Outcome::kRejected, {}};
  return {Outcome::kNotCompiled, render(attention.diagnostics())};
}

// Greedy: the first simpler program that still fails, until none does.
RandomProgram shrink(RandomProgram program, std::uint64_t seed) {
  for (int budget = 400; budget > 0;) {
    std::optional<RandomProgram> smaller;
    for (const RandomProgram& candidate : simpler(program)) {
      if (--budget <= 0) break;
      if (try_program(candidate, seed).outcome != Outcome::kDiffers) continue;
      smaller = candidate;
      break;
    }
    if (!smaller) break;
    program = *smaller;
  }
  return program;
}

class RandomProgramsTest : public testing::TestWithParam<int> {};

TEST_P(RandomProgramsTest, KernelEqualsReference) {
  std::int64_t count = setting("FLEXJIT_RANDOM_PROGRAMS", 300), first = setting("FLEXJIT_RANDOM_SEED", 1);
  std::int64_t tried = 0, agreed = 0, differed = 0;
  for (std::int64_t n = GetParam(); n < count && differed < 3; n += kShards) {
    auto seed = static_cast<std::uint64_t>(first + n);
    Random random(seed);
    RandomProgram program = random_program(random);
    Trial trial = try_program(program, seed);
    ++tried;
    if (trial.outcome == Outcome::kAgrees) ++agreed;
    if (trial.outcome != Outcome::kDiffers && trial.outcome != Outcome::kNotCompiled) continue;
    ++differed;
    RandomProgram small = trial.outcome == Outcome::kDiffers ? shrink(program, seed) : program;
    ADD_FAILURE() << "seed " << seed << ": " << trial.detail << "\nshrunk: " << try_program(small, seed).detail << "\n"
                  << text_of(small);
  }
  // Most programs must reach the comparison, or the test would show little.
  if (tried >= 20) {
    EXPECT_GE(agreed, tried * 3 / 4);
  }
  RecordProperty("programs", static_cast<int>(tried));
}

INSTANTIATE_TEST_SUITE_P(Shards, RandomProgramsTest, testing::Range(0, kShards));

}  // namespace
}  // namespace flexjit::conformance
