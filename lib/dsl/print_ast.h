// Syntax tree -> text with every operator parenthesised: what the inspector shows, and how tests see precedence.
#pragma once

#include <string>

#include "dsl/ast.h"
#include "flexjit/result.h"

namespace flexjit::dsl {

// "score = (score + (slope[h] * (kv_idx - q_idx)))", a statement a line. The tree must be free of errors.
std::string print_ast(const Ast& ast);

// Parses and checks; the trees of all its texts, or every diagnostic.
Result<std::string> print_ast(const Source& source);

}  // namespace flexjit::dsl
