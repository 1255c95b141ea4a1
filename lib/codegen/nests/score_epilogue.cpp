// What happens to scores before the softmax: score_mod, mask_mod, running maximum. The whole epilogue serves micro-tiles in
// which every pair is allowed: in registers for cheap mods, row by row over stored scores for others, whose unrolled copies
// would cost more than they save. The masked epilogue, a loop over panels and rows, serves the edges of masks and of the
// tensors, and reads that must be checked.
#include <limits>

#include "codegen/nests/forward.h"

namespace flexjit::codegen {
namespace {

using ir::Id;
using ir::Op;
using plan::Level;

// Score mods that cost more vector instructions than this are not unrolled.
constexpr std::int32_t kUnrolledCost = 400;

}  // namespace

// The uniform values without their flags.
Scope ForwardEmitter::inner_scope() const {
  Scope scope = uniform_;
  scope.flag.assign(key_.program.size(), nullptr);
  return scope;
}

// maxima = max(scores, maxima), NaN ignored. The load is volatile because LLVM makes one masked store of it, the maximum and
// the store, and with AVX2 some processors take tens of cycles for that.
void ForwardEmitter::emit_running_max(Ptr maxima, Float scores) {
  const Float old = e_.load_reals(maxima, vector_bytes());
  llvm::cast<llvm::LoadInst>(old.value)->setVolatile(true);
  e_.store(e_.max(scores, old).value, maxima, vector_bytes());
}

// score_mod of scaled products; what `scope` holds of rows, columns and diagonals must be loaded.
Float ForwardEmitter::modified_score(Scope& scope, Float product) {
  const Id root = key_.program.score();
  if (!root.valid()) return product;
  e_.set_contraction(Contraction::kOn);
  if (units_.product) product = e_.mul(product, units_.product);
  e_.set_contraction(Contraction::kOff);
  for (std::uint32_t i = 0; i < key_.program.size(); ++i) {
    if (key_.program.nodes()[i].op == Op::kScore) scope.value[i] = product.value;
  }
  expressions_->evaluate(scope, Level::kElement, hoisting_.in_score);
  return e_.broadcast(Float{scope.value[root.index]});
}

// for each row r: whole_row
void ForwardEmitter::emit_whole_epilogue(const KeyTile&, const MicroTile& micro, const Accumulators& scores) {
  const SourceScope part = e_.part(plan::Part::kScores);
  const int vectors = key_.tiling.micro_vectors;
  const Ptr first = e_.opaque(score_at(micro.row, micro.column));
  const Ptr maxima = e_.opaque(real_at(scratch_.max_lanes, micro.row, e_.lanes(), e_.index(0)));
  if (hoisting_.score_cost <= plan::kRegisterEpilogueCost) {
    for (int r = 0; r < key_.tiling.micro_rows; ++r) {
      const auto of_row =
          llvm::ArrayRef(scores).slice(static_cast<std::size_t>(r * vectors), static_cast<std::size_t>(vectors));
      const ScoreRow row{.row = e_.add(micro.row, e_.index(r)),
                         .column = micro.column,
                         .scores = e_.at_real(first, e_.index(r * scratch_.s_stride)),
                         .maxima = e_.at_real(maxima, e_.index(std::int64_t{r} * e_.lanes()))};
      emit_whole_row(row, of_row);
    }
    return;
  }
  store_scores(micro, micro.column, scores);
  e_.for_range("whole.row", micro.row, e_.add(micro.row, e_.index(key_.tiling.micro_rows)), e_.index(1), [&](Index row) {
    const ScoreRow of_row{.row = row,
                          .column = micro.column,
                          .scores = e_.opaque(score_at(row, micro.column)),
                          .maxima = real_at(scratch_.max_lanes, row, e_.lanes(), e_.index(0))};
    if (hoisting_.score_cost > kUnrolledCost) return emit_whole_panels(of_row);
    llvm::SmallVector<Float, 8> stored;
    for (int j = 0; j < vectors; ++j) {
      stored.push_back(e_.load_reals(e_.at_real(of_row.scores, e_.index(j * e_.lanes())), vector_bytes()));
    }
    emit_whole_row(of_row, stored);
  });
}

// for (j = 0; j < micro_vectors; ++j) the same for one vector: copies of a large mod cost more time to compile than they save.
void ForwardEmitter::emit_whole_panels(const ScoreRow& at) {
  e_.for_range("whole.panel", e_.index(0), e_.index(key_.tiling.micro_vectors), e_.index(1), [&](Index panel) {
    const Index offset = e_.mul(panel, e_.index(e_.lanes()));
    const ScoreRow one{
        .row = at.row, .column = e_.add(at.column, offset), .scores = e_.at_real(at.scores, offset), .maxima = at.maxima};
    emit_whole_row(one, {e_.load_reals(one.scores, vector_bytes())});
  });
}

// S[row][column + j] = score_mod(scores[j]), unrolled; then the row's running maximum
void ForwardEmitter::emit_whole_row(const ScoreRow& at, llvm::ArrayRef<Float> scores) {
  Scope of_row = inner_scope();
  of_row.whole = true;
  load_values(of_row, Level::kRow, at.row);
  Float max;
  for (std::size_t j = 0; j < scores.size(); ++j) {
    const Index offset = e_.index(static_cast<std::int64_t>(j) * e_.lanes());
    const Index column = e_.add(at.column, offset);
    Scope scope = of_row;
    load_values(scope, Level::kColumn, column);
    load_values(scope, Level::kDiagonal, diagonal_of(at.row, column));
    const Float score = modified_score(scope, scores[j]);
    if (hoisting_.checks_elements) emit_fault_checks(scope, at.row, {hoisting_.in_score, e_.constant_bool(true)});
    e_.store(score.value, e_.at_real(at.scores, offset), vector_bytes());
    max = max ? e_.max(score, max) : score;
  }
  emit_running_max(at.maxima, max);
}

// for (j = 0; j < micro_vectors; ++j) if (panel j is visited)
//   for (r = row; r < row + micro_rows; ++r) allowed |= masked_scores(r, column + j * lanes)
//   narrow_visit(group, column + j * lanes, allowed)
void ForwardEmitter::emit_masked_epilogue(const KeyTile& tile, const MicroTile& micro) {
  const SourceScope part = e_.part(plan::Part::kMaskedScores);
  e_.for_range("epilogue.panel", e_.index(0), e_.index(key_.tiling.micro_vectors), e_.index(1), [&](Index panel) {
    const Index bit = e_.bit_and(e_.lshr(micro.visited, panel), e_.index(1));
    e_.if_then("epilogue.visited", e_.equal(bit, e_.index(1)), [&] {
      const Index column = e_.add(micro.column, e_.mul(panel, e_.index(e_.lanes())));
      Scope of_columns = inner_scope();
      load_values(of_columns, Level::kColumn, column);
      const Index end = e_.add(micro.row, e_.index(key_.tiling.micro_rows));
      const Values allowed =
          e_.for_range("epilogue.row", micro.row, end, e_.index(1), {e_.index(0).value}, [&](Index row, const Values& so_far) {
            const Bool in_row = emit_masked_scores(tile, of_columns, row, column);
            return Values{e_.bit_or(Index{so_far[0]}, e_.lane_bits(in_row)).value};
          });
      narrow_visit(micro.group, column, Index{allowed[0]});
    });
  });
}

// allowed = span.begin <= kv_idx < span.end && (mask_mod || !masked); s = allowed ? score_mod(s) : -inf; running maximum. The
// mask comes first so that masked lanes read nothing, and last so that nothing score_mod makes there survives.
Bool ForwardEmitter::emit_masked_scores(const KeyTile& tile, const Scope& of_columns, Index row, Index column) {
  Scope scope = of_columns;
  load_values(scope, Level::kRow, row);
  load_values(scope, Level::kDiagonal, diagonal_of(row, column));
  const Ptr address = score_at(row, column);
  Float score = e_.load_reals(address, vector_bytes());
  const Int columns = e_.add(e_.narrow(e_.add(tile.kv, column)), e_.lane_numbers());
  const Bool inside = e_.logical_and(e_.compare(llvm::CmpInst::ICMP_SGE, columns, tile.begin),
                                     e_.compare(llvm::CmpInst::ICMP_SLT, columns, tile.end));
  const Bool allowed = emit_mask(tile, scope, {row, column}, inside);
  scope.active = allowed;
  score = modified_score(scope, score);
  emit_fault_checks(scope, row, {hoisting_.in_score, e_.constant_bool(true)});
  emit_outer_fault_checks(tile, scope, {row, column}, {hoisting_.in_score, e_.constant_bool(true)});
  score = e_.select(allowed, score, e_.real(-std::numeric_limits<double>::infinity()));
  e_.store(score.value, address, vector_bytes());
  emit_running_max(real_at(scratch_.max_lanes, row, e_.lanes(), e_.index(0)), score);
  return allowed;
}

// Where the mask does not decide, what it alone reads is no fault.
Bool ForwardEmitter::emit_mask(const KeyTile& tile, Scope& scope, const Place& at, Bool inside) {
  const Id root = key_.program.mask();
  if (!root.valid()) return inside;
  scope.active = inside;
  expressions_->evaluate(scope, Level::kElement, hoisting_.in_mask);
  const Faults faults{hoisting_.in_mask, tile.masked};
  emit_fault_checks(scope, at.row, faults);
  emit_outer_fault_checks(tile, scope, at, faults);
  return e_.logical_and(inside, e_.logical_or(Bool{scope.value[root.index]}, e_.logical_not(tile.masked)));
}

// for each checked read of the wanted nodes: if (any active lane is out of range && row < q_count && counts) report it
// The rows that pad the last micro-tile find nothing in the tables of diagonals. Flags of outer loops are in no scope but that
// of emit_outer_fault_checks.
void ForwardEmitter::emit_fault_checks(const Scope& scope, Index row, const Faults& faults) {
  for (std::uint32_t i = 0; i < key_.program.size(); ++i) {
    if (!faults.wanted[i] || scope.flag[i] == nullptr) continue;
    const Bool faulty = expressions_->faulty_lanes(scope, Id{i});
    const Bool is_real{e_.ir().CreateICmpSLT(row.value, item_.q_count.value)};
    e_.if_then("fault", e_.logical_and(e_.any(faulty), e_.logical_and(is_real, faults.counts)),
               [&] { expressions_->emit_fault_report(scope, Id{i}, faulty, item_.fault); });
  }
}

// if (!tile.fine) the same for the reads of outer loops, whose flags few tiles ever look at
void ForwardEmitter::emit_outer_fault_checks(const KeyTile& tile, const Scope& scope, const Place& at, const Faults& faults) {
  const auto is_outer = [&](std::uint32_t i) {
    return faults.wanted[i] && hoisting_.level[i] != Level::kElement &&
           (hoisting_.flag_slot[i] >= 0 || uniform_.flag[i] != nullptr);
  };
  bool any = false;
  for (std::uint32_t i = 0; i < key_.program.size(); ++i) any = any || is_outer(i);
  if (!any) return;
  e_.if_then("not_fine", e_.logical_not(tile.fine), [&] {
    Scope outer = scope;
    outer.flag = uniform_.flag;
    load_flags(outer, Level::kRow, at.row);
    load_flags(outer, Level::kColumn, at.column);
    load_flags(outer, Level::kDiagonal, diagonal_of(at.row, at.column));
    emit_fault_checks(outer, at.row, faults);
  });
}

}  // namespace flexjit::codegen
