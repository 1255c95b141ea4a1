// Tokens -> syntax tree, by recursive descent over statements and precedence climbing over expressions. Depth is bounded, and
// after a mistake parsing goes on with the next statement.
#pragma once

#include "dsl/findings/diagnostic_engine.h"
#include "dsl/parse/ast.h"

namespace flexjit::dsl {

inline constexpr std::uint32_t kMaxNesting = 200;     // brackets, unary operators, conditionals inside one another
inline constexpr std::uint32_t kMaxTreeDepth = 1000;  // a + b + c + ... is as deep as it is long

enum class Form : std::uint8_t {
  kFile,       // declarations, score = and mask =
  kExpression  // let, const, def, then one expression
};

// `source` is text number `number` of `diagnostics` and must outlive the result.
Ast parse(const SourceText& source, std::uint32_t number, Form form, DiagnosticEngine& diagnostics);

}  // namespace flexjit::dsl
