// One item is a sequence and a kv head. Rows of features and of values lie in memory of the thread, one behind the other; what
// runs from the end to the beginning has strides below 0.
#include "runtime/linear/backward.h"

#include <algorithm>
#include <cstring>

#include "runtime/linear/meeting.h"
#include "runtime/parallel.h"
#include "runtime/rows/rows.h"
#include "runtime/workspace.h"
#include "support/check.h"
#include "support/rounding.h"

namespace flexjit::runtime {

namespace {

using support::round_up;

// Rows of reals in a thread's memory.
struct RealRows {
  std::byte* first = nullptr;
  std::int64_t stride = 0;  // reals
  std::int64_t count = 0;
};

// Where the arrays of one thread begin, for the longest sequence.
class ThreadArrays {
 public:
  ThreadArrays(const LinearBackwardKernels& kernels, std::int64_t queries, std::int64_t keys)
      : real_(kernels.rows.layout.cell_bytes), queries_(queries), keys_(keys) {
    const plan::KernelLayout& rows = kernels.rows.layout;
    features_ = rows.f_padded;
    values_ = rows.v_padded;
    gradients_ = round_up(rows.v_head_dim + 1, rows.lanes);
    for (const Kernel* kernel : {&kernels.rows, &kernels.to_features, &kernels.to_values, &kernels.to_sums}) {
      state_ = std::max(state_, round_up(kernel->layout.state_bytes, kAlignment));
      scratch_ = std::max(scratch_, round_up(kernel->layout.scratch_bytes, kAlignment));
    }
  }

  std::int64_t bytes() const {
    return state_ + scratch_ + array(queries_ * (2 * features_ + gradients_ + 1)) +
           array(keys_ * (3 * features_ + gradients_ + 2 * values_)) + 16 * kAlignment;
  }

  struct Arrays {
    std::byte *state, *scratch;
    RealRows fq, dfq, a, sums, fk, dfk, more_dfk, b, dv, more_dv;
  };
  Arrays at(std::byte* memory) const {
    Arrays arrays{};
    const auto take = [&](std::int64_t bytes) {
      std::byte* begin = memory;
      memory += round_up(bytes, kAlignment);
      return begin;
    };
    arrays.state = take(state_);
    arrays.scratch = take(scratch_);
    const auto rows = [&](std::int64_t count, std::int64_t stride) {
      return RealRows{take(count * stride * real_), stride, count};
    };
    arrays.fq = rows(queries_, features_);
    arrays.dfq = rows(queries_, features_);
    arrays.a = rows(queries_, gradients_);
    arrays.sums = rows(queries_, 1);
    arrays.fk = rows(keys_, features_);
    arrays.dfk = rows(keys_, features_);
    arrays.more_dfk = rows(keys_, features_);
    arrays.b = rows(keys_, gradients_);
    arrays.dv = rows(keys_, values_);
    arrays.more_dv = rows(keys_, values_);
    return arrays;
  }

 private:
  std::int64_t array(std::int64_t reals) const { return round_up(reals * real_, kAlignment); }
  std::int64_t real_, queries_, keys_, features_ = 0, values_ = 0, gradients_ = 0;
  std::int64_t state_ = 0, scratch_ = 0;
};

class BackwardItem {
 public:
  BackwardItem(const LinearBackwardKernels& kernels, const LinearCall& call, const LinearGradientOperands& gradients,
               const plan::Operands& operands, const plan::LinearArg& base, const ThreadArrays::Arrays& arrays)
      : kernels_(kernels), call_(call), gradients_(gradients), operands_(operands), base_(base), of_(arrays) {
    base_.state = arrays.state;
    base_.scratch = arrays.scratch;
    base_.heads = 1;
  }

  void run(const plan::Sequence& sequence, std::int32_t first_head, std::int32_t heads, std::int64_t diagonal) {
    queries_ = sequence.q_len;
    keys_ = sequence.kv_len;
    diagonal_ = diagonal;
    key_rows(sequence);
    for (std::int32_t h = first_head; h < first_head + heads; ++h) {
      base_.h = h;
      query_rows(sequence, h);
      meet_forward();
      if (gradients_.grad_q.data != nullptr) pull_queries(sequence, h);
      meet_backward(h == first_head ? of_.dfk : of_.more_dfk, h == first_head ? of_.dv : of_.more_dv);
      if (h != first_head) {
        add(of_.dfk, of_.more_dfk);
        add(of_.dv, of_.more_dv);
      }
    }
    give_keys(sequence);
  }

 private:
  const plan::KernelLayout& layout() const { return kernels_.rows.layout; }
  std::int64_t real() const { return layout().cell_bytes; }
  std::byte* row(const RealRows& rows, std::int64_t i) const { return address_at(rows.first, i * rows.stride * real()); }

  // function(step) for up to a chunk of rows at a time, from row 0 on.
  template <typename Set>
  void each_chunk(plan::LinearFn function, std::int64_t count, const Set& set) {
    for (std::int64_t begin = 0; begin < count; begin += layout().q_tile) {
      plan::LinearArg step = base_;
      step.q_count = step.kv_count = static_cast<std::int32_t>(std::min<std::int64_t>(count - begin, layout().q_tile));
      step.kv_begin = static_cast<std::int32_t>(begin);
      set(step, begin);
      function(&step);
    }
  }

  void key_rows(const plan::Sequence& sequence) {
    const plan::KeyRun run = Keys(operands_, layout()).all(sequence, base_.kv_head);
    k_ = run;
    each_chunk(kernels_.rows.key_features, keys_, [&](plan::LinearArg& step, std::int64_t begin) {
      set_keys(step, begin);
      set_out(step, of_.fk, begin);
    });
    each_chunk(kernels_.rows.key_values, keys_, [&](plan::LinearArg& step, std::int64_t begin) {
      set_keys(step, begin);
      set_out(step, of_.b, begin);
    });
  }

  void set_keys(plan::LinearArg& step, std::int64_t begin) const {
    step.k = address_at(k_.k, begin * k_.k_stride * layout().kv_bytes);
    step.k_row = k_.k_stride;
    step.v = address_at(k_.v, begin * k_.v_stride * layout().kv_bytes);
    step.v_row = k_.v_stride;
  }
  void set_out(plan::LinearArg& step, const RealRows& rows, std::int64_t begin) const {
    step.out = row(rows, begin);
    step.out_row = rows.stride;
  }

  void query_rows(const plan::Sequence& sequence, std::int32_t h) {
    const plan::QueryRow query = Rows(operands_, layout()).at(sequence, h, 0);
    q_ = query.q;
    each_chunk(kernels_.rows.query_features, queries_, [&](plan::LinearArg& step, std::int64_t begin) {
      step.q = address_at(q_, begin * operands_.q.stride_row * layout().q_bytes);
      step.q_row = operands_.q.stride_row;
      set_out(step, of_.fq, begin);
    });
    if (layout().linear.normalised) {
      const RealRows ones = one();
      meet(kernels_.to_sums, of_.fq, of_.fk, ones, of_.sums);
    }
    const auto& grad = gradients_.grad_out;
    const std::int64_t bytes = static_cast<std::int64_t>(size_of(grad.dtype));
    each_chunk(kernels_.rows.output_gradients, queries_, [&](plan::LinearArg& step, std::int64_t begin) {
      step.q = address_at(grad.data, grad.offset_of(sequence.q_batch, h, sequence.q_row + begin) * bytes);
      step.q_row = grad.stride_row;
      step.as_f32 = std::int32_t{grad.dtype == DType::kF32};
      step.v = address_at(query.out, begin * operands_.out.stride_row * layout().out_bytes);
      step.v_row = operands_.out.stride_row;
      step.k = row(of_.sums, begin);
      step.k_row = of_.sums.stride;
      set_out(step, of_.a, begin);
    });
  }

  // A row of a 1 that stands for all keys.
  RealRows one() const {
    alignas(kAlignment) static const double kOnes64[16] = {1};
    alignas(kAlignment) static const float kOnes32[16] = {1};
    const void* ones = real() == 8 ? static_cast<const void*>(kOnes64) : kOnes32;
    return {static_cast<std::byte*>(const_cast<void*>(ones)), 0, keys_};
  }

  static RealRows reversed(const RealRows& rows, std::int64_t count, std::int64_t real) {
    return {address_at(rows.first, (count - 1) * rows.stride * real), -rows.stride, count};
  }

  // out_i = sum of (q_i . k_j) v_j, of the pairs that the mask's diagonals allow.
  void meet(const Kernel& kernel, const RealRows& q, const RealRows& k, const RealRows& v, const RealRows& out) {
    meet_rows(kernel, q, k, v, out, {queries_, keys_, call_.causal, diagonal_});
  }
  void meet_rows(const Kernel& kernel, const RealRows& q, const RealRows& k, const RealRows& v, const RealRows& out,
                 const Meeting& meeting) {
    plan::LinearArg step = base_;
    step.q = q.first, step.q_row = q.stride;
    step.k = k.first, step.k_row = k.stride;
    step.v = v.first, step.v_row = v.stride;
    step.out = out.first, step.out_row = out.stride;
    step.eps = 0;
    std::memset(step.state, 0, static_cast<std::size_t>(kernel.layout.state_bytes));
    LinearSteps steps(kernel, step, 0);
    steps.run(meeting);
    pairs_ += steps.pairs();
  }

  void meet_forward() {
    if (gradients_.grad_q.data != nullptr) meet(kernels_.to_features, of_.a, of_.b, of_.fk, of_.dfq);
  }

  // Keys in the place of queries, from the last one on.
  void meet_backward(const RealRows& dfk, const RealRows& dv) {
    const auto back = [&](const RealRows& rows, std::int64_t count) { return reversed(rows, count, real()); };
    const Meeting meeting{keys_, queries_, call_.causal, diagonal_ + queries_ - keys_};
    const RealRows a = back(of_.a, queries_), fq = back(of_.fq, queries_);
    if (gradients_.grad_k.data != nullptr)
      meet_rows(kernels_.to_features, back(of_.b, keys_), a, fq, back(dfk, keys_), meeting);
    if (gradients_.grad_v.data != nullptr) meet_rows(kernels_.to_values, back(of_.fk, keys_), fq, a, back(dv, keys_), meeting);
  }

  void add(const RealRows& to, const RealRows& rows) const {
    const std::int64_t count = keys_ * to.stride;
    const auto sum = [&](auto* a, const auto* b) {
      for (std::int64_t i = 0; i < count; ++i) a[i] += b[i];
    };
    if (real() == 8) return sum(reinterpret_cast<double*>(to.first), reinterpret_cast<const double*>(rows.first));
    sum(reinterpret_cast<float*>(to.first), reinterpret_cast<const float*>(rows.first));
  }

  void set_target(plan::LinearArg& step, const plan::GradientOperands::Tensor& to, std::int64_t offset) const {
    step.out = address_at(to.data, offset * static_cast<std::int64_t>(size_of(to.dtype)));
    step.out_row = to.stride_row;
    step.as_f32 = std::int32_t{to.dtype == DType::kF32};
  }

  void pull_queries(const plan::Sequence& sequence, std::int32_t h) {
    const auto& to = gradients_.grad_q;
    each_chunk(kernels_.rows.pull_queries, queries_, [&](plan::LinearArg& step, std::int64_t begin) {
      step.q = address_at(q_, begin * operands_.q.stride_row * layout().q_bytes);
      step.q_row = operands_.q.stride_row;
      step.v = row(of_.dfq, begin);
      step.v_row = of_.dfq.stride;
      set_target(step, to, to.offset_of(sequence.q_batch, h, sequence.q_row + begin));
    });
  }

  void give_keys(const plan::Sequence& sequence) {
    const auto give = [&](plan::LinearFn function, const plan::GradientOperands::Tensor& to, const RealRows& sums) {
      if (to.data == nullptr) return;
      each_chunk(function, keys_, [&](plan::LinearArg& step, std::int64_t begin) {
        set_keys(step, begin);
        step.v = row(sums, begin);
        step.v_row = sums.stride;
        set_target(step, to, to.offset_of(sequence.kv_batch, base_.kv_head, sequence.kv_row + begin));
      });
    };
    give(kernels_.rows.pull_keys, gradients_.grad_k, of_.dfk);
    give(kernels_.rows.give_values, gradients_.grad_v, of_.dv);
  }

 public:
  std::int64_t pairs() const { return pairs_; }

 private:
  const LinearBackwardKernels& kernels_;
  const LinearCall& call_;
  const LinearGradientOperands& gradients_;
  const plan::Operands& operands_;
  plan::LinearArg base_;
  const ThreadArrays::Arrays of_;
  std::int64_t queries_ = 0, keys_ = 0, diagonal_ = 0, pairs_ = 0;
  const void* q_ = nullptr;
  plan::KeyRun k_{};
};

}  // namespace

LaunchOutcome linear_backward(const LinearBackwardKernels& kernels, const plan::Operands& operands, const LinearCall& call,
                              const LinearGradientOperands& gradients, std::span<const LinearWork> work,
                              const Workers& workers) {
  if (work.empty() || operands.num_heads <= 0) return {};
  const std::int32_t group = operands.num_heads / operands.num_kv_heads;
  FLEXJIT_CHECK(workers.threads > 0 && (!call.by_head || group == 1));
  const WorkspacePool::Lease lease(workspaces());
  Workspace& workspace = *lease;
  const plan::LaunchArg launch = operands.launch();
  const ThreadArrays arrays(kernels, operands.q_len, operands.kv_len);
  const std::int64_t thread_bytes = round_up(arrays.bytes(), kAlignment);
  const std::int64_t items = static_cast<std::int64_t>(work.size()) * operands.num_kv_heads;
  const int threads = static_cast<int>(std::min<std::int64_t>(workers.threads, items));
  workspace.scratch.reserve(static_cast<std::size_t>(thread_bytes * threads));
  workspace.records.assign(static_cast<std::size_t>(threads), ThreadRecord{});
  parallel_for(threads, items, [&](std::int64_t i, int thread) noexcept {
    const LinearWork& one = work[static_cast<std::size_t>(i / operands.num_kv_heads)];
    const auto kv_head = static_cast<std::int32_t>(i % operands.num_kv_heads);
    const plan::Sequence& sequence = *one.sequence;
    ThreadRecord& record = workspace.records[static_cast<std::size_t>(thread)];
    record.fault.raised = 0;
    plan::LinearArg base = step_of(launch, call, sequence, kv_head * group, kv_head);
    base.fault = &record.fault;
    BackwardItem item(kernels, call, gradients, operands, base, arrays.at(workspace.scratch.data() + thread * thread_bytes));
    traced(
        workers.trace, [&] { item.run(sequence, kv_head * group, group, one.diagonal(kv_head * group)); },
        [&] {
          return TraceEvent{.kind = TraceKind::kTile,
                            .thread = thread,
                            .b = sequence.b,
                            .head = kv_head,
                            .q = {0, sequence.q_len},
                            .kv = {0, sequence.kv_len}};
        });
    record.scores_visited += item.pairs();
    record.note_fault(i);
  });
  return gather(workspace.records);
}

}  // namespace flexjit::runtime
