// One micro-tile of scores: micro_rows x (micro_vectors * lanes) of Q K^T in registers, and what happens to it before the
// softmax. The register epilogue serves unmasked tiles of cheap mods; the masked epilogue, a loop over stored scores, serves
// masks, tails, checked reads and mods whose unrolled copies would cost more than they save.
#include <limits>

#include "codegen/forward.h"

namespace flexjit::codegen {

using ir::Id;
using ir::Op;

void ForwardEmitter::emit_score_tile(const Strip& strip, Index row) {
  const Accumulators scores = emit_query_key_product(strip, row);
  if (!register_epilogue_) return emit_masked_epilogue(strip, row, scores);
  e_.if_else(
      "epilogue.fast", strip.fast, [&] { emit_register_epilogue(strip, row, scores); },
      [&] { emit_masked_epilogue(strip, row, scores); });
}

//            strip (micro_vectors vectors)
//          +----+----+----+----+
//   row 0  |    |    |    |    |     acc[r][j] += q[row + r][d] * k_panel[d][j]
//   row 1  |    |    |    |    |     for (d = 0; d < head_dim; ++d)
//   ...    +----+----+----+----+
// A panel of packed K holds head_dim rows of one strip; the panel of column kv begins at element kv * head_dim.
ForwardEmitter::Accumulators ForwardEmitter::emit_query_key_product(const Strip& strip, Index row) {
  const int rows = key_.tiling.micro_rows;
  const int vectors = key_.tiling.micro_vectors;
  const Ptr panel = e_.at(item_.k_panels, e_.mul(strip.kv, e_.index(key_.head_dim)));
  const Ptr queries = scratch_at(scratch_.q, row, key_.head_dim, e_.index(0));
  const Values zeros(static_cast<std::size_t>(rows * vectors), e_.broadcast(e_.constant(0.0F)).value);
  return e_.for_range("qk", e_.index(0), e_.index(key_.head_dim), e_.index(1), zeros, [&](Index d, const Values& acc) {
    const Ptr keys = e_.at(panel, e_.mul(d, e_.index(layout_.strip)));
    llvm::SmallVector<Float, 8> k;
    for (int j = 0; j < vectors; ++j) k.push_back(e_.load_vector(e_.at(keys, e_.index(j * e_.lanes())), 4 * e_.lanes()));
    Values next;
    for (int r = 0; r < rows; ++r) {
      const Float q = e_.broadcast(e_.load(e_.at(e_.at(queries, d), e_.index(std::int64_t{r} * key_.head_dim))));
      for (int j = 0; j < vectors; ++j)
        next.push_back(e_.fma(q, k[static_cast<std::size_t>(j)], Float{acc[next.size()]}).value);
    }
    return next;
  });
}

// The uniform values and those of one query row.
Scope ForwardEmitter::row_scope(Index row) {
  Scope scope = uniform_;
  auto* scalar = e_.ir().getInt1Ty();
  for (std::uint32_t i = 0; i < key_.program.size(); ++i) {
    if (hoisting_.level[i] != plan::Level::kRow) continue;
    if (const auto slot = hoisting_.value_slot[i]; slot >= 0) {
      scope.value[i] = from_entry(row_value_at(slot, row), key_.program.nodes()[i].type, scalar);
    }
    if (const auto slot = hoisting_.flag_slot[i]; slot >= 0) {
      scope.flag[i] = from_entry(row_value_at(slot, row), ir::Type::kBool, scalar);
    }
  }
  return scope;
}

void ForwardEmitter::load_column_values(Scope& scope, Index offset) {
  auto* vector = llvm::FixedVectorType::get(e_.ir().getInt1Ty(), static_cast<unsigned>(e_.lanes()));
  for (std::uint32_t i = 0; i < key_.program.size(); ++i) {
    if (hoisting_.level[i] != plan::Level::kColumn) continue;
    if (const auto slot = hoisting_.value_slot[i]; slot >= 0) {
      scope.value[i] = from_entry(column_value_at(slot, offset), key_.program.nodes()[i].type, vector);
    }
    if (const auto slot = hoisting_.flag_slot[i]; slot >= 0) {
      scope.flag[i] = from_entry(column_value_at(slot, offset), ir::Type::kBool, vector);
    }
  }
}

// max_lanes[row] = max(scores, max_lanes[row]), NaN ignored
void ForwardEmitter::emit_running_max(Index row, Float scores) {
  const Ptr address = scratch_at(scratch_.max_lanes, row, e_.lanes(), e_.index(0));
  e_.store(e_.max(scores, e_.load_vector(address, 4 * e_.lanes())).value, address, 4 * e_.lanes());
}

// for each r, j, unrolled: s = score_mod(acc[r][j]); S[row + r][column + j] = s; then the row's running maximum
void ForwardEmitter::emit_register_epilogue(const Strip& strip, Index row, const Accumulators& scores) {
  const Id root = key_.program.score();
  std::size_t next = 0;
  for (int r = 0; r < key_.tiling.micro_rows; ++r) {
    const Index this_row = e_.add(row, e_.index(r));
    const Scope of_row = row_scope(this_row);
    Float max;
    for (int j = 0; j < key_.tiling.micro_vectors; ++j) {
      const Index offset = e_.index(j * e_.lanes());
      Float score{scores[next++]};
      if (root.valid()) {
        Scope scope = of_row;
        load_column_values(scope, offset);
        for (std::uint32_t i = 0; i < key_.program.size(); ++i) {
          if (key_.program.nodes()[i].op == Op::kScore) scope.value[i] = score.value;
        }
        expressions_->evaluate(scope, plan::Level::kElement, hoisting_.in_score);
        score = e_.broadcast(Float{scope.value[root.index]});
      }
      e_.store(score.value, score_at(this_row, e_.add(strip.column, offset)), 4 * e_.lanes());
      max = max ? e_.max(score, max) : score;
    }
    emit_running_max(this_row, max);
  }
}

// S[row + r][column + j] = acc[r][j], unrolled;
// for (r = 0; r < micro_rows; ++r) for (offset = 0; offset < strip; offset += lanes) masked_scores(row + r, offset);
void ForwardEmitter::emit_masked_epilogue(const Strip& strip, Index row, const Accumulators& scores) {
  std::size_t next = 0;
  for (int r = 0; r < key_.tiling.micro_rows; ++r) {
    for (int j = 0; j < key_.tiling.micro_vectors; ++j) {
      const Index column = e_.add(strip.column, e_.index(j * e_.lanes()));
      e_.store(scores[next++], score_at(e_.add(row, e_.index(r)), column), 4 * e_.lanes());
    }
  }
  e_.for_range("epilogue.row", row, e_.add(row, e_.index(key_.tiling.micro_rows)), e_.index(1), [&](Index r) {
    e_.for_range("epilogue.vector", e_.index(0), e_.index(layout_.strip), e_.index(e_.lanes()),
                 [&](Index offset) { emit_masked_scores(strip, r, offset); });
  });
}

// allowed = span.begin <= kv_idx < span.end && mask_mod; s = allowed ? score_mod(s) : -inf; running maximum. The mask comes
// first so that masked lanes read nothing, and last so that nothing score_mod makes there survives.
void ForwardEmitter::emit_masked_scores(const Strip& strip, Index row, Index offset) {
  Scope scope = row_scope(row);
  load_column_values(scope, offset);
  const Ptr address = score_at(row, e_.add(strip.column, offset));
  Float score = e_.load_vector(address, 4 * e_.lanes());
  for (std::uint32_t i = 0; i < key_.program.size(); ++i) {
    if (key_.program.nodes()[i].op == Op::kScore) scope.value[i] = score.value;
  }
  const Int columns = e_.add(e_.narrow(e_.add(strip.kv, offset)), e_.lane_numbers());
  const Bool inside = e_.logical_and(e_.compare(llvm::CmpInst::ICMP_SGE, columns, strip.begin),
                                     e_.compare(llvm::CmpInst::ICMP_SLT, columns, strip.end));
  const Bool allowed = emit_mask(scope, inside);
  if (const Id root = key_.program.score(); root.valid()) {
    scope.active = allowed;
    expressions_->evaluate(scope, plan::Level::kElement, hoisting_.in_score);
    emit_fault_checks(scope, hoisting_.in_score, hoisting_.in_mask);
    score = Float{scope.value[root.index]};
  }
  score = e_.select(allowed, score, e_.constant(-std::numeric_limits<float>::infinity()));
  e_.store(score.value, address, 4 * e_.lanes());
  emit_running_max(row, score);
}

Bool ForwardEmitter::emit_mask(Scope& scope, Bool inside) {
  const Id root = key_.program.mask();
  if (!root.valid()) return inside;
  scope.active = inside;
  expressions_->evaluate(scope, plan::Level::kElement, hoisting_.in_mask);
  emit_fault_checks(scope, hoisting_.in_mask, std::vector<bool>(key_.program.size(), false));
  return e_.logical_and(inside, Bool{scope.value[root.index]});
}

// for each checked read that is wanted and not unwanted: if (any active lane is out of range) report it
void ForwardEmitter::emit_fault_checks(const Scope& scope, const std::vector<bool>& wanted, const std::vector<bool>& unwanted) {
  for (std::uint32_t i = 0; i < key_.program.size(); ++i) {
    if (!wanted[i] || unwanted[i] || scope.flag[i] == nullptr) continue;
    const Bool faulty = expressions_->faulty_lanes(scope, Id{i});
    e_.if_then("fault", e_.any(faulty), [&] { expressions_->emit_fault_report(scope, Id{i}, faulty, item_.fault); });
  }
}

}  // namespace flexjit::codegen
