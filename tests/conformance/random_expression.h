// Seeded random expressions of the language, well-typed by construction, with bounds that say how closely a kernel in fp32 must
// follow the fp64 reference. A float is `exact` when both compute the same bits (index arithmetic); only such floats may be
// compared, floored or cast, because elsewhere a last-bit difference legitimately decides otherwise.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "harness.h"

namespace flexjit::conformance {

enum class Kind : std::uint8_t { kInt, kFloat, kBool };

struct Expression {
  Kind kind = Kind::kInt;
  std::string form;  // the text, with $0 $1 $2 where the operands stand
  std::vector<Expression> operands;
  double magnitude = 0;  // of the value
  double error = 0;      // |kernel - reference| at most; 0 = exact
};

std::string text_of(const Expression& expression);

struct NamedExpression {
  std::string name;
  Expression value;
};

struct RandomProgram {
  std::vector<NamedExpression> lets;
  std::vector<Expression> score, mask;  // none or one each
};
// The *.flex text, with the declarations that random_captures() binds.
std::string text_of(const RandomProgram& program);

RandomProgram random_program(Random& random);
Captures random_captures(const Shape& shape, Random& random);

// Every program that is one step simpler: a root or let less, or one node replaced by an operand or a literal whose bounds are
// no worse.
std::vector<RandomProgram> simpler(const RandomProgram& program);

}  // namespace flexjit::conformance
