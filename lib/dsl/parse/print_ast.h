// Syntax tree -> text with every operator parenthesised: what the inspector shows, and how tests see precedence.
#pragma once

#include <map>
#include <string>

#include "dsl/parse/ast.h"
#include "flexjit/result.h"

namespace flexjit::dsl {

// "score = (score + (slope[h] * (kv_idx - q_idx)))", a statement a line. The tree must be free of errors.
std::string print_ast(const Ast& ast);
std::string print_expression(const Ast& ast, ExprId id);

// Texts that stand in the place of expressions and of whole statements (by number).
struct Replacements {
  std::map<std::uint32_t, std::string> expressions{};  // by ExprId::index
  std::map<std::size_t, std::string> statements{};     // "" leaves a line empty
};
std::string print_ast(const Ast& ast, const Replacements& replacements);

// Parses and checks; the trees of all its texts, or every diagnostic.
Result<std::string> print_ast(const Source& source);

}  // namespace flexjit::dsl
