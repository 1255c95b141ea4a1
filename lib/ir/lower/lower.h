// Checked AST -> expression IR. The only part of ir that knows the AST.
#pragma once

#include "dsl/check/checked.h"
#include "dsl/parse/source.h"
#include "flexjit/result.h"
#include "ir/program/interface.h"

namespace flexjit::ir {

// Text in either form -> parse -> check -> IR, with every diagnostic of the text at once. The result is not yet simplified.
// `c ? a : b`, `where`, `&&` and `||` become guards of the reads on their conditional side.
Result<Lowered> lower_source(const dsl::Source& source);
// The last step of it.
Result<Lowered> lower_checked(const dsl::Checked& checked);

}  // namespace flexjit::ir
