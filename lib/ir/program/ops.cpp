// The tables behind ops.h.
#include "ir/program/ops.h"

#include "ir/program/program.h"

namespace flexjit::ir {
namespace {

struct OpRow {
  std::string_view mnemonic;
  std::string_view symbol;
  int operands;
  std::int32_t time;
  std::int32_t size;
  std::string_view semantics;
};

constexpr std::array<OpRow, kOpCount> kRows = {{
#define FLEXJIT_OP(name, mnemonic, symbol, operands, rule, time, size, semantics) \
  {mnemonic, symbol, operands, time, size, semantics},
#include "ir/program/ops.def"
#undef FLEXJIT_OP
}};

const OpRow& row(Op op) { return kRows[static_cast<std::size_t>(op)]; }

// Operators that are written otherwise between bools.
struct SymbolPair {
  std::string_view of_ints;
  std::string_view of_bools;
};
constexpr SymbolPair kSymbolPairs[] = {{"&", "&&"}, {"|", "||"}, {"~", "!"}};

}  // namespace

std::string_view mnemonic(Op op) { return row(op).mnemonic; }
int operand_count(Op op) { return row(op).operands; }
std::int32_t time_of(Op op) { return row(op).time; }
std::int32_t code_size_of(Op op) { return row(op).size; }
std::string_view semantics(Op op) { return row(op).semantics; }

std::string_view symbol_of(Op op, Type operands) {
  for (const SymbolPair& pair : kSymbolPairs) {
    if (operands == Type::kBool && row(op).symbol == pair.of_ints) return pair.of_bools;
  }
  return row(op).symbol;
}

std::optional<Op> find_op(std::string_view symbol_or_name, std::size_t operands) {
  for (const SymbolPair& pair : kSymbolPairs) {
    if (symbol_or_name == pair.of_bools) symbol_or_name = pair.of_ints;
  }
  for (std::size_t i = 0; i < kRows.size(); ++i) {
    const std::string_view written = kRows[i].symbol.empty() ? kRows[i].mnemonic : kRows[i].symbol;
    if (written == symbol_or_name && kRows[i].operands == static_cast<int>(operands)) return static_cast<Op>(i);
  }
  return std::nullopt;
}

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
