// ops.def -> the tables that answer questions about an operation. The rows of the file are the only place where an
// operation's name, arity, type rule and meaning are written down.
#include <array>

#include "ir/program/program.h"

namespace flexjit::ir {
namespace {

struct OpRow {
  std::string_view mnemonic;
  int operands;
  TypeRule rule;
  std::string_view semantics;
};

constexpr std::array<OpRow, kOpCount> kRows = {{
#define FLEXJIT_OP(name, mnemonic, operands, rule, semantics) {mnemonic, operands, TypeRule::k##rule, semantics},
#include "ir/program/ops.def"
#undef FLEXJIT_OP
}};

const OpRow& row(Op op) { return kRows[static_cast<std::size_t>(op)]; }

}  // namespace

std::string_view mnemonic(Op op) { return row(op).mnemonic; }
int operand_count(Op op) { return row(op).operands; }
TypeRule type_rule(Op op) { return row(op).rule; }
std::string_view semantics(Op op) { return row(op).semantics; }

std::string_view name_of(Type type) {
  switch (type) {
    case Type::kInt: return "int";
    case Type::kFloat: return "float";
    case Type::kBool: return "bool";
    case Type::kLong: return "int64";
  }
  return "";
}

Type element_type(DType dtype) {
  switch (dtype) {
#define FLEXJIT_DTYPE(name, c_name, text, stored, kind, npy, unit, largest) \
  case DType::k##name: return Type::k##kind;
#include "flexjit/dtypes.def"
#undef FLEXJIT_DTYPE
  }
  return Type::kFloat;
}

}  // namespace flexjit::ir
