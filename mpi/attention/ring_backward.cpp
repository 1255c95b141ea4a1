// Slice by slice: the part's share of dQ, of the keys' dK and dV, and of buffers. What belongs to keys of others travels home
// while the next is computed; it is added there in the order of the transfers, whenever it comes.
#include <optional>
#include <utility>
#include <vector>

#include "attention/ring.h"
#include "attention/rows.h"
#include "flexjit/backward.h"

namespace flexjit::mpi {

namespace {

using Impl = ShardedAttention::Impl;

// Where dK and dV of some keys go.
struct KeyGradients {
  MutableTensorView k, v;
};

// dK and dV of some keys, not set.
struct Share {
  Rows k, v;
  Share(const Impl& impl, std::int64_t tokens)
      : k(impl.pool, DType::kF32, {impl.sizes.batch, impl.kv_heads(), tokens, impl.spec.head_dim}),
        v(impl.pool, DType::kF32, {impl.sizes.batch, impl.kv_heads(), tokens, impl.spec.v_head_dim}) {}
  KeyGradients views() { return {k.view(), v.view()}; }
  std::int64_t bytes() const { return k.bytes() + v.bytes(); }
};

// Shares on their way home, those of one transfer at a time.
class Homecoming {
 public:
  Homecoming(const Impl& impl, const RingBackward& call, Traffic& traffic)
      : impl_(impl), call_(call), traffic_(traffic), messages_(impl.ring, impl.options.message_bytes) {}

  // Of the keys that came by the transfer.
  void post(std::size_t transfer, Share share) {
    finish();
    const Transfer& with = impl_.steps.transfers[transfer];
    with_ = &with;
    leaving_.emplace(std::move(share));
    coming_.emplace(impl_, with.sent_tokens);
    messages_.receive(coming_->k.view().data, coming_->k.bytes(), with.dest, kKeyGradientTag);
    messages_.receive(coming_->v.view().data, coming_->v.bytes(), with.dest, kValueGradientTag);
    messages_.send(leaving_->k.view().data, leaving_->k.bytes(), with.source, kKeyGradientTag);
    messages_.send(leaving_->v.view().data, leaving_->v.bytes(), with.source, kValueGradientTag);
    traffic_.bytes_sent += leaving_->bytes();
    traffic_.bytes_received += coming_->bytes();
  }

  void finish() {
    messages_.wait();
    if (!coming_) return;
    scatter_add(coming_->k.view(), with_->sent, call_.dk);
    scatter_add(coming_->v.view(), with_->sent, call_.dv);
    coming_.reset();
  }

  void poll() { messages_.poll(); }

 private:
  const Impl& impl_;
  const RingBackward& call_;
  Traffic& traffic_;
  Messages messages_;
  const Transfer* with_ = nullptr;
  std::optional<Share> leaving_, coming_;
};

class Backward {
 public:
  Backward(const Impl& impl, const RingBackward& call, Traffic& traffic)
      : impl_(impl), call_(call), stream_(impl, call.keys, traffic), home_(impl, call, traffic) {
    for (const auto& [name, sum] : call.buffers) {
      std::vector<float>& memory = buffer_memory_.emplace_back(static_cast<std::size_t>(count_of(sum)));
      MutableTensorView view = sum;
      view.data = memory.data();
      buffers_.emplace(name, view);
    }
  }

  Diagnostics operator()() {
    const std::vector<Computation>& computations = impl_.steps.computations;
    begun_.assign(computations[0].slices.size(), false);
    for (std::size_t i = 0; i < computations.size(); ++i) {
      const KeyViews keys = stream_.begin(i);
      if (impl_.options.exchange == Exchange::kRing && i == 0) {
        compute_slices(computations[i], keys, {call_.dk, call_.dv});
        continue;
      }
      Share share(impl_, static_cast<std::int64_t>(computations[i].positions.size()));
      compute_slices(computations[i], keys, share.views());
      if (impl_.options.exchange == Exchange::kRing)
        home_.post(i - 1, std::move(share));
      else
        send_parts(share);
    }
    for (std::size_t s = 0; s < begun_.size(); ++s)
      if (!begun_[s]) fill(rows_of(call_.dq, computations[0].slices[s].row, computations[0].slices[s].rows), 0);
    home_.finish();
    return wrong_;
  }

 private:
  static std::int64_t count_of(const MutableTensorView& view) {
    std::int64_t count = 1;
    for (int d = 0; d < view.rank; ++d) count *= view.shape[static_cast<std::size_t>(d)];
    return count;
  }

  // Of gathered keys: ours first, then those of each transfer in their order.
  void send_parts(const Share& share) {
    std::vector<std::int64_t> begins(impl_.steps.transfers.size() + 1);
    std::int64_t at = 0;
    for (const std::int32_t source : impl_.steps.sources) {
      begins[static_cast<std::size_t>(source + 1)] = at;
      at += source < 0 ? impl_.steps.tokens : impl_.steps.transfers[static_cast<std::size_t>(source)].received_tokens;
    }
    copy(rows_of(share.k.view(), begins[0], impl_.steps.tokens), call_.dk);
    copy(rows_of(share.v.view(), begins[0], impl_.steps.tokens), call_.dv);
    for (std::size_t s = 0; s < impl_.steps.transfers.size(); ++s) {
      const std::int64_t count = impl_.steps.transfers[s].received_tokens;
      Share part(impl_, count);
      copy(rows_of(share.k.view(), begins[s + 1], count), part.k.view());
      copy(rows_of(share.v.view(), begins[s + 1], count), part.v.view());
      home_.post(s, std::move(part));
    }
  }

  // What comes first is computed where its sum goes, what comes later is added.
  void compute_slices(const Computation& computation, const KeyViews& keys, const KeyGradients& sum) {
    bool begun = false;
    for (std::size_t s = 0; s < begun_.size(); ++s) {
      const Slice& slice = computation.slices[s];
      if (slice.any && wrong_.empty()) {
        std::optional<Rows> dq;
        if (begun_[s]) dq.emplace(impl_.pool, DType::kF32, rows_of(call_.dq, slice.row, slice.rows).shape);
        std::optional<Share> part;
        if (begun) part.emplace(impl_, keys.k.shape[2]);
        const MutableTensorView q_sum = rows_of(call_.dq, slice.row, slice.rows);
        compute(computation, slice, keys, dq ? dq->view() : q_sum, part ? part->views() : sum);
        if (dq) add(dq->view(), q_sum);
        if (part) add(part->k.view(), sum.k), add(part->v.view(), sum.v);
        begun_[s] = begun = true;
      }
      stream_.poll();
      home_.poll();
    }
    if (begun) return;
    fill(sum.k, 0);
    fill(sum.v, 0);
  }

  void compute(const Computation& computation, const Slice& slice, const KeyViews& keys, const MutableTensorView& dq,
               const KeyGradients& of_keys) {
    const Bindings bindings = slice_bindings(impl_, call_.bindings, slice, computation);
    const auto rows = [&](auto view) { return rows_of(view, slice.row, slice.rows); };
    const auto statistics = [&](auto view) {
      return view.data == nullptr ? view : as_statistic(rows_of(as_rows(view), slice.row, slice.rows));
    };
    const RunArgs forward{.q = rows(call_.q),
                          .k = keys.k,
                          .v = keys.v,
                          .out = rows(call_.out),
                          .lse = statistics(call_.lse),
                          .bindings = &bindings,
                          .block_mask = &slice.mask};
    const Result<RunStats> done = run_backward(impl_.attention, forward,
                                               {.out = rows(call_.d_out),
                                                .lse = statistics(call_.d_lse),
                                                .q = dq,
                                                .k = of_keys.k,
                                                .v = of_keys.v,
                                                .buffers = buffers_});
    if (!done) {
      wrong_ = done.diagnostics();
      return;
    }
    for (const auto& [name, sum] : call_.buffers) {
      const auto* values = static_cast<const float*>(buffers_.find(name)->second.data);
      auto* sums = static_cast<float*>(sum.data);
      for (std::int64_t i = 0; i < count_of(sum); ++i) sums[i] += values[i];
    }
  }

  const Impl& impl_;
  const RingBackward& call_;
  KeyStream stream_;
  Homecoming home_;
  std::vector<std::vector<float>> buffer_memory_;
  std::map<std::string, MutableTensorView, std::less<>> buffers_;  // of one run
  std::vector<bool> begun_;                                        // by slice: its dQ has a summand
  Diagnostics wrong_;
};

}  // namespace

Diagnostics ring_backward(const Impl& impl, const RingBackward& call, Traffic& traffic) {
  return Backward(impl, call, traffic)();
}

}  // namespace flexjit::mpi
