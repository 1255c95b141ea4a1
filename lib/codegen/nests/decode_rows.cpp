// What surrounds the key loop of a decode item: queries in the form that the products read, the initial state, the tables of
// row and column values, the state that is left.
#include <cstddef>
#include <limits>

#include "codegen/parts/careful.h"
#include "codegen/nests/decode.h"
#include "codegen/emit/storage.h"
#include "codegen/parts/table_entry.h"
#include "plan/kernel_abi.h"

namespace flexjit::codegen {
namespace {

using ir::Id;
using ir::Op;

std::vector<bool> all_nodes(const ir::Program& program) { return std::vector<bool>(program.size(), true); }

// Null where the program has no such leaf.
llvm::Value** find(Scope& scope, const ir::Program& program, Op op) {
  for (std::uint32_t i = 0; i < program.size(); ++i) {
    if (program.nodes()[i].op == op) return &scope.value[i];
  }
  return nullptr;
}

}  // namespace

Index DecodeEmitter::head_of(Index row) {
  auto& ir = e_.ir();
  auto* global = e_.add(item_.row_begin, row).value;
  auto* within = ir.CreateSDiv(global, e_.widen(item_.launch.q_len).value);
  return e_.add(e_.mul(item_.kv_head, e_.widen(item_.group)), Index{within});
}

Index DecodeEmitter::query_of(Index row) {
  return {e_.ir().CreateSRem(e_.add(item_.row_begin, row).value, e_.widen(item_.launch.q_len).value)};
}

// for (r = 0; r < rows; ++r) scratch.q[r][0 .. q_stride) = scale * q[head_of(r)][query_of(r)], then zeros
void DecodeEmitter::emit_query_rows() {
  const SourceScope part = e_.part(plan::Part::kQueries);
  const Ptr tensor = e_.at_byte(item_.launch.launch, offsetof(plan::LaunchArg, q));
  const auto field = [&](std::size_t offset) { return e_.load_index(e_.at_byte(tensor, static_cast<std::int64_t>(offset))); };
  const Index batch = field(offsetof(plan::TensorArg, stride_batch));
  const Index head = field(offsetof(plan::TensorArg, stride_head));
  const Index row = field(offsetof(plan::TensorArg, stride_row));
  const Ptr data = e_.load_pointer(tensor);
  e_.for_range("load_q", e_.index(0), item_.rows, e_.index(1), [&](Index r) {
    const Index from_head = e_.add(e_.mul(item_.b, batch), e_.mul(head_of(r), head));
    const Index from = e_.add(from_head, e_.mul(query_of(r), row));
    emit_query_row(r, at_element(e_, data, from, key_.types.q));
  });
}

// Whole vectors, then one that is cut at head_dim, scaled: products of what is not may overflow where scores do not. bf16 pairs
// are scaled by a power of two alone.
void DecodeEmitter::emit_query_row(Index r, Ptr source) {
  const int width = pairs_ ? 2 * e_.lanes() : e_.lanes();
  const int tail = key_.head_dim % width;
  const Index whole = e_.index(key_.head_dim - tail);
  const std::int64_t row_floats = pairs_ ? scratch_.q_stride / 2 : scratch_.q_stride;
  const Ptr target = scratch_at(scratch_.q, r, row_floats, e_.index(0));
  const DType stored_as = pairs_ ? DType::kBF16 : DType::kF32;
  const auto copy = [&](Index d, int count) {
    llvm::Value* loaded = load_first(at_element(e_, source, d, key_.types.q), key_.types.q, width, count);
    if (pairs_) {
      auto* type = llvm::FixedVectorType::get(e_.ir().getInt32Ty(), static_cast<unsigned>(e_.lanes()));
      loaded = scale_pairs(e_, Int{e_.ir().CreateBitCast(loaded, type)}, scale_.power).value;
    } else {
      loaded = e_.mul(Float{widen(e_, loaded, key_.types.q)}, item_.launch.scale).value;
    }
    e_.store(loaded, at_element(e_, target, d, stored_as), 4 * e_.lanes());
  };
  e_.for_range("load_q.vector", e_.index(0), whole, e_.index(width), [&](Index d) { copy(d, width); });
  if (tail != 0) copy(whole, tail);
}

// for (r = 0; r < rows; ++r) { max[r] = -inf; scale[r] = 1; sum_lanes[r][*] = 0; o[r][*] = 0; }
void DecodeEmitter::emit_initial_state() {
  const Float zeros = e_.broadcast(e_.constant(0.0F));
  e_.for_range("reset", e_.index(0), item_.rows, e_.index(1), [&](Index r) {
    e_.store(e_.constant(-std::numeric_limits<float>::infinity()).value, e_.at(item_.max, r));
    e_.store(e_.constant(1.0F).value, e_.at(item_.scale, r));
    e_.store(zeros.value, scratch_at(scratch_.sum_lanes, r, e_.lanes(), e_.index(0)), 4 * e_.lanes());
    emit_zero_output(r);
  });
}

void DecodeEmitter::emit_zero_output(Index row) {
  const Float zeros = e_.broadcast(e_.constant(0.0F));
  e_.for_range("reset.o", e_.index(0), e_.index(layout_.v_padded), e_.index(e_.lanes()),
               [&](Index d) { e_.store(zeros.value, output_at(row, d), 4 * e_.lanes()); });
}

// left = false; if (!careful) for (r = 0; r < rows; ++r) { state_of_row(r); left |= unsettled[r]; }
// Returns that any row is left to the careful pass.
Bool DecodeEmitter::emit_state() {
  const SourceScope part = e_.part(plan::Part::kOutput);
  const Index none = e_.index(0);
  const Values left = e_.for_range("state", none, e_.select(careful_, none, item_.rows), e_.index(1), {none.value},
                                   [&](Index r, const Values& so_far) {
                                     emit_state_of_row(r);
                                     const Index unsettled = e_.widen(e_.load_int(unsettled_at(r)));
                                     return Values{e_.bit_or(Index{so_far[0]}, unsettled).value};
                                   });
  return e_.logical_not(e_.equal(Index{left[0]}, none));
}

// sum[row] = reduce(sum_lanes[row]); unsettled[row] = o[row] is not finite;
// if (unsettled[row]) { o[row] = 0; scale[row] = kHeadroom; }
void DecodeEmitter::emit_state_of_row(Index row) {
  const Float lanes = e_.load_vector(scratch_at(scratch_.sum_lanes, row, e_.lanes(), e_.index(0)), 4 * e_.lanes());
  e_.store(e_.reduce_add(lanes).value, e_.at(item_.sum, row));
  if (pairs_) emit_dims_in_order(row);
  // 0 * o is 0 where o is finite, else NaN.
  const Float zeros = e_.broadcast(e_.constant(0.0F));
  const Values seen = e_.for_range("state.o", e_.index(0), e_.index(layout_.v_padded), e_.index(e_.lanes()), {zeros.value},
                                   [&](Index d, const Values& so_far) {
                                     const Float o = e_.load_vector(output_at(row, d), 4 * e_.lanes());
                                     return Values{e_.fma(o, zeros, Float{so_far[0]}).value};
                                   });
  const Bool unsettled = e_.any(e_.compare(FloatOrder::kNe, Float{seen[0]}, zeros));
  e_.store(e_.to_int(unsettled).value, unsettled_at(row));
  e_.if_then("not_finite", unsettled, [&] {
    emit_zero_output(row);
    e_.store(e_.real(kHeadroom).value, e_.at(item_.scale, row));
  });
}

// for (r = 0; r < rows; ++r) { h = head_of(r); q_idx = query_of(r); row_values[slot][r] = ...; }
void DecodeEmitter::emit_row_values() {
  const SourceScope part = e_.part(plan::Part::kRowTables);
  if (hoisting_.row_slots == 0) return;
  e_.for_range("row_values", e_.index(0), item_.rows, e_.index(1), [&](Index r) {
    Scope scope = uniform_;
    if (llvm::Value** h = find(scope, key_.program, Op::kHead)) *h = e_.narrow(head_of(r)).value;
    if (llvm::Value** q_idx = find(scope, key_.program, Op::kQIdx)) *q_idx = e_.narrow(query_of(r)).value;
    expressions_->evaluate(scope, plan::Level::kRow, all_nodes(key_.program));
    for (std::uint32_t i = 0; i < key_.program.size(); ++i) {
      if (hoisting_.level[i] != plan::Level::kRow) continue;
      if (const auto slot = hoisting_.value_slot[i]; slot >= 0)
        e_.store(to_entry(e_, scope.value[i]), row_value_at(slot, r, width_of(i)));
      if (const auto slot = hoisting_.flag_slot[i]; slot >= 0) e_.store(to_entry(e_, scope.flag[i]), row_value_at(slot, r, 1));
    }
  });
}

// for (o = 0; o < kv_tile; o += lanes) { kv_idx = kv + o + lane; column_values[slot][o..] = ...; }
void DecodeEmitter::emit_column_values(Index kv) {
  const SourceScope part = e_.part(plan::Part::kColumnTables);
  if (hoisting_.column_slots == 0) return;
  e_.for_range("column_values", e_.index(0), e_.index(key_.tiling.kv_tile), e_.index(e_.lanes()), [&](Index offset) {
    Scope scope = uniform_;
    const Int columns = e_.add(e_.narrow(e_.add(kv, offset)), e_.lane_numbers());
    *find(scope, key_.program, Op::kKvIdx) = columns.value;
    scope.active = e_.compare(llvm::CmpInst::ICMP_SLT, columns, item_.launch.kv_len);
    expressions_->evaluate(scope, plan::Level::kColumn, all_nodes(key_.program));
    for (std::uint32_t i = 0; i < key_.program.size(); ++i) {
      if (hoisting_.level[i] != plan::Level::kColumn) continue;
      if (const auto slot = hoisting_.value_slot[i]; slot >= 0)
        e_.store(to_entry(e_, scope.value[i]), column_value_at(slot, offset, width_of(i)));
      if (const auto slot = hoisting_.flag_slot[i]; slot >= 0)
        e_.store(to_entry(e_, scope.flag[i]), column_value_at(slot, offset, 1));
    }
  });
}

// The uniform values and those of one row.
Scope DecodeEmitter::row_scope(Index row) {
  Scope scope = uniform_;
  auto* scalar = e_.ir().getInt1Ty();
  for (std::uint32_t i = 0; i < key_.program.size(); ++i) {
    if (hoisting_.level[i] != plan::Level::kRow) continue;
    if (const auto slot = hoisting_.value_slot[i]; slot >= 0)
      scope.value[i] = from_entry(e_, row_value_at(slot, row, width_of(i)), key_.program.nodes()[i].type, scalar);
    if (const auto slot = hoisting_.flag_slot[i]; slot >= 0)
      scope.flag[i] = from_entry(e_, row_value_at(slot, row, 1), ir::Type::kBool, scalar);
  }
  return scope;
}

void DecodeEmitter::load_column_values(Scope& scope, Index offset) {
  auto* vector = llvm::FixedVectorType::get(e_.ir().getInt1Ty(), static_cast<unsigned>(e_.lanes()));
  for (std::uint32_t i = 0; i < key_.program.size(); ++i) {
    if (hoisting_.level[i] != plan::Level::kColumn) continue;
    if (const auto slot = hoisting_.value_slot[i]; slot >= 0)
      scope.value[i] = from_entry(e_, column_value_at(slot, offset, width_of(i)), key_.program.nodes()[i].type, vector);
    if (const auto slot = hoisting_.flag_slot[i]; slot >= 0)
      scope.flag[i] = from_entry(e_, column_value_at(slot, offset, 1), ir::Type::kBool, vector);
  }
}

}  // namespace flexjit::codegen
