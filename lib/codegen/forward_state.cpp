// What surrounds the key loop of a query tile: scaled queries, initial state, the tables of row and column values, the output.
#include <cstddef>
#include <limits>

#include "codegen/forward.h"
#include "codegen/vector_math.h"
#include "plan/kernel_abi.h"

namespace flexjit::codegen {
namespace {

using ir::Id;
using ir::Op;

constexpr float kInf = std::numeric_limits<float>::infinity();

std::vector<bool> all_nodes(const ir::Program& program) { return std::vector<bool>(program.size(), true); }

Id find(const ir::Program& program, Op op) {
  for (std::uint32_t i = 0; i < program.size(); ++i) {
    if (program.nodes()[i].op == op) return Id{i};
  }
  return Id{};
}

}  // namespace

// for (r = 0; r < rows; ++r) for (d = 0; d < head_dim; ++d) scratch.q[r][d] = scale * q[q_begin + min(r, q_count - 1)][d];
// The rows that pad the last micro-tile repeat the last real one, so that whatever they compute is as harmless.
void ForwardEmitter::emit_query_rows() {
  const std::int64_t whole = key_.head_dim / e_.lanes() * e_.lanes();
  const Index last = e_.sub(item_.q_count, e_.index(1));
  e_.for_range("load_q", e_.index(0), item_.rows, e_.index(1), [&](Index r) {
    const Index source_row = e_.add(item_.q_begin, e_.min(r, last));
    const Ptr source = e_.at(item_.q.data, e_.mul(source_row, item_.q.stride));
    const Ptr target = scratch_at(scratch_.q, r, key_.head_dim, e_.index(0));
    e_.for_range("load_q.vector", e_.index(0), e_.index(whole), e_.index(e_.lanes()), [&](Index d) {
      e_.store(e_.mul(e_.load_vector(e_.at(source, d)), item_.launch.scale).value, e_.at(target, d));
    });
    e_.for_range("load_q.tail", e_.index(whole), e_.index(key_.head_dim), e_.index(1),
                 [&](Index d) { e_.store(e_.mul(e_.load(e_.at(source, d)), item_.launch.scale).value, e_.at(target, d)); });
  });
}

// for (r = 0; r < rows; ++r) { row_max[r] = -inf; row_sum[r] = 0; max_lanes[r][*] = -inf; o[r][*] = 0; }
void ForwardEmitter::emit_initial_state() {
  const Float lowest = e_.constant(-kInf);
  const Float zero = e_.constant(0.0F);
  e_.for_range("reset", e_.index(0), item_.rows, e_.index(1), [&](Index r) {
    e_.store(lowest.value, scratch_at(scratch_.row_max, r, 1, e_.index(0)));
    e_.store(zero.value, scratch_at(scratch_.row_sum, r, 1, e_.index(0)));
    e_.store(e_.broadcast(lowest).value, scratch_at(scratch_.max_lanes, r, e_.lanes(), e_.index(0)), 4 * e_.lanes());
    e_.for_range("reset.o", e_.index(0), e_.index(layout_.v_padded), e_.index(e_.lanes()), [&](Index d) {
      e_.store(e_.broadcast(zero).value, scratch_at(scratch_.o, r, layout_.v_padded, d), 4 * e_.lanes());
    });
  });
}

llvm::Value* ForwardEmitter::to_entry(llvm::Value* value) {
  if (!value->getType()->getScalarType()->isIntegerTy(1)) return value;
  return e_.ir().CreateSExt(value, e_.shaped(e_.ir().getInt32Ty(), value));
}

llvm::Value* ForwardEmitter::from_entry(Ptr address, ir::Type type, llvm::Type* bool_shape) {
  const bool vector = bool_shape->isVectorTy();
  if (type == ir::Type::kFloat) return vector ? e_.load_vector(address).value : e_.load(address).value;
  const Int bits = vector ? e_.load_int_vector(address) : e_.load_int(address);
  if (type == ir::Type::kInt) return bits.value;
  return e_.compare(llvm::CmpInst::ICMP_NE, bits, e_.constant_int(0)).value;
}

// fine = uniform reads in range;
// for (r = 0; r < rows; ++r) { q_idx = q_begin + min(r, q_count - 1); row_values[slot][r] = ...; fine &= row reads in range; }
void ForwardEmitter::emit_row_values() {
  reads_fine_ = e_.constant_bool(true);
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
                                     expressions_->evaluate(scope, plan::Level::kRow, all_nodes(key_.program));
                                     Bool all{carried[0]};
                                     for (std::uint32_t i = 0; i < key_.program.size(); ++i) {
                                       if (hoisting_.level[i] != plan::Level::kRow) continue;
                                       if (const auto slot = hoisting_.value_slot[i]; slot >= 0)
                                         e_.store(to_entry(scope.value[i]), row_value_at(slot, r));
                                       if (const auto slot = hoisting_.flag_slot[i]; slot >= 0) {
                                         e_.store(to_entry(scope.flag[i]), row_value_at(slot, r));
                                         all = e_.logical_and(all, Bool{scope.flag[i]});
                                       }
                                     }
                                     return Values{all.value};
                                   });
  reads_fine_ = Bool{fine[0]};
}

// for (o = 0; o < strip; o += lanes) { kv_idx = kv + o + lane; column_values[slot][o..] = ...; } returns column reads in range
Bool ForwardEmitter::emit_column_values(Index kv) {
  Bool fine = e_.constant_bool(true);
  if (hoisting_.column_slots == 0) return fine;
  const Id kv_idx = find(key_.program, Op::kKvIdx);
  const Values all =
      e_.for_range("column_values", e_.index(0), e_.index(layout_.strip), e_.index(e_.lanes()), {fine.value},
                   [&](Index offset, const Values& carried) {
                     Scope scope = uniform_;
                     const Int columns = e_.add(e_.narrow(e_.add(kv, offset)), e_.lane_numbers());
                     scope.value[kv_idx.index] = columns.value;
                     scope.active = e_.compare(llvm::CmpInst::ICMP_SLT, columns, item_.launch.kv_len);
                     expressions_->evaluate(scope, plan::Level::kColumn, all_nodes(key_.program));
                     Bool so_far{carried[0]};
                     for (std::uint32_t i = 0; i < key_.program.size(); ++i) {
                       if (hoisting_.level[i] != plan::Level::kColumn) continue;
                       if (const auto slot = hoisting_.value_slot[i]; slot >= 0)
                         e_.store(to_entry(scope.value[i]), column_value_at(slot, offset));
                       if (const auto slot = hoisting_.flag_slot[i]; slot >= 0) {
                         e_.store(to_entry(scope.flag[i]), column_value_at(slot, offset));
                         so_far = e_.logical_and(so_far, e_.logical_not(e_.any(expressions_->faulty_lanes(scope, Id{i}))));
                       }
                     }
                     return Values{so_far.value};
                   });
  return Bool{all[0]};
}

// for (r = 0; r < q_count; ++r) out[q_begin + r] = row_sum[r] == 0 ? 0 : o[r] / row_sum[r];
void ForwardEmitter::emit_output() {
  e_.for_range("store_out", e_.index(0), item_.q_count, e_.index(1), [&](Index r) { emit_output_row(r); });
}

void ForwardEmitter::emit_output_row(Index row) {
  const Float sum = e_.load(scratch_at(scratch_.row_sum, row, 1, e_.index(0)));
  const Float max = e_.load(scratch_at(scratch_.row_max, row, 1, e_.index(0)));
  const Bool empty = e_.compare(FloatOrder::kEq, sum, e_.constant(0.0F));
  const Float factor = e_.select(empty, e_.constant(0.0F), e_.div(e_.constant(1.0F), sum));
  const Ptr target = e_.at(item_.out.data, e_.mul(e_.add(item_.q_begin, row), item_.out.stride));
  const std::int64_t whole = key_.v_head_dim / e_.lanes() * e_.lanes();
  e_.for_range("store_out.vector", e_.index(0), e_.index(whole), e_.index(e_.lanes()), [&](Index d) {
    const Float o = e_.load_vector(scratch_at(scratch_.o, row, layout_.v_padded, d), 4 * e_.lanes());
    e_.store(e_.mul(o, factor).value, e_.at(target, d));
  });
  e_.for_range("store_out.tail", e_.index(whole), e_.index(key_.v_head_dim), e_.index(1), [&](Index d) {
    const Float o = e_.load(scratch_at(scratch_.o, row, layout_.v_padded, d));
    e_.store(e_.mul(o, factor).value, e_.at(target, d));
  });
  emit_log_sum_exp(row, max, sum);
}

// if (launch->lse) lse[b][h][q_begin + row] = sum == 0 ? -inf : max + ln(sum);
void ForwardEmitter::emit_log_sum_exp(Index row, Float max, Float sum) {
  const Ptr launch = item_.launch.launch;
  const Ptr lse = e_.load_pointer(e_.at_byte(launch, offsetof(plan::LaunchArg, lse)), "lse");
  const Bool wanted{e_.ir().CreateIsNotNull(lse.value)};
  e_.if_then("store_lse", wanted, [&] {
    const auto stride = [&](std::size_t offset) {
      return e_.load_index(e_.at_byte(launch, static_cast<std::int64_t>(offset)));
    };
    const Index from_batch = e_.mul(item_.b, stride(offsetof(plan::LaunchArg, lse.stride_batch)));
    const Index from_head = e_.mul(item_.h, stride(offsetof(plan::LaunchArg, lse.stride_head)));
    const Index from_row = e_.mul(e_.add(item_.q_begin, row), stride(offsetof(plan::LaunchArg, lse.stride_row)));
    const Bool empty = e_.compare(FloatOrder::kEq, sum, e_.constant(0.0F));
    const Float value = e_.select(empty, e_.constant(-kInf), e_.add(max, emit_log(e_, sum)));
    e_.store(value.value, e_.at(lse, e_.add(from_batch, e_.add(from_head, from_row))));
  });
}

}  // namespace flexjit::codegen
