// The memory of a backward launch, laid out.
#include "runtime/backward/gradient_job.h"

#include <algorithm>
#include <cstring>

#include "plan/sizes/scratch.h"

namespace flexjit::runtime {

using support::round_up;

namespace {

// Copies of the gradients of captured buffers, of one pair.
constexpr std::int64_t kCopiesBytes = std::int64_t{4} << 20;
constexpr std::int64_t kMostCopies = 8;

}  // namespace

BufferSums sums_of(std::span<const plan::BufferGradient> buffers, std::int64_t real) {
  BufferSums sums{.buffers = buffers, .real = real};
  for (std::size_t i = 0; i < buffers.size(); ++i) {
    sums.copy_bytes += sums.bytes_of(i);
    sums.one_pair = sums.one_pair || (buffers[i].pairs_apart && !buffers[i].heads_apart);
    sums.slots = std::max<std::size_t>(sums.slots, buffers[i].slot + 1);
  }
  if (sums.copy_bytes > 0) sums.copies = std::clamp<std::int64_t>(kCopiesBytes / sums.copy_bytes, 1, kMostCopies);
  return sums;
}

bool k_lies_ready(const plan::TensorArg& k, const plan::KernelLayout& kernel) {
  if (kernel.kv_bytes != kernel.cell_bytes || k.stride_row != kernel.k_depth || kernel.k_depth != kernel.k_padded) return false;
  const auto on_line = [](std::int64_t bytes) { return bytes % static_cast<std::int64_t>(kAlignment) == 0; };
  return on_line(static_cast<std::int64_t>(reinterpret_cast<std::uintptr_t>(k.data))) &&
         on_line(k.stride_batch * kernel.kv_bytes) && on_line(k.stride_head * kernel.kv_bytes) &&
         on_line(k.stride_row * kernel.kv_bytes);
}

PairLayout layout_of(const WorkShape& shape, const plan::KernelLayout& kernel, bool k_ready, const BufferSums& sums) {
  const std::int64_t real = kernel.cell_bytes, columns = round_up(shape.kv_len, kernel.lanes);
  PairLayout pair{};
  pair.rows = shape.q_len + kernel.q_tile;
  plan::Sections sections;
  const std::int64_t all_rows = shape.group() * pair.rows * real;
  pair.q_rows = sections.place(all_rows * kernel.k_padded);
  pair.grad_out_rows = sections.place(all_rows * kernel.v_padded);
  pair.lse = sections.place(all_rows);
  pair.delta = sections.place(all_rows);
  pair.k_panels = sections.place((columns + kernel.strip) * kernel.head_dim * real);
  pair.v_panels = sections.place((columns + kernel.strip) * kernel.v_head_dim * real);
  pair.k_rows = sections.place(k_ready ? 0 : columns * kernel.k_padded * real);
  pair.grad_q = sections.place(shape.group() * std::int64_t{shape.q_len} * kernel.k_padded * real);
  pair.grad_k = sections.place(columns * kernel.k_padded * real);
  pair.grad_v = sections.place(columns * kernel.v_padded * real);
  pair.copies = sections.place(sums.copies * sums.copy_bytes);
  pair.sums_end = sections.end();
  return pair;
}

Pair pair_of(GradientJob& job, const Wave& wave, std::int64_t index) {
  return {job, job.memory(wave, index), job.work[static_cast<std::size_t>(index / job.shape.kv_heads)],
          static_cast<std::int32_t>(index % job.shape.kv_heads), &job.not_finite[static_cast<std::size_t>(index - wave.begin)]};
}

}  // namespace flexjit::runtime
