// One table with at least one worked case of every operation, its expected values written by hand: the interpreter, the
// simplifier and the interval analysis are each held against it, and a test fails when an operation has no case.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "ir/evaluate/environment.h"
#include "ir/evaluate/interpreter.h"
#include "ir/program/interface.h"

namespace flexjit::ir::test {

struct OpCase {
  Op op;
  // Of a Read: guard and index; of a Dot: guard, index of a, index of b; of what adds: guard, value, then the same.
  std::vector<Scalar> operands;
  Scalar expected;
};

std::span<const OpCase> op_cases();
std::string describe(const OpCase& test_case);

// Where the leaves of the table have their values: (b, h, q_idx, kv_idx) = (1, 5, 4, 8), score 0.25, its gradient 0.75.
inline constexpr RowRange kCaseRow{.b = 1, .h = 5, .q_idx = 4, .kv_begin = 8, .count = 1};
inline constexpr double kCaseScore = 0.25;
inline constexpr double kCaseScoreGrad = 0.75;
inline constexpr double kCaseSumSq = 1.5;  // of a row whose element is kCaseScore; the feature is that of kCaseRow's key
// The buffers 0: f32 {10, 20, 30} and 1: f32 {{1, 2}, {3, 4}, {5, 6}}; no params.
const Environment& case_environment();

enum class OperandsAs : std::uint8_t { kConstants, kParams };

// A Program whose root tells the value of a case: a float is the score, a bool the mask, and for an int the mask says whether
// it is what was expected. What adds is an accumulation, and the incoming gradient is that which goes out; what is of a row is
// the feature. Params are the operands in order.
Program case_program(const OpCase& test_case, OperandsAs operands);
Environment with_params(const std::vector<Scalar>& params);
// Whether running `program`, a case_program or what became of it, gives what the case expects.
bool gives_expected(const OpCase& test_case, const Program& program, const Environment& environment);

}  // namespace flexjit::ir::test
