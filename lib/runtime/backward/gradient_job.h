// A backward launch under way: how keys are cut into columns, where each (batch, kv head) pair keeps what it takes and sums up,
// and how far each column is.
#pragma once

#include <atomic>
#include <thread>
#include <vector>

#include "runtime/launch.h"
#include "runtime/rows/rows.h"
#include "runtime/workspace.h"
#include "support/rounding.h"

namespace flexjit::runtime {

// Tiles of [0, kv_len) that begin at multiples of the panel, none longer than kv_tile.
class KeyColumns {
 public:
  KeyColumns(std::int32_t kv_len, const plan::KernelLayout& layout) : kv_len_(kv_len), panel_(layout.lanes) {
    const std::int64_t panels = support::divide_up(kv_len, panel_), most = layout.kv_tile / panel_;
    count_ = support::divide_up(panels, most);
    if (count_ > 1) count_ = std::min(panels, support::round_up(count_, count_ > kMultiple ? kMultiple : 2));
    panels_ = panels;
  }
  std::int64_t count() const { return count_; }
  std::int32_t begin(std::int64_t column) const {
    return static_cast<std::int32_t>(std::min<std::int64_t>(column * panels_ / count_ * panel_, kv_len_));
  }
  Reach operator[](std::int64_t column) const { return {begin(column), begin(column + 1)}; }

 private:
  // Columns are made equal and a multiple of so many, so that few threads finish together.
  static constexpr std::int64_t kMultiple = 4;
  std::int64_t kv_len_, panel_, panels_ = 0, count_ = 0;
};

// Where the gradients of captured buffers are summed up. What no two pairs of a head add to is one sum for all. Else columns
// take turns with a few copies, which are added up in their order after all pairs of a wave: a column begins when the one that
// had its copy before is done.
struct BufferSums {
  std::span<const plan::BufferGradient> buffers;
  std::int64_t real = 4;
  std::int64_t copies = 1;      // of a pair
  std::int64_t copy_bytes = 0;  // 0: there is none
  bool one_pair = false;        // at a time, since pairs add to the same elements
  std::size_t slots = 0;

  // The sums of a buffer in a copy at `copy`; of those that have none, the one for all.
  std::byte* at(std::size_t index, std::byte* copy) const {
    if (buffers[index].pairs_apart) return static_cast<std::byte*>(buffers[index].sums);
    for (std::size_t i = 0; i < index; ++i) copy += bytes_of(i);
    return copy;
  }
  std::int64_t bytes_of(std::size_t index) const {
    return buffers[index].pairs_apart
               ? 0
               : support::round_up(buffers[index].elements * real, static_cast<std::int64_t>(kAlignment));
  }
};

BufferSums sums_of(std::span<const plan::BufferGradient> buffers, std::int64_t real);

// Of one pair, byte offsets into its memory, each a multiple of 64.
struct PairLayout {
  std::int64_t q_rows, grad_out_rows, lse, delta;  // [heads of the group][rows]
  std::int64_t k_panels, v_panels;
  std::int64_t k_rows;  // empty where k_lies_ready
  std::int64_t grad_q, grad_k, grad_v;
  std::int64_t copies;    // of the sums of captured buffers
  std::int64_t sums_end;  // gradients lie in [grad_q, sums_end)
  std::int64_t rows;      // of a head: q_len, and as many more as a micro-tile may read behind them
};

// Whether the rows of K are what the products read, as they lie: reals, rows of whole cache lines behind one another.
bool k_lies_ready(const plan::TensorArg& k, const plan::KernelLayout& kernel);

PairLayout layout_of(const WorkShape& shape, const plan::KernelLayout& kernel, bool k_ready, const BufferSums& sums);

// How many steps a column has taken, on a cache line of its own.
struct alignas(kAlignment) Progress {
  static constexpr std::int64_t kLooks = 1 << 10;  // before the processor is offered to others
  std::atomic<std::int64_t> steps{0};

  void wait_for(std::int64_t wanted) const noexcept {
    for (std::int64_t looks = 0; steps.load(std::memory_order_acquire) < wanted; ++looks) {
      if (looks >= kLooks) std::this_thread::yield();
    }
  }
};

struct GradientJob {
  const Kernel& kernel;
  const plan::Operands& operands;
  const plan::GradientOperands& gradients;
  const plan::LaunchArg launch;
  const std::span<const SequenceWork> work;  // sequences of one length
  const WorkShape shape;                     // theirs
  const Workers workers;
  Workspace& workspace;
  const KeyColumns columns;
  const BufferSums sums;
  const bool k_ready;
  const PairLayout pair;
  const std::int64_t scratch_bytes;        // of one thread
  std::vector<std::int64_t> not_finite{};  // by pair of the wave: 1 where an element of q, k or grad_out is not
  std::vector<Progress> progress{};        // by pair of the wave and column
  std::vector<plan::SpanArg> spans{};
  std::vector<plan::SumArg> sum_args{};  // by pair of the wave, copy and slot
  std::vector<std::size_t> offsets{};    // step s of pair p of the wave owns [offsets[p * steps + s], ...)

  const plan::KernelLayout& layout() const { return kernel.layout; }
  std::int64_t steps() const { return shape.group() * shape.q_tiles(); }
  std::byte* memory(const Wave& wave, std::int64_t of) const {
    return workspace.panels.data() + (of - wave.begin) * pair.sums_end;
  }
};

// One (sequence, kv head) in its memory.
struct Pair {
  const GradientJob& job;
  std::byte* memory;
  const SequenceWork& of;
  std::int32_t kv_head;
  std::int64_t* not_finite;

  std::int32_t head(std::int32_t in_group) const { return kv_head * job.shape.group() + in_group; }
  // Row `row` of a head of the group, in a section of rows of so many reals.
  std::byte* row(std::int64_t section, std::int32_t in_group, std::int64_t row, std::int64_t reals) const {
    return memory + section + (in_group * job.pair.rows + row) * reals * job.layout().cell_bytes;
  }
  void* k_rows() const { return job.k_ready ? const_cast<void*>(keys().k) : memory + job.pair.k_rows; }
  plan::KeyRun keys() const { return Keys(job.operands, job.layout()).all(*of.sequence, kv_head); }
  std::byte* grad_q(std::int32_t in_group) const {
    return memory + job.pair.grad_q +
           in_group * std::int64_t{job.shape.q_len} * job.layout().k_padded * job.layout().cell_bytes;
  }
};

Pair pair_of(GradientJob& job, const Wave& wave, std::int64_t index);

// gradient_rows.cpp
// The caller's rows and keys of a wave -> the memory of its pairs, whose sums begin at 0.
void take_wave(GradientJob& job, const Wave& wave);
// Sums -> the caller's gradients.
void give_wave(GradientJob& job, const Wave& wave);
// What the rows of a wave add to the gradients of sinks, by query head.
void add_sinks(GradientJob& job, const Wave& wave, std::vector<double>& sums);

}  // namespace flexjit::runtime
