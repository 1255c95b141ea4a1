// A checked backward call on the compiled kernel, with the block mask that is given or one derived for it.
#include <algorithm>
#include <array>
#include <span>
#include <vector>

#include "call/backward_call.h"
#include "engine/backward/dense_sums.h"
#include "engine/backward/unowned_rows.h"
#include "engine/launch_outcome.h"
#include "runtime/backward/backward.h"
#include "support/elements.h"

namespace flexjit::engine {

namespace {

template <typename View>
plan::TensorArg tensor_arg(const View& view) {
  return {const_cast<void*>(static_cast<const void*>(view.data)), view.strides[0], view.strides[1], view.strides[2]};
}

plan::GradientOperands operands_of(const Gradients& gradients, std::vector<float>& sinks) {
  plan::GradientOperands operands;
  operands.grad_out = {tensor_arg(gradients.out), gradients.out.dtype};
  operands.grad_out_element = gradients.out.strides[3];
  const TensorView& lse = gradients.lse;
  operands.grad_lse = {{lse.strides[0], lse.strides[1], lse.strides[2]}, static_cast<float*>(const_cast<void*>(lse.data))};
  operands.grad_q = {tensor_arg(gradients.q), gradients.q.dtype};
  operands.grad_k = {tensor_arg(gradients.k), gradients.k.dtype};
  operands.grad_v = {tensor_arg(gradients.v), gradients.v.dtype};
  if (gradients.sinks.data != nullptr) operands.grad_sinks = sinks.data();
  return operands;
}

void write_sinks(const std::vector<float>& sums, const MutableTensorView& sinks) {
  if (sinks.data == nullptr) return;
  for (std::int64_t head = 0; head < sinks.shape[0]; ++head) {
    const double value = sums[static_cast<std::size_t>(head)];
    support::write_elements(sinks.dtype, sinks.data, head * sinks.strides[0], {&value, 1});
  }
}

// The gradient of one captured buffer: summed up where the caller wants it if reals can lie there, else in memory of its own.
struct SummedBuffer {
  SummedBuffer(const plan::BufferSums& facts, const MutableTensorView& caller, const CallShape& call, DType real)
      : target(caller), dense(caller) {
    gradient.slot = facts.buffer;
    gradient.elements = dense.count;
    std::ranges::copy(dense.strides, gradient.strides);
    const auto has = [&](std::int32_t d) { return d >= 0 && gradient.strides[d] != 0; };
    gradient.pairs_apart = has(facts.of_query) && has(facts.of_key);
    gradient.heads_apart = (has(facts.of_batch) || call.batch == 1) && (has(facts.of_head) || call.kv_heads == 1);
    if (caller.data == nullptr || caller.dtype != real || !dense.lies_in(caller))
      sums.resize(static_cast<std::size_t>(dense.count) * size_of(real));
    gradient.sums = sums.empty() ? caller.data : sums.data();
  }

  void write(DType real) const {
    if (sums.empty() || target.data == nullptr) return;
    dense.write(target, [&](std::int64_t i) {
      double value = 0;
      support::read_elements(real, sums.data(), i, {&value, 1});
      return value;
    });
  }

  MutableTensorView target;
  DenseSums dense;
  std::vector<std::byte> sums;
  plan::BufferGradient gradient;
};

// What a kernel adds up and nobody wants: the elements of the buffer as it is bound, repeated ones once.
MutableTensorView unwanted_like(const TensorView& bound) {
  MutableTensorView view(nullptr, bound.dtype, std::span(bound.shape).first(static_cast<std::size_t>(bound.rank)));
  for (std::size_t d = 0; d < static_cast<std::size_t>(bound.rank); ++d)
    if (bound.strides[d] == 0) view.strides[d] = 0;
  return view;
}

// Those that the program adds to; a gradient of what the score does not depend on is 0.
std::vector<SummedBuffer> summed_buffers(const BackwardCall& call, const std::vector<plan::BufferSums>& sums, DType real) {
  std::vector<SummedBuffer> summed;
  for (const plan::BufferSums& facts : sums) {
    if (call.buffers[facts.buffer].data == nullptr)
      summed.emplace_back(facts, unwanted_like(call.forward.bound.buffers[facts.buffer]), call.forward.shape, real);
  }
  for (std::uint32_t slot : call.wanted_buffers()) {
    const auto found = std::ranges::find(sums, slot, &plan::BufferSums::buffer);
    summed.emplace_back(found != sums.end() ? *found : plan::BufferSums{.buffer = slot}, call.buffers[slot], call.forward.shape,
                        real);
  }
  return summed;
}

// The sequences of a call that are launched. Without queries there is nothing to add up; rows without keys add to the gradients
// of sinks alone, for which no mask is needed.
struct Owners {
  std::vector<plan::Sequence> all;  // those with keys first
  std::size_t pairs = 0;            // how many these are

  std::span<const plan::Sequence> with_pairs() const { return std::span(all).first(pairs); }
  std::span<const plan::Sequence> keyless() const { return std::span(all).subspan(pairs); }
};

Owners owners_of(const Call& call) {
  Owners owners{.all = {}};
  for (const bool with_keys : {true, false}) {
    for (const plan::Sequence& one : call.sequences) {
      if (one.q_len > 0 && (one.kv_len > 0) == with_keys) owners.all.push_back(one);
    }
    if (with_keys) owners.pairs = owners.all.size();
  }
  return owners;
}

}  // namespace

Result<RunStats> backward_by_kernel(const Attention::Impl& impl, const RunArgs& forward, const Gradients& gradients,
                                    const BackwardCall& call) {
  const Result<BackwardKernels::Ready> found = impl.backward->get(call.wanted_buffers(), forward.trace);
  if (!found) return found.diagnostics();
  const cache::SharedKernel& kernel = found->kernel;
  const Owners owners = owners_of(call.forward);
  if (call.forward.shape.ragged) clear_unowned_rows(gradients, owners.all);
  Work work = make_work(impl, forward, call.forward, owners.with_pairs(), blocks_of(kernel->kernel.layout));
  for (const plan::Sequence& keyless : owners.keyless()) work.sequences.push_back({.sequence = &keyless});
  Launch launch = make_launch(*impl.pattern, forward, call.forward);
  launch.arg.block_counts = impl.block_counts;
  std::vector<float> sinks(static_cast<std::size_t>(call.forward.shape.q_heads));
  plan::GradientOperands operands = operands_of(gradients, sinks);
  const DType real = kernel->kernel.layout.cell_bytes == 8 ? DType::kF64 : DType::kF32;
  std::vector<SummedBuffer> summed = summed_buffers(call, found->sums, real);
  std::vector<plan::BufferGradient> buffers;
  for (const SummedBuffer& buffer : summed) buffers.push_back(buffer.gradient);
  operands.buffers = buffers;
  const runtime::LaunchOutcome outcome =
      runtime::launch_backward(kernel->kernel, launch.arg, operands, work.sequences, workers_of(impl, forward));
  write_sinks(sinks, gradients.sinks);
  for (const SummedBuffer& buffer : summed) buffer.write(real);
  return finish(impl, call.forward, outcome, work.counts());
}

}  // namespace flexjit::engine
