// The roots of the program over one vector of scores. The mask comes first so that masked lanes read nothing, and last so that
// nothing score_mod makes there survives.
#include "codegen/parts/scores.h"

#include <limits>

namespace flexjit::codegen {

using ir::Id;
using plan::Level;

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

MaskedScores Scores::masked(Scope& scope, Float score, const Place& at, const Masking& masking) const {
  const Bool allowed = mask(scope, at, masking);
  scope.active = allowed;
  score = modified(scope, score);
  check_score_reads(scope, at);
  return {e.select(allowed, score, e.real(-std::numeric_limits<double>::infinity())), allowed};
}

void Scores::check_score_reads(const Scope& scope, const Place& at) const {
  check(scope, at, {tables.hoisting.in_score, e.constant_bool(true)});
}

// Where the mask does not decide, what it alone reads is no fault.
Bool Scores::mask(Scope& scope, const Place& at, const Masking& masking) const {
  const Id root = tables.program.mask();
  if (!root.valid()) return masking.inside;
  scope.active = masking.inside;
  tables.expressions.evaluate(scope, Level::kElement, tables.hoisting.in_mask);
  check(scope, at, {tables.hoisting.in_mask, masking.masked});
  return e.logical_and(masking.inside, e.logical_or(Bool{scope.value[root.index]}, e.logical_not(masking.masked)));
}

// known; if (!fine) the same for the reads of outer loops, whose flags few tiles ever look at
void Scores::check(const Scope& scope, const Place& at, const Faults& faults) const {
  check_known(scope, at.row, faults);
  if (!at.fine) return;
  const plan::Hoisting& hoisting = tables.hoisting;
  bool any = false;
  for (std::uint32_t i = 0; i < tables.program.size(); ++i) {
    const bool has_flag = hoisting.flag_slot[i] >= 0 || tables.uniform.flag[i] != nullptr;
    any = any || (faults.wanted[i] && hoisting.level[i] != Level::kElement && has_flag);
  }
  if (!any) return;
  e.if_then("not_fine", e.logical_not(at.fine), [&] {
    Scope outer = scope;
    outer.flag = tables.uniform.flag;
    tables.load(outer, Level::kRow, at.row, Stored::kFlags);
    tables.load(outer, Level::kColumn, at.column, Stored::kFlags);
    tables.load(outer, Level::kDiagonal, tables.diagonal_of(at.row, at.column), Stored::kFlags);
    check_known(outer, at.row, faults);
  });
}

// for each checked read of the wanted nodes: if (any active lane is out of range && row < rows && counts) report it
// The rows that pad the last micro-tile find nothing in the tables of diagonals.
void Scores::check_known(const Scope& scope, Index row, const Faults& faults) const {
  for (std::uint32_t i = 0; i < tables.program.size(); ++i) {
    if (!faults.wanted[i] || scope.flag[i] == nullptr) continue;
    const Bool faulty = tables.expressions.faulty_lanes(scope, Id{i});
    const Bool counts = rows ? e.logical_and(e.less(row, rows), faults.counts) : faults.counts;
    e.if_then("fault", e.logical_and(e.any(faulty), counts),
              [&] { tables.expressions.emit_fault_report(scope, Id{i}, faulty, fault); });
  }
}

}  // namespace flexjit::codegen
