// The syntax tree of one text: flat vectors of nodes addressed by typed ids, children before their parents. Names are views of
// the source, which must outlive it. Parentheses leave no trace; a chain `t[h][q]` is one index node.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "dsl/parse/source_location.h"
#include "support/typed_id.h"

namespace flexjit::dsl {

using ExprId = support::TypedId<struct ExprTag>;

enum class ExprKind : std::uint8_t {
  kInt,          // value: the number as int64
  kFloat,        // value: the bits of a double
  kName,         // name
  kUnary,        // op, one operand
  kBinary,       // op, two operands
  kConditional,  // c ? a : b
  kMember,       // x, then the elements of the set
  kIndex,        // name[...]: operands are the indices
  kSlice,        // `:` as an index
  kCall,         // name(...): operands are the arguments
  kReduction,    // any(n in low..high : e), also all, sum: name; operands low, high, e; value: n's place in Ast::block_lets
  kBlock         // (let ...; e): operands are the values of the lets, then e; value: the first in Ast::block_lets
};

enum class Operator : std::uint8_t {
  kNone,
  kNegate,
  kNot,
  kBitNot,
  kAdd,
  kSub,
  kMul,
  kDiv,
  kFloorDiv,
  kMod,
  kShiftLeft,
  kShiftRight,
  kBitAnd,
  kBitXor,
  kBitOr,
  kEqual,
  kNotEqual,
  kLess,
  kLessEqual,
  kGreater,
  kGreaterEqual,
  kAnd,
  kOr
};
std::string_view spelling_of(Operator op);

struct Identifier {
  std::string_view text;
  Span span{};
};

struct Expr {
  ExprKind kind = ExprKind::kInt;
  Operator op = Operator::kNone;
  std::uint16_t depth = 1;  // levels of the tree below and including this node
  std::uint32_t first_operand = 0;
  std::uint32_t operand_count = 0;
  std::uint64_t value = 0;
  Identifier name{};
  Span span{};
};

enum class StatementKind : std::uint8_t { kParam, kConst, kBuffer, kLet, kDef, kScore, kMask, kFeature, kGate, kResult };

// kResult is the final expression of the string form. A statement with a syntax error keeps its name and has `broken` set, so
// that uses of the name are not reported too.
struct Statement {
  // Sets a result of the file form.
  bool is_result() const {
    return kind == StatementKind::kScore || kind == StatementKind::kMask || kind == StatementKind::kFeature ||
           kind == StatementKind::kGate;
  }

  StatementKind kind = StatementKind::kLet;
  bool broken = false;
  Identifier name{};
  Identifier type{};                    // param, const: the type; buffer: the element type
  std::vector<Identifier> arguments{};  // def
  std::vector<ExprId> extents{};        // buffer; an invalid id is `?`
  ExprId value{};                       // invalid for a param without default
};

struct Ast {
  std::vector<Expr> exprs;
  std::vector<ExprId> operands;
  std::vector<Identifier> block_lets;  // and the variables of reductions
  std::vector<Statement> statements;

  const Expr& expr(ExprId id) const { return exprs[id.index]; }
  std::span<const ExprId> operands_of(ExprId id) const {
    return {operands.data() + expr(id).first_operand, expr(id).operand_count};
  }
};

}  // namespace flexjit::dsl
