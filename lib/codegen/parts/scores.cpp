// The roots of the program over one vector of scores. The mask comes first so that masked lanes read nothing, and last so that
// nothing score_mod makes there survives.
#include "codegen/parts/scores.h"

namespace flexjit::codegen {

using ir::Id;
using plan::Level;

namespace {

// for each checked read of the wanted nodes: if (any active lane is out of range && row < rows && counts) report it
// The rows that pad the last micro-tile find nothing in the tables of diagonals.
void check_known(const Scores& scores, const Scope& scope, Index row, const std::vector<bool>& wanted, Bool counts) {
  Emitter& e = scores.e;
  ExpressionEmitter& expressions = scores.tables.expressions;
  for (std::uint32_t i = 0; i < scores.tables.program.size(); ++i) {
    if (!wanted[i] || scope.flag[i] == nullptr) continue;
    const Bool faulty = expressions.faulty_lanes(scope, Id{i});
    const Bool counts_here = scores.rows ? e.logical_and(e.less(row, scores.rows), counts) : counts;
    e.if_then("fault", e.logical_and(e.any(faulty), counts_here),
              [&] { expressions.emit_fault_report(scope, Id{i}, faulty, scores.fault); });
  }
}

}  // namespace

Float Scores::modified(Scope& scope, Float score) const {
  const Id root = tables.program.score();
  if (!root.valid()) return score;
  e.set_contraction(Contraction::kOn);
  if (product) score = e.mul(score, product);
  e.set_contraction(Contraction::kOff);
  if (llvm::Value** leaf = tables.leaf(scope, ir::Op::kScore)) *leaf = score.value;
  tables.expressions.evaluate(scope, Level::kElement, tables.hoisting.in_score);
  return e.broadcast(Float{scope.value[root.index]});
}

Float Scores::weight_factor(Scope& scope) const {
  const Id root = tables.program.weight_factor();
  if (!root.valid()) return {};
  tables.expressions.evaluate(scope, Level::kElement, tables.hoisting.in_factor);
  return e.broadcast(e.to_real(Float{scope.value[root.index]}));
}

// The values that accumulations add are computed with it.
Float Scores::pulled_back(Scope& scope, Float gradient) const {
  if (llvm::Value** leaf = tables.leaf(scope, ir::Op::kScoreGrad)) *leaf = gradient.value;
  tables.expressions.evaluate(scope, Level::kElement, tables.hoisting.in_gradient);
  const Id root = tables.program.roots()[ir::Root::kScoreGrad];
  return root.valid() ? e.broadcast(e.to_real(Float{scope.value[root.index]})) : gradient;
}

// Where the mask does not decide, what it alone reads is no fault.
MaskedScores Scores::masked(Scope& scope, Float score, const Place& at) const {
  const plan::Hoisting& hoisting = tables.hoisting;
  Bool allowed = at.inside;
  if (const Id root = tables.program.mask(); root.valid()) {
    scope.active = at.inside;
    tables.expressions.evaluate(scope, Level::kElement, hoisting.in_mask);
    check(scope, at, hoisting.in_mask, at.masked);
    allowed = e.logical_and(at.inside, e.logical_or(Bool{scope.value[root.index]}, e.logical_not(at.masked)));
  }
  scope.active = allowed;
  score = modified(scope, score);
  check(scope, at, hoisting.in_score, e.constant_bool(true));
  return {e.select(allowed, score, e.lowest()), allowed};
}

// known; if (!fine) the same for the reads of outer loops, whose flags few tiles ever look at
void Scores::check(const Scope& scope, const Place& at, const std::vector<bool>& wanted, Bool counts) const {
  check_known(*this, scope, at.row, wanted, counts);
  if (!at.fine) return;
  bool any = false;
  for (std::uint32_t i = 0; i < tables.program.size(); ++i) {
    const bool has_flag = tables.hoisting.flag_slot[i] >= 0 || tables.uniform.flag[i] != nullptr;
    any = any || (wanted[i] && tables.hoisting.level[i] != Level::kElement && has_flag);
  }
  if (!any) return;
  e.if_then("not_fine", e.logical_not(at.fine), [&] {
    Scope outer = scope;
    outer.flag = tables.uniform.flag;
    tables.load(outer, Level::kRow, at.row, Stored::kFlags);
    tables.load(outer, Level::kColumn, at.column, Stored::kFlags);
    tables.load(outer, Level::kDiagonal, tables.diagonal_of(at.row, at.column), Stored::kFlags);
    check_known(*this, outer, at.row, wanted, counts);
  });
}

}  // namespace flexjit::codegen
