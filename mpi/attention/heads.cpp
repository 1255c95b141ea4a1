// Every rank sends each other one message: the heads of one by the tokens of the other.
#include "attention/heads.h"

#include <vector>

#include "exchange/messages.h"

namespace flexjit::mpi {

namespace {

std::int64_t tokens_of(const ShardedAttention::Impl& impl, int member) {
  return impl.layout.tokens(impl.ring.rank() * impl.heads.size() + member);
}

Rows rows_like(const ShardedAttention::Impl& impl, const TensorView& view, std::int64_t heads, std::int64_t tokens) {
  return {impl.pool, view.dtype, {view.shape[0], heads, tokens, view.shape[3]}};
}

void exchange(const ShardedAttention::Impl& impl, std::vector<Rows>& sent, std::vector<Rows>& received, Traffic& traffic) {
  Messages messages(impl.heads, impl.options.message_bytes);
  for (int member = 0; member < impl.heads.size(); ++member) {
    Rows &coming = received[static_cast<std::size_t>(member)], &leaving = sent[static_cast<std::size_t>(member)];
    messages.receive(coming.view().data, coming.bytes(), member, 0);
    messages.send(leaving.view().data, leaving.bytes(), member, 0);
    if (member == impl.heads.rank()) continue;
    traffic.bytes_received += coming.bytes();
    traffic.bytes_sent += leaving.bytes();
  }
  messages.wait();
}

}  // namespace

Rows to_heads(const ShardedAttention::Impl& impl, const TensorView& from, Traffic& traffic) {
  const std::int64_t heads = from.shape[1] / impl.heads.size();
  std::vector<Rows> sent, received;
  std::int64_t all = 0;
  for (int member = 0; member < impl.heads.size(); ++member) {
    copy(heads_of(from, heads * member, heads), sent.emplace_back(rows_like(impl, from, heads, from.shape[2])).view());
    received.push_back(rows_like(impl, from, heads, tokens_of(impl, member)));
    all += tokens_of(impl, member);
  }
  exchange(impl, sent, received, traffic);
  Rows to = rows_like(impl, from, heads, all);
  std::int64_t row = 0;
  for (const Rows& part : received) {
    const std::int64_t count = part.view().shape[2];
    copy(part.view(), rows_of(to.view(), row, count));
    row += count;
  }
  return to;
}

void to_tokens(const ShardedAttention::Impl& impl, const TensorView& from, const MutableTensorView& to, Traffic& traffic) {
  const std::int64_t heads = from.shape[1];
  std::vector<Rows> sent, received;
  std::int64_t row = 0;
  for (int member = 0; member < impl.heads.size(); ++member) {
    const std::int64_t count = tokens_of(impl, member);
    copy(rows_of(from, row, count), sent.emplace_back(rows_like(impl, from, heads, count)).view());
    received.push_back(rows_like(impl, from, heads, to.shape[2]));
    row += count;
  }
  exchange(impl, sent, received, traffic);
  for (int member = 0; member < impl.heads.size(); ++member)
    copy(received[static_cast<std::size_t>(member)].view(), heads_of(to, heads * member, heads));
}

}  // namespace flexjit::mpi
