// ops.def -> the enum of operations, and what the columns of that file say of each.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

namespace flexjit::ir {

enum class Type : std::uint8_t { kInt, kFloat, kBool, kLong };

std::string_view name_of(Type type);  // "int", "float", "bool", "int64"

// Of either width.
inline bool is_int(Type type) { return type == Type::kInt || type == Type::kLong; }

enum class Op : std::uint8_t {
#define FLEXJIT_OP(name, mnemonic, symbol, operands, rule, time, size, semantics) k##name,
#include "ir/program/ops.def"
#undef FLEXJIT_OP
};

enum class TypeRule : std::uint8_t {
  kConst,
  kVariable,
  kVariadic,
  kNumeric,
  kFloat,
  kInteger,
  kBits,
  kCompare,
  kEqual,
  kChoice,
  kIntToFloat,
  kFloatToInt,
  kBoolToInt,
  kIntToLong,
  kLongToInt,
  kRandom
};

// Apart from the other columns: interval analysis asks for every node of every box.
inline constexpr std::array kTypeRules = {
#define FLEXJIT_OP(name, mnemonic, symbol, operands, rule, time, size, semantics) TypeRule::k##rule,
#include "ir/program/ops.def"
#undef FLEXJIT_OP
};

inline constexpr int kOpCount = static_cast<int>(kTypeRules.size());

// Of an operation that is not variadic.
inline constexpr int kMaxOperands = 6;

constexpr TypeRule type_rule(Op op) { return kTypeRules[static_cast<std::size_t>(op)]; }

// Adds to a gradient: never an operand, and in no way part of a root.
constexpr bool accumulates(Op op) { return op == Op::kAccumulate || op == Op::kAccumulateRow; }
// What varies with the score of a pair.
constexpr bool is_of_pair(Op op) { return op == Op::kScore || op == Op::kScoreGrad; }
// What varies with the elements of a row, query or key, and which of them it is.
constexpr bool is_of_row(Op op) { return op == Op::kRowValue || op == Op::kSumSq; }
constexpr bool is_of_feature(Op op) { return is_of_row(op) || op == Op::kFeature; }

std::string_view mnemonic(Op op);
int operand_count(Op op);  // -1: variadic
std::int32_t time_of(Op op);
std::int32_t code_size_of(Op op);
std::string_view semantics(Op op);

// As the language writes the operator: "&" of ints is "&&" of bools. Empty: it is no operator.
std::string_view symbol_of(Op op, Type operands);
// The op that the language writes as this operator, or calls by this name, with so many operands.
std::optional<Op> find_op(std::string_view symbol_or_name, std::size_t operands);

}  // namespace flexjit::ir
