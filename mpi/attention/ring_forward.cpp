// Slice by slice: the state over the keys that are there, merged into the state so far. The first state of a slice is computed
// where the result goes.
#include <cmath>
#include <limits>
#include <vector>

#include "attention/ring.h"
#include "flexjit/merge_states.h"
#include "flexjit/shard_names.h"

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
    Rows out(DType::kF32, sum.out.shape[0], sum.out.shape[1], slice.rows, sum.out.shape[3]);
    Rows lse(DType::kF32, sum.out.shape[0], sum.out.shape[1], slice.rows, 1);
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
  Bindings made = given == nullptr ? Bindings{} : *given;
  const auto positions = [&](std::string_view name, const std::int32_t* data, std::int64_t count) {
    made.buffers[std::string(name)] = TensorView(data, DType::kI32, {count});
  };
  const auto number = [&](std::string_view name, std::int32_t value) { made.params[std::string(name)] = value; };
  positions(shard::kQPositions, impl.steps.positions.data() + slice.row, slice.rows);
  positions(shard::kKvPositions, keys.positions.data(), static_cast<std::int64_t>(keys.positions.size()));
  number(shard::kQLen, impl.sizes.length);
  number(shard::kKvLen, impl.sizes.length);
  number(shard::kHeads, impl.sizes.q_heads);
  number(shard::kKvHeads, impl.sizes.kv_heads);
  number(shard::kFirstHead, impl.first_head());
  number(shard::kFirstKvHead, impl.first_kv_head());
  return made;
}

Diagnostics ring_forward(const ShardedAttention::Impl& impl, const RingForward& call, Traffic& traffic) {
  return Forward(impl, call, traffic)();
}

}  // namespace flexjit::mpi
