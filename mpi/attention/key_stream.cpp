// A ring waits for transfer i before it posts transfer i + 1, so that two buffers of keys are alive, and one of what is sent.
#include "attention/key_stream.h"

#include <vector>

namespace flexjit::mpi {

KeyStream::KeyStream(const ShardedAttention::Impl& impl, const KeyViews& own, Traffic& traffic)
    : impl_(impl), own_(own), traffic_(traffic), messages_(impl.ring, impl.options.message_bytes) {}

KeyStream::Pair KeyStream::make(std::int64_t tokens) const {
  const DType dtype = impl_.kv_dtype();
  return {.k = Rows(impl_.pool, dtype, {impl_.sizes.batch, impl_.kv_heads(), tokens, impl_.spec.head_dim}),
          .v = Rows(impl_.pool, dtype, {impl_.sizes.batch, impl_.kv_heads(), tokens, impl_.spec.v_head_dim})};
}

void KeyStream::post(std::size_t transfer, Pair& sent, Pair& received) {
  const Transfer& with = impl_.steps.transfers[transfer];
  sent = make(with.sent_tokens);
  received = make(with.received_tokens);
  gather(own_.k, with.sent, sent.k.view());
  gather(own_.v, with.sent, sent.v.view());
  messages_.receive(received.k.view().data, received.k.bytes(), with.source, kKeyTag);
  messages_.receive(received.v.view().data, received.v.bytes(), with.source, kValueTag);
  messages_.send(sent.k.view().data, sent.k.bytes(), with.dest, kKeyTag);
  messages_.send(sent.v.view().data, sent.v.bytes(), with.dest, kValueTag);
  traffic_.bytes_sent += sent.k.bytes() + sent.v.bytes();
  traffic_.bytes_received += received.k.bytes() + received.v.bytes();
}

KeyViews KeyStream::begin(std::size_t i) {
  if (impl_.options.exchange == Exchange::kAllGather) return gather_all();
  messages_.wait();
  if (i < impl_.steps.transfers.size()) post(i, sent_, received_[i % 2]);
  return i == 0 ? own_ : received_[(i - 1) % 2].views();
}

KeyViews KeyStream::gather_all() {
  const Steps& steps = impl_.steps;
  std::vector<Pair> sent(steps.transfers.size()), received(steps.transfers.size());
  for (std::size_t s = 0; s < steps.transfers.size(); ++s) post(s, sent[s], received[s]);
  messages_.wait();
  all_ = make(static_cast<std::int64_t>(steps.computations[0].positions.size()));
  std::int64_t at = 0;
  for (const std::int32_t source : steps.sources) {
    const KeyViews from = source < 0 ? own_ : received[static_cast<std::size_t>(source)].views();
    copy(from.k, rows_of(all_.k.view(), at, from.k.shape[2]));
    copy(from.v, rows_of(all_.v.view(), at, from.v.shape[2]));
    at += from.k.shape[2];
  }
  return all_.views();
}

}  // namespace flexjit::mpi
