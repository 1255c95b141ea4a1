// Every pattern at two shapes, with code for every instruction set of this machine, against the fp64 reference.
#include <ostream>

#include "patterns.h"
#include "support/checklist.h"

namespace flexjit::conformance {

// GoogleTest finds it by name.
void PrintTo(const Pattern& pattern, std::ostream* out) { *out << pattern.program; }

namespace {

class PatternTest : public testing::TestWithParam<Pattern> {
 protected:
  static void check(const Shape& shape) {
    const Pattern& pattern = GetParam();
    covers(pattern.rows);
    Captures captures;
    if (pattern.bind != nullptr) pattern.bind(shape, captures);
    expect_matches_reference(spec_of(pattern.program, shape), shape, &captures.bindings(), {pattern.tolerance});
  }
};

TEST_P(PatternTest, SmallGrouped) {
  check({.batch = 2, .q_heads = 4, .kv_heads = 2, .q_len = 67, .kv_len = 61, .head_dim = 32});
}

TEST_P(PatternTest, Ragged) { check({.batch = 1, .q_heads = 2, .kv_heads = 1, .q_len = 1000, .kv_len = 731, .head_dim = 40}); }

std::string name_of_case(const testing::TestParamInfo<Pattern>& info) { return std::string(info.param.name); }

INSTANTIATE_TEST_SUITE_P(Masks, PatternTest, testing::ValuesIn(mask_patterns().begin(), mask_patterns().end()), name_of_case);
INSTANTIATE_TEST_SUITE_P(Scores, PatternTest, testing::ValuesIn(score_patterns().begin(), score_patterns().end()),
                         name_of_case);

TEST(Targets, HostCompiles) { EXPECT_TRUE(engine_for("host").compile(spec_of("score = score", {})).has_value()); }

TEST(Targets, NarrowerInstructionSetsAreTestedToo) {
  if (targets_here().size() == 1) GTEST_SKIP() << "this machine executes one instruction set of those we compile for";
  for (const std::string& target : targets_here())
    EXPECT_TRUE(engine_for(target).compile(spec_of("score = score", {})).has_value());
}

}  // namespace
}  // namespace flexjit::conformance
