// The language's operators and functions as IR: one op each, or the formula that defines them.
#pragma once

#include <span>

#include "dsl/parse/ast.h"
#include "dsl/vocabulary/vocabulary.h"
#include "ir/program/program.h"

namespace flexjit::ir {

Op op_of(dsl::Builtin builtin);
// Packed positions are sums; the others are leaves.
Id lower_builtin(ProgramBuilder& builder, dsl::Builtin builtin);
Type type_of(dsl::Type type);

// Operands have the types that the checker gave them. `&&` and `||` become And and Or: their guards are the caller's.
Id lower_operator(ProgramBuilder& builder, dsl::Operator op, std::span<const Id> operands);
// Of the functions with rule kNumeric or kFloat.
Id lower_function(ProgramBuilder& builder, dsl::Function function, std::span<const Id> operands);
Id lower_conversion(ProgramBuilder& builder, Type to, Id operand);

}  // namespace flexjit::ir
