// Slice by slice: the state over the keys that are there, merged into the state so far. The first state of a slice is computed
// where the result goes.
#include <cmath>
#include <limits>
#include <vector>

#include "attention/ring.h"
#include "attention/rows.h"
#include "attention/shard_call.h"
#include "flexjit/merge_states.h"

namespace flexjit::mpi {

namespace {

struct State {
  MutableTensorView out, lse;
};

class Forward {
 public:
  Forward(const ShardedAttention::Impl& impl, const RingForward& call, Traffic& traffic)
      : impl_(impl), call_(call), stream_(impl, call.keys, traffic) {}

  Diagnostics operator()() {
    const std::vector<Computation>& computations = impl_.steps.computations;
    begun_.assign(computations[0].slices.size(), false);
    for (std::size_t i = 0; i < computations.size(); ++i) {
      const KeyViews keys = stream_.begin(i);
      for (std::size_t s = 0; s < begun_.size(); ++s) {
        compute(computations[i], s, keys);
        stream_.poll();
      }
    }
    for (std::size_t s = 0; s < begun_.size(); ++s)
      if (!begun_[s]) clear(computations[0].slices[s]);
    return wrong_;
  }

 private:
  State state_of(const Slice& slice) const {
    return {rows_of(call_.out, slice.row, slice.rows), as_statistic(rows_of(as_rows(call_.lse), slice.row, slice.rows))};
  }

  // Rows without a key.
  void clear(const Slice& slice) const {
    const State state = state_of(slice);
    fill(state.out, 0);
    fill(as_rows(state.lse), -std::numeric_limits<float>::infinity());
  }

  void compute(const Computation& computation, std::size_t number, const KeyViews& keys) {
    const Slice& slice = computation.slices[number];
    if (!slice.any || !wrong_.empty()) return;
    const State sum = state_of(slice);
    if (!begun_[number]) {
      begun_[number] = true;
      return run(computation, slice, keys, sum);
    }
    Rows out(impl_.pool, DType::kF32, sum.out.shape);
    Rows lse(impl_.pool, DType::kF32, as_rows(sum.lse).shape);
    run(computation, slice, keys, {out.view(), as_statistic(lse.view())});
    if (!wrong_.empty()) return;
    const std::vector<AttentionState> states{{.v = sum.out, .lse = sum.lse},
                                             {.v = out.view(), .lse = as_statistic(lse.view())}};
    const Status merged = merge_states({.states = states, .out = sum.out, .lse = sum.lse});
    if (!merged) wrong_ = merged.diagnostics();
  }

  void run(const Computation& computation, const Slice& slice, const KeyViews& keys, const State& state) {
    const Bindings bindings = slice_bindings(impl_, call_.bindings, slice, computation);
    const Result<RunStats> done = impl_.attention.run({.q = rows_of(call_.q, slice.row, slice.rows),
                                                       .k = keys.k,
                                                       .v = keys.v,
                                                       .out = state.out,
                                                       .lse = state.lse,
                                                       .bindings = &bindings,
                                                       .block_mask = &slice.mask});
    if (!done) wrong_ = done.diagnostics();
  }

  const ShardedAttention::Impl& impl_;
  const RingForward& call_;
  KeyStream stream_;
  std::vector<bool> begun_;  // by slice: it has a state
  Diagnostics wrong_;
};

}  // namespace

Bindings slice_bindings(const ShardedAttention::Impl& impl, const Bindings* given, const Slice& slice,
                        const Computation& keys) {
  return bindings_of(
      {.q_positions =
           std::span(impl.steps.positions).subspan(static_cast<std::size_t>(slice.row), static_cast<std::size_t>(slice.rows)),
       .kv_positions = keys.positions,
       .q_len = impl.sizes.length,
       .kv_len = impl.sizes.length,
       .heads = impl.sizes.q_heads,
       .kv_heads = impl.sizes.kv_heads,
       .first_head = impl.first_head(),
       .first_kv_head = impl.first_kv_head()},
      given);
}

Diagnostics ring_forward(const ShardedAttention::Impl& impl, const RingForward& call, Traffic& traffic) {
  return Forward(impl, call, traffic)();
}

}  // namespace flexjit::mpi
