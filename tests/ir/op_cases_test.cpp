// Interpreter, simplifier and interval analysis against the table of op_cases.h, and the test that the table is complete.
#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "ir/analysis/interval_arithmetic.h"
#include "ir/analysis/intervals.h"
#include "ir/passes/passes.h"
#include "op_cases.h"

namespace flexjit::ir::test {
namespace {

TEST(OpCases, EveryOperationHasOne) {
  std::set<Op> seen;
  for (const OpCase& test_case : op_cases()) seen.insert(test_case.op);
  for (int op = 0; op < kOpCount; ++op) {
    EXPECT_TRUE(seen.contains(static_cast<Op>(op))) << mnemonic(static_cast<Op>(op)) << " has no case";
  }
}

TEST(OpCases, EveryRowOfTheTableIsFilled) {
  for (int i = 0; i < kOpCount; ++i) {
    const Op op = static_cast<Op>(i);
    EXPECT_FALSE(mnemonic(op).empty());
    EXPECT_FALSE(semantics(op).empty());
    EXPECT_GE(operand_count(op), -1);
    EXPECT_LE(operand_count(op), kMaxOperands);
  }
}

TEST(OpCases, Interpreter) {
  for (const OpCase& test_case : op_cases()) {
    const Program program = case_program(test_case, OperandsAs::kParams);
    EXPECT_TRUE(gives_expected(test_case, program, with_params(test_case.operands))) << describe(test_case);
  }
}

TEST(OpCases, SimplifierKeepsTheValueOfUnknownOperands) {
  for (const OpCase& test_case : op_cases()) {
    const Program program = simplify(case_program(test_case, OperandsAs::kParams));
    EXPECT_TRUE(gives_expected(test_case, program, with_params(test_case.operands))) << describe(test_case);
  }
}

TEST(OpCases, SimplifierFoldsConstants) {
  for (const OpCase& test_case : op_cases()) {
    const Program program = simplify(case_program(test_case, OperandsAs::kConstants));
    EXPECT_TRUE(gives_expected(test_case, program, with_params(test_case.operands))) << describe(test_case);
    const std::size_t most = operand_count(test_case.op) > 0 ? 1 : program.size();
    EXPECT_LE(program.size(), most) << describe(test_case) << "\n" << print(program);
  }
}

// The range over the single position of the table holds the value; over all positions it still does.
TEST(OpCases, Intervals) {
  const Box here{.b_lo = 1, .b_hi = 1, .h_lo = 5, .h_hi = 5, .q_lo = 4, .q_hi = 4, .kv_lo = 8, .kv_hi = 8};
  const Box everywhere{.b_hi = 1, .h_hi = 5, .q_hi = 6, .kv_hi = 8};
  for (const OpCase& test_case : op_cases()) {
    const Environment environment = with_params(test_case.operands);
    const Program program = case_program(test_case, OperandsAs::kParams);
    IntervalAnalysis analysis(program, environment, nullptr);
    const std::vector<Id> gradients = gradients_of(program);
    const Id root = !gradients.empty()          ? gradients[0]
                    : program.score().valid()   ? program.score()
                    : program.feature().valid() ? program.feature()
                                                : program.mask();
    double expected = 1;  // of an int the mask tells that it is as expected
    if (const auto* f = std::get_if<double>(&test_case.expected)) expected = *f;
    if (const auto* b = std::get_if<bool>(&test_case.expected)) expected = *b ? 1 : 0;
    for (const Box& box : {here, everywhere}) {
      const Range range = analysis.run(box)[root.index];
      EXPECT_TRUE(std::isnan(expected) ? range.may_nan : contains(range, expected))
          << describe(test_case) << " not in [" << range.lo << ", " << range.hi << "]";
    }
  }
}

}  // namespace
}  // namespace flexjit::ir::test
