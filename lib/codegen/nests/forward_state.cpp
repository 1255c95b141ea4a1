// What surrounds the key loop of a query tile: queries, initial state, and the tables of row, column and diagonal values.
#include <cstddef>
#include <limits>
#include <numbers>

#include "codegen/nests/forward.h"
#include "codegen/emit/storage.h"
#include "codegen/parts/table_entry.h"
#include "plan/kernel_abi.h"

namespace flexjit::codegen {
namespace {

using ir::Id;
using ir::Op;
using plan::Level;

constexpr std::int64_t kCacheLine = 64;
constexpr double kInf = std::numeric_limits<double>::infinity();

std::vector<bool> all_nodes(const ir::Program& program) { return std::vector<bool>(program.size(), true); }

Id find(const ir::Program& program, Op op) {
  for (std::uint32_t i = 0; i < program.size(); ++i) {
    if (program.nodes()[i].op == op) return Id{i};
  }
  return Id{};
}

}  // namespace

// Scores are in natural units, the queries being scaled. Pairs of bf16 would lose bits to scaled queries, so that all but a
// power of two is left to their sums: before the mod, or in the exponent, where the factor must be positive for masked scores
// to vanish.
void ForwardEmitter::emit_units() {
  const bool has_mod = key_.program.score().valid();
  const Float scale = item_.launch.scale;
  const Float log2_e = e_.real(std::numbers::log2e);
  if (e_.arithmetic() == plan::Arithmetic::kBF16) {
    const auto [power, rest] = split_scale(e_, scale);
    if (has_mod) {
      units_ = {.query = power, .exponent = log2_e, .product = rest};
    } else {
      units_ = {.query = power, .exponent = e_.mul(rest, log2_e), .natural = rest};
    }
  } else {
    units_ = {.query = scale, .exponent = log2_e};
  }
}

// for (r = 0; r < rows; ++r) for (d = 0; d < head_dim; ++d) scratch.q[r][d] = factor * q[q_begin + min(r, q_count - 1)][d];
// The rows that pad the last micro-tile repeat the last real one, so that whatever they compute is as harmless.
void ForwardEmitter::emit_query_rows() {
  const SourceScope part = e_.part(plan::Part::kQueries);
  const bool pairs = e_.arithmetic() == plan::Arithmetic::kBF16;
  const Index last = e_.sub(item_.q_count, e_.index(1));
  e_.for_range("load_q", e_.index(0), item_.rows, e_.index(1), [&](Index r) {
    const Index source_row = e_.add(item_.q_begin, e_.min(r, last));
    const Ptr source = at_element(e_, item_.q.data, e_.mul(source_row, item_.q.stride), key_.types.q);
    const Ptr target = at_cell(e_, e_.at_byte(scratch_base_, scratch_.q), e_.mul(r, e_.index(layout_.k_depth)));
    emit_prefetches(source, source_row);
    if (pairs) {
      copy_pairs(e_, {source, target, key_.head_dim}, units_.query);
      return;
    }
    const std::int64_t whole = key_.head_dim / e_.lanes() * e_.lanes();
    e_.for_range("load_q.vector", e_.index(0), e_.index(whole), e_.index(e_.lanes()), [&](Index d) {
      const Float q = load_elements(e_, at_element(e_, source, d, key_.types.q), key_.types.q);
      e_.store(e_.mul(q, units_.query).value, e_.at_real(target, d));
    });
    e_.for_range("load_q.tail", e_.index(whole), e_.index(key_.head_dim), e_.index(1), [&](Index d) {
      const Float q = load_element(e_, at_element(e_, source, d, key_.types.q), key_.types.q);
      e_.store(e_.mul(q, units_.query).value, e_.at_real(target, d));
    });
  });
}

// The tile that follows is most often the next one: its row is on the way while this tile is computed, and so is the row that
// this tile's output is written to.
void ForwardEmitter::emit_prefetches(Ptr query, Index row) {
  const auto lines = [&](const char* name, std::int64_t bytes, llvm::function_ref<void(Index)> body) {
    e_.for_range(name, e_.index(0), e_.index(bytes), e_.index(kCacheLine), body);
  };
  const auto q_bytes = static_cast<std::int64_t>(size_of(key_.types.q)),
             out_bytes = static_cast<std::int64_t>(size_of(key_.types.out));
  const Index next = e_.mul(item_.q.stride, e_.index(key_.tiling.q_tile * q_bytes));
  lines("load_q.prefetch", key_.head_dim * q_bytes,
        [&](Index byte) { e_.prefetch(e_.anywhere(query, e_.add(next, byte)), CacheLevel::kSecond); });
  const Ptr output = at_element(e_, item_.out.data, e_.mul(row, item_.out.stride), key_.types.out);
  lines("load_q.output", key_.v_head_dim * out_bytes,
        [&](Index byte) { e_.prefetch(e_.anywhere(output, byte), CacheLevel::kSecond, Access::kWrite); });
}

// for (r = 0; r < q_tile; ++r) {
//   row_max[r] = -inf; max_lanes[r][*] = -inf; sum_lanes[r][*] = 0; rescale[r] = 1; o[r][*] = 0; unsettled[r] = r < q_count;
// }
void ForwardEmitter::emit_initial_state() {
  const Float lowest = e_.real(-kInf);
  const Float zero = e_.real(0.0);
  e_.for_range("reset", e_.index(0), e_.index(key_.tiling.q_tile), e_.index(1), [&](Index r) {
    e_.store(lowest.value, real_at(scratch_.row_max, r, 1, e_.index(0)));
    e_.store(e_.real(1.0).value, real_at(scratch_.rescale, r, 1, e_.index(0)));
    e_.store(e_.broadcast(lowest).value, real_at(scratch_.max_lanes, r, e_.lanes(), e_.index(0)), vector_bytes());
    e_.store(e_.broadcast(zero).value, real_at(scratch_.sum_lanes, r, e_.lanes(), e_.index(0)), vector_bytes());
    e_.store(e_.to_int(e_.less(r, item_.q_count)).value, unsettled_at(r));
    emit_zero_output(r);
  });
}

// Stores what `level` keeps of `scope` at entry `at`; returns that every checked read of the level is in range there.
Bool ForwardEmitter::store_values(const Scope& scope, Level level, Index at) {
  Bool fine = e_.constant_bool(true);
  for (std::uint32_t i = 0; i < key_.program.size(); ++i) {
    if (hoisting_.level[i] != level) continue;
    const auto store = [&](std::int32_t slot, std::int32_t width, llvm::Value* value) {
      if (level != Level::kRow && !Emitter::is_vector(value)) {
        value = e_.ir().CreateVectorSplat(static_cast<unsigned>(e_.lanes()), value);
      }
      e_.store(to_entry(e_, value), value_at(level, slot, at, width));
    };
    if (const auto slot = hoisting_.value_slot[i]; slot >= 0) {
      store(slot, plan::width_of(key_.program, Id{i}), scope.value[i]);
    }
    if (const auto slot = hoisting_.flag_slot[i]; slot >= 0) {
      store(slot, 1, scope.flag[i]);
      fine = e_.logical_and(fine, e_.logical_not(e_.any(expressions_->faulty_lanes(scope, Id{i}))));
    }
  }
  return fine;
}

// fine = uniform reads in range and contiguous;
// for (r = 0; r < rows; ++r) { q_idx = q_begin + min(r, q_count - 1); row_values[slot][r] = ...; fine &= row reads in range; }
void ForwardEmitter::emit_row_values() {
  const SourceScope part = e_.part(plan::Part::kRowTables);
  reads_fine_ = expressions_->unit_strides(Level::kElement);
  for (llvm::Value* flag : uniform_.flag) {
    if (flag != nullptr) reads_fine_ = e_.logical_and(reads_fine_, Bool{flag});
  }
  if (hoisting_.row_slots == 0) return;
  const Id q_idx = find(key_.program, Op::kQIdx);
  const Index last = e_.sub(item_.q_count, e_.index(1));
  const Values fine = e_.for_range("row_values", e_.index(0), item_.rows, e_.index(1), {reads_fine_.value},
                                   [&](Index r, const Values& carried) {
                                     Scope scope = uniform_;
                                     scope.value[q_idx.index] = e_.narrow(e_.add(item_.q_begin, e_.min(r, last))).value;
                                     expressions_->evaluate(scope, Level::kRow, all_nodes(key_.program));
                                     return Values{e_.logical_and(Bool{carried[0]}, store_values(scope, Level::kRow, r)).value};
                                   });
  reads_fine_ = Bool{fine[0]};
}

// for (c = 0; c < count; c += lanes) { kv_idx = kv + c + lane; column_values[slot][c..] = ...; } returns column reads in range
Bool ForwardEmitter::emit_column_values(const KeyTile& tile) {
  const SourceScope part = e_.part(plan::Part::kColumnTables);
  Bool fine = e_.constant_bool(true);
  if (hoisting_.column_slots == 0) return fine;
  const Id kv_idx = find(key_.program, Op::kKvIdx);
  const Values all = e_.for_range(
      "column_values", e_.index(0), tile.count, e_.index(e_.lanes()), {fine.value}, [&](Index column, const Values& carried) {
        Scope scope = uniform_;
        const Int columns = e_.add(e_.narrow(e_.add(tile.kv, column)), e_.lane_numbers());
        scope.value[kv_idx.index] = columns.value;
        scope.active = e_.compare(llvm::CmpInst::ICMP_SLT, columns, item_.launch.kv_len);
        expressions_->evaluate(scope, Level::kColumn, all_nodes(key_.program));
        store_column_ranges(scope, e_.panel_of(column));
        return Values{e_.logical_and(Bool{carried[0]}, store_values(scope, Level::kColumn, column)).value};
      });
  return Bool{all[0]};
}

// for (t = 0; t < diagonals; t += lanes) { kv_idx - q_idx = kv - (q_begin + q_tile - 1) + t + lane; diagonal_values[slot][t..]
// = ...; } Diagonal values are computed at the query q_begin, where the key may lie outside the lengths: nothing depends on it
// alone. Only differences that occur between the span's columns and the tile's rows are read.
Bool ForwardEmitter::emit_diagonal_values(const KeyTile& tile) {
  const SourceScope part = e_.part(plan::Part::kDiagonalTables);
  Bool fine = e_.constant_bool(true);
  if (hoisting_.diagonal_slots == 0) return fine;
  const Id q_idx = find(key_.program, Op::kQIdx);
  const Id kv_idx = find(key_.program, Op::kKvIdx);
  const Int query = e_.narrow(item_.q_begin);
  const Index first_key = e_.sub(tile.kv, e_.index(key_.tiling.q_tile - 1));
  const Index used = e_.add(tile.count, e_.index(key_.tiling.q_tile - 1));
  const Int least = e_.sub(tile.begin, e_.narrow(e_.sub(item_.q_count, e_.index(1))));
  const Values all = e_.for_range(
      "diagonal_values", e_.index(0), used, e_.index(e_.lanes()), {fine.value}, [&](Index t, const Values& carried) {
        Scope scope = uniform_;
        const Int keys = e_.add(e_.narrow(e_.add(first_key, t)), e_.lane_numbers());
        scope.value[q_idx.index] = query.value;
        scope.value[kv_idx.index] = keys.value;
        scope.active = e_.logical_and(e_.compare(llvm::CmpInst::ICMP_SGE, keys, least),
                                      e_.compare(llvm::CmpInst::ICMP_SLT, keys, tile.end));
        expressions_->evaluate_along_diagonal(scope);
        return Values{e_.logical_and(Bool{carried[0]}, store_values(scope, Level::kDiagonal, t)).value};
      });
  return Bool{all[0]};
}

}  // namespace flexjit::codegen
