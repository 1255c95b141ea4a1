// The two passes as a caller sees them: agreement, heads shared out, the ring, results in the caller's types, agreement.
#include <algorithm>
#include <bit>
#include <utility>

#include "attention/checks.h"
#include "attention/heads.h"
#include "attention/ring.h"
#include "attention/rows.h"
#include "attention/sinks.h"
#include "exchange/exchange.h"
#include "exchange/sums.h"

namespace flexjit::mpi {

namespace {

using Impl = ShardedAttention::Impl;

// A tensor as the ring has it: the caller's own, or in another type, or its heads of all tokens.
template <typename View>
class InRing {
 public:
  InRing(const Impl& impl, const View& given, DType dtype, Traffic& traffic) : view_(given) {
    if (given.data == nullptr && impl.tokens() > 0) return;
    if (given.dtype != dtype) {
      converted_ = Rows(impl.pool, dtype, given.shape);
      convert(given, converted_.view());
      view_ = converted_.view();
    }
    if (impl.heads.size() == 1) return;
    shared_ = to_heads(impl, view_, traffic);
    view_ = shared_.view();
  }
  const View& view() const { return view_; }

 private:
  View view_;
  Rows converted_, shared_;
};

// f32 of the ring's shape, that becomes the caller's tensor, if that has data.
class FromRing {
 public:
  FromRing(const Impl& impl, const MutableTensorView& wanted, std::int64_t heads, std::int64_t dim)
      : impl_(impl), wanted_(wanted), view_(wanted) {
    direct_ = impl.heads.size() == 1 && wanted.data != nullptr && wanted.dtype == DType::kF32;
    if (direct_) return;
    memory_ = Rows(impl.pool, DType::kF32, {impl.sizes.batch, heads / impl.heads.size(), impl.steps.tokens, dim});
    view_ = memory_.view();
  }
  const MutableTensorView& view() const { return view_; }

  // Collective over the ranks that share heads, wanted or not: a rank without tokens gives no data and has a part to send.
  void finish(Traffic& traffic) {
    if (direct_) return;
    Rows all;
    if (impl_.heads.size() > 1) {
      all =
          Rows(impl_.pool, DType::kF32, {view_.shape[0], view_.shape[1] * impl_.heads.size(), impl_.tokens(), view_.shape[3]});
      to_tokens(impl_, view_, all.view(), traffic);
      view_ = all.view();
    }
    if (wanted_.data != nullptr) convert(view_, wanted_);
  }

 private:
  const Impl& impl_;
  MutableTensorView wanted_, view_;
  Rows memory_;
  bool direct_ = false;
};

// What a call is: the same on all ranks, or some would wait for messages that nobody sends.
Fact fact_of(const Impl& impl, const char* call, const ShardArgs& args, const ShardGradients& gradients) {
  Hash hash;
  hash.add(call).add(args.sinks.data == nullptr ? 0 : 1).add(gradients.sinks.data == nullptr ? 0 : 1);
  const bool sinks = args.sinks.data != nullptr && args.sinks.dtype == DType::kF32 && args.sinks.rank == 1 &&
                     args.sinks.shape[0] == impl.sizes.q_heads;
  for (std::int64_t h = 0; sinks && h < args.sinks.shape[0]; ++h)
    hash.add(std::bit_cast<std::int32_t>(static_cast<const float*>(args.sinks.data)[h * args.sinks.strides[0]]));
  for (const auto& [name, view] : gradients.buffers) {
    hash.add(name);
    for (int d = 0; d < view.rank && d < kMaxRank; ++d) hash.add(view.shape[static_cast<std::size_t>(d)]);
  }
  return {"calls, sinks or gradients of buffers", hash.value()};
}

std::int64_t count_of(const MutableTensorView& view) {
  std::int64_t count = 1;
  for (int d = 0; d < view.rank; ++d) count *= view.shape[static_cast<std::size_t>(d)];
  return count;
}

void pass_forward(const Impl& impl, const ShardArgs& args, Traffic& traffic, Diagnostics& wrong) {
  const InRing q(impl, args.q, impl.spec.dtype, traffic);
  const InRing k(impl, args.k, impl.kv_dtype(), traffic), v(impl, args.v, impl.kv_dtype(), traffic);
  FromRing out(impl, args.out, impl.sizes.q_heads, impl.spec.v_head_dim);
  FromRing lse(impl, as_rows(args.lse), impl.sizes.q_heads, 1);
  wrong = ring_forward(impl,
                       {.q = q.view(),
                        .keys = {k.view(), v.view()},
                        .out = out.view(),
                        .lse = as_statistic(lse.view()),
                        .bindings = args.bindings},
                       traffic);
  if (wrong.empty()) add_sinks(impl, args.sinks, out.view(), as_statistic(lse.view()));
  out.finish(traffic);
  lse.finish(traffic);
}

void pass_backward(const Impl& impl, const ShardArgs& forward, const ShardGradients& gradients, Traffic& traffic,
                   Diagnostics& wrong) {
  const InRing q(impl, forward.q, impl.spec.dtype, traffic);
  const InRing k(impl, forward.k, impl.kv_dtype(), traffic), v(impl, forward.v, impl.kv_dtype(), traffic);
  const InRing out(impl, forward.out, DType::kF32, traffic), lse(impl, as_rows(forward.lse), DType::kF32, traffic);
  const InRing d_out(impl, gradients.out, DType::kF32, traffic);
  // An absent gradient of lse counts as 0, here so that ranks that share heads need not agree about it.
  Rows zeros;
  TensorView given_d_lse = as_rows(gradients.lse);
  if (gradients.lse.data == nullptr) {
    zeros = Rows(impl.pool, DType::kF32, {impl.sizes.batch, impl.sizes.q_heads, impl.tokens(), 1});
    fill(zeros.view(), 0);
    given_d_lse = zeros.view();
  }
  const InRing d_lse(impl, given_d_lse, DType::kF32, traffic);
  FromRing dq(impl, gradients.q, impl.sizes.q_heads, impl.spec.head_dim);
  FromRing dk(impl, gradients.k, impl.sizes.kv_heads, impl.spec.head_dim);
  FromRing dv(impl, gradients.v, impl.sizes.kv_heads, impl.spec.v_head_dim);
  for (const auto& [name, sum] : gradients.buffers) std::fill_n(static_cast<float*>(sum.data), count_of(sum), 0.0F);
  wrong = ring_backward(impl,
                        {.q = q.view(),
                         .keys = {k.view(), v.view()},
                         .out = out.view(),
                         .lse = as_statistic(lse.view()),
                         .d_out = d_out.view(),
                         .d_lse = as_statistic(d_lse.view()),
                         .dq = dq.view(),
                         .dk = dk.view(),
                         .dv = dv.view(),
                         .buffers = gradients.buffers,
                         .bindings = forward.bindings},
                        traffic);
  for (FromRing* sum : {&dq, &dk, &dv}) sum->finish(traffic);
  for (const auto& [name, sum] : gradients.buffers)
    sum_in_order(impl.world, static_cast<float*>(sum.data), count_of(sum), impl.options.message_bytes);
  if (gradients.sinks.data == nullptr) return;
  std::vector<float> sums =
      sink_gradients(impl, forward.sinks, {.out = out.view(), .lse = lse.view(), .d_out = d_out.view(), .d_lse = d_lse.view()});
  sum_in_order(impl.world, sums.data(), impl.sizes.q_heads, impl.options.message_bytes);
  for (std::int64_t h = 0; h < impl.sizes.q_heads; ++h)
    static_cast<float*>(gradients.sinks.data)[h * gradients.sinks.strides[0]] = sums[static_cast<std::size_t>(h)];
}

// Agreement before the first message and behind the last.
template <typename Pass>
Result<Traffic> collectively(const Impl& impl, const std::string& call, const Diagnostics& mine, const Fact& fact,
                             const Pass& pass) {
  if (Diagnostics all = agree(impl.world, mine, {&fact, 1}, call); !all.empty()) return all;
  Traffic traffic;
  Diagnostics wrong;
  exchange_or_abort(impl.world, [&] { pass(traffic, wrong); });
  if (Diagnostics all = agree(impl.world, wrong, {}, call); !all.empty()) return all;
  return traffic;
}

}  // namespace

Result<Traffic> ShardedAttention::run(const ShardArgs& args) const {
  return collectively(*impl_, "run", check_run(*impl_, args), fact_of(*impl_, "run", args, {}),
                      [&](Traffic& traffic, Diagnostics& wrong) { pass_forward(*impl_, args, traffic, wrong); });
}

Result<Traffic> ShardedAttention::run_backward(const ShardArgs& forward, const ShardGradients& gradients) const {
  return collectively(*impl_, "run_backward", check_backward(*impl_, forward, gradients),
                      fact_of(*impl_, "run_backward", forward, gradients),
                      [&](Traffic& traffic, Diagnostics& wrong) { pass_backward(*impl_, forward, gradients, traffic, wrong); });
}

}  // namespace flexjit::mpi
