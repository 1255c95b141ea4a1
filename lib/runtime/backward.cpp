// One launch: for each wave of (batch, kv head) pairs, take rows and keys into reals, add up the gradients of all pairs of
// query and key tiles, and give them to the caller. A column of the plan is a tile of keys, a step a tile of query rows of one
// head; a column takes a step when the column before it has taken it:
//
//     steps      column 0   column 1   column 2      a thread has a column; what is added to a row's gradient comes in the
//     order of
//       |           x          x          x          the keys, what is added to a key's in the order of the rows
//       v           x          x          .
//                   x          .          .
#include "runtime/backward.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <cstring>
#include <thread>

#include "plan/scratch.h"
#include "runtime/parallel.h"
#include "runtime/rows.h"
#include "runtime/workspace.h"
#include "support/check.h"
#include "support/rounding.h"

namespace flexjit::runtime {

namespace {

using support::divide_up;
using support::round_up;

constexpr std::int64_t kWaveBytes = std::int64_t{64} << 20;
constexpr std::int32_t kTakenRows = 64;  // of one item
// Copies of the gradients of captured buffers, of one pair.
constexpr std::int64_t kCopiesBytes = std::int64_t{4} << 20;
constexpr std::int64_t kMostCopies = 8;
constexpr std::int64_t kGradientLooks = 1 << 10;  // at another thread's progress, before the processor is offered to others
// Columns of keys are made equal and a multiple of so many, so that few threads finish together.
constexpr std::int64_t kColumnMultiple = 4;

// Tiles of [0, kv_len) that begin at multiples of the panel, none longer than kv_tile.
class KeyColumns {
 public:
  KeyColumns(std::int32_t kv_len, const plan::KernelLayout& layout) : kv_len_(kv_len), panel_(layout.lanes) {
    const std::int64_t panels = divide_up(kv_len, panel_), most = layout.kv_tile / panel_;
    count_ = divide_up(panels, most);
    if (count_ > 1) count_ = std::min(panels, round_up(count_, count_ > kColumnMultiple ? kColumnMultiple : 2));
    panels_ = panels;
  }
  std::int64_t count() const { return count_; }
  std::int32_t begin(std::int64_t column) const {
    return static_cast<std::int32_t>(std::min<std::int64_t>(column * panels_ / count_ * panel_, kv_len_));
  }
  Reach operator[](std::int64_t column) const { return {begin(column), begin(column + 1)}; }

 private:
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
    return buffers[index].pairs_apart ? 0 : round_up(buffers[index].elements * real, static_cast<std::int64_t>(kAlignment));
  }
};

BufferSums sums_of(std::span<const plan::BufferGradient> buffers, std::int64_t real) {
  BufferSums sums{.buffers = buffers, .real = real};
  for (std::size_t i = 0; i < buffers.size(); ++i) {
    sums.copy_bytes += sums.bytes_of(i);
    sums.one_pair = sums.one_pair || (buffers[i].pairs_apart && !buffers[i].heads_apart);
    sums.slots = std::max<std::size_t>(sums.slots, buffers[i].slot + 1);
    std::memset(buffers[i].sums, 0, static_cast<std::size_t>(buffers[i].elements * real));
  }
  if (sums.copy_bytes > 0) sums.copies = std::clamp<std::int64_t>(kCopiesBytes / sums.copy_bytes, 1, kMostCopies);
  return sums;
}

// Of one pair, byte offsets into its memory, each a multiple of 64.
struct PairLayout {
  std::int64_t q_rows, grad_out_rows, lse, delta;  // [heads of the group][rows]
  std::int64_t k_panels, v_panels, k_rows;
  std::int64_t grad_q, grad_k, grad_v;
  std::int64_t copies;    // of the sums of captured buffers
  std::int64_t sums_end;  // gradients lie in [grad_q, sums_end)
  std::int64_t rows;      // of a head: q_len, and as many more as a micro-tile may read behind them
};

PairLayout layout_of(const WorkShape& shape, const plan::KernelLayout& kernel, const BufferSums& sums) {
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
  pair.k_rows = sections.place(columns * kernel.k_padded * real);
  pair.grad_q = sections.place(shape.group() * std::int64_t{shape.q_len} * kernel.k_padded * real);
  pair.grad_k = sections.place(columns * kernel.k_padded * real);
  pair.grad_v = sections.place(columns * kernel.v_padded * real);
  pair.copies = sections.place(sums.copies * sums.copy_bytes);
  pair.sums_end = sections.end();
  return pair;
}

// How many steps a column has taken, on a cache line of its own.
struct alignas(kAlignment) Progress {
  std::atomic<std::int64_t> steps{0};

  void wait_for(std::int64_t wanted) const noexcept {
    for (std::int64_t looks = 0; steps.load(std::memory_order_acquire) < wanted; ++looks) {
      if (looks >= kGradientLooks) std::this_thread::yield();
    }
  }
};

struct GradientJob {
  const Kernel& kernel;
  const plan::Operands& operands;
  const plan::GradientOperands& gradients;
  const plan::LaunchArg launch;
  const WorkShape shape;
  const Workers workers;
  Workspace& workspace;
  const KeyColumns columns;
  const BufferSums sums;
  const PairLayout pair;
  const std::int64_t scratch_bytes;        // of one thread
  std::vector<std::int64_t> not_finite{};  // by pair of the wave: 1 where an element of q, k or grad_out is not
  std::vector<Progress> progress{};        // by pair of the wave and column
  std::vector<plan::SpanArg> spans{};
  std::vector<std::size_t> offsets{};  // step s of pair p of the wave owns [offsets[p * steps + s], ...)

  const plan::KernelLayout& layout() const { return kernel.layout; }
  std::int64_t steps() const { return shape.group() * shape.q_tiles(); }
  std::byte* memory(const Wave& wave, std::int64_t of) const {
    return workspace.panels.data() + (of - wave.begin) * pair.sums_end;
  }
};

// One (batch entry, kv head) in its memory.
struct Pair {
  const GradientJob& job;
  std::byte* memory;
  std::int32_t b, kv_head;
  std::int64_t* not_finite;

  std::int32_t head(std::int32_t in_group) const { return kv_head * job.shape.group() + in_group; }
  // Row `row` of a head of the group, in a section of rows of so many reals.
  std::byte* row(std::int64_t section, std::int32_t in_group, std::int64_t row, std::int64_t reals) const {
    return memory + section + (in_group * job.pair.rows + row) * reals * job.layout().cell_bytes;
  }
  std::byte* grad_q(std::int32_t in_group) const {
    return memory + job.pair.grad_q +
           in_group * std::int64_t{job.shape.q_len} * job.layout().k_padded * job.layout().cell_bytes;
  }
};

Pair pair_of(GradientJob& job, const Wave& wave, std::int64_t index) {
  return {job, job.memory(wave, index), static_cast<std::int32_t>(index / job.shape.kv_heads),
          static_cast<std::int32_t>(index % job.shape.kv_heads), &job.not_finite[static_cast<std::size_t>(index - wave.begin)]};
}

std::int64_t bytes_of(const plan::GradientOperands::Tensor& tensor) { return static_cast<std::int64_t>(size_of(tensor.dtype)); }

plan::GradientRow row_at(const GradientJob& job, std::int32_t b, std::int32_t h, std::int32_t q_idx) {
  const plan::Operands& of = job.operands;
  const plan::KernelLayout& layout = job.layout();
  const plan::GradientOperands::Tensor& grad_out = job.gradients.grad_out;
  plan::GradientRow row{.q = address_at(of.q.data, of.q.offset_of(b, h, q_idx) * layout.q_bytes),
                        .out = address_at(of.out.data, of.out.offset_of(b, h, q_idx) * layout.out_bytes),
                        .grad_out = nullptr,
                        .lse = of.lse.at(b, h, q_idx),
                        .grad_lse = job.gradients.grad_lse.at(b, h, q_idx)};
  if (grad_out.data != nullptr) row.grad_out = address_at(grad_out.data, grad_out.offset_of(b, h, q_idx) * bytes_of(grad_out));
  return row;
}

// What one of several threads has found of a pair.
void note(const Pair& pair, std::int64_t not_finite) {
  if (not_finite != 0) std::atomic_ref<std::int64_t>(*pair.not_finite).store(1, std::memory_order_relaxed);
}

// Rows [begin, begin + kTakenRows) of one head.
void take_rows(const Pair& pair, std::int32_t in_group, std::int32_t begin) {
  std::int64_t not_finite = 0;
  const GradientJob& job = pair.job;
  std::array<plan::GradientRow, kTakenRows> rows;
  const std::int32_t count = std::min(kTakenRows, job.shape.q_len - begin);
  for (std::int32_t i = 0; i < count; ++i)
    rows[static_cast<std::size_t>(i)] = row_at(job, pair.b, pair.head(in_group), begin + i);
  const plan::TakeRowsArg arg{.launch = &job.launch,
                              .rows = rows.data(),
                              .count = count,
                              .grad_out_stride = job.gradients.grad_out_element,
                              .grad_out_f32 = job.gradients.grad_out.dtype == DType::kF32 ? 1 : 0,
                              .q_rows = pair.row(job.pair.q_rows, in_group, begin, job.layout().k_padded),
                              .grad_out_rows = pair.row(job.pair.grad_out_rows, in_group, begin, job.layout().v_padded),
                              .lse = pair.row(job.pair.lse, in_group, begin, 1),
                              .not_finite = &not_finite,
                              .delta = pair.row(job.pair.delta, in_group, begin, 1)};
  job.kernel.take_rows(&arg);
  note(pair, not_finite);
}

void take_keys(const Pair& pair, Reach keys) {
  std::int64_t not_finite = 0;
  const GradientJob& job = pair.job;
  const plan::KeyRun run = key_run(job.operands, job.layout(), pair.b, pair.kv_head);
  const plan::TakeKeysArg arg{.run = &run,
                              .kv_begin = keys.begin,
                              .kv_end = keys.end,
                              .kv_len = job.shape.kv_len,
                              .k_panels = pair.memory + job.pair.k_panels,
                              .v_panels = pair.memory + job.pair.v_panels,
                              .k_rows = job.gradients.grad_q.data != nullptr ? pair.memory + job.pair.k_rows : nullptr,
                              .not_finite = &not_finite};
  job.kernel.take_keys(&arg);
  note(pair, not_finite);
}

// Rows of a head, then columns of keys, pair by pair.
void take_wave(GradientJob& job, const Wave& wave) {
  const std::int64_t blocks = divide_up(job.shape.q_len, kTakenRows), of_rows = job.shape.group() * blocks;
  const std::int64_t items = of_rows + job.columns.count();
  parallel_for(job.workers.threads, (wave.end - wave.begin) * items, [&](std::int64_t i, int) noexcept {
    const Pair pair = pair_of(job, wave, wave.begin + i / items);
    const std::int64_t item = i % items;
    if (item < of_rows) {
      take_rows(pair, static_cast<std::int32_t>(item / blocks), static_cast<std::int32_t>(item % blocks * kTakenRows));
    } else {
      take_keys(pair, job.columns[item - of_rows]);
    }
    if (item == 0) {
      std::memset(pair.memory + job.pair.grad_q, 0, static_cast<std::size_t>(job.pair.sums_end - job.pair.grad_q));
    }
  });
}

// The spans of every step, over all keys.
void plan_wave(GradientJob& job, const Wave& wave, const BlockMask* mask) {
  job.not_finite.assign(static_cast<std::size_t>(wave.end - wave.begin), 0);
  SpanMaker maker;
  maker.start(mask, job.shape.kv_len, job.shape.panel);
  job.spans.clear();
  job.offsets.assign(1, 0);
  for (std::int64_t p = wave.begin; p < wave.end; ++p) {
    const Pair pair = pair_of(job, wave, p);
    for (std::int32_t head = 0; head < job.shape.group(); ++head) {
      for (std::int64_t tile = 0; tile < job.shape.q_tiles(); ++tile) {
        const QueryRows rows = job.shape.rows_of(tile);
        maker.append({pair.b, pair.head(head), rows.begin, rows.count}, job.spans);
        job.offsets.push_back(job.spans.size());
      }
    }
  }
  job.progress = std::vector<Progress>(static_cast<std::size_t>((wave.end - wave.begin) * job.columns.count()));
}

// What of `spans` lies in the column. Whole spans end at panels, and so do columns.
void cut_spans(std::span<const plan::SpanArg> spans, Reach column, std::vector<plan::SpanArg>& cut) {
  cut.clear();
  for (plan::SpanArg span : spans) {
    span.begin = std::max(span.begin, column.begin);
    span.end = std::min(span.end, column.end);
    if (span.begin < span.end) cut.push_back(span);
  }
}

TraceEvent event_of(const plan::GradientsArg& tile, int thread) {
  TraceEvent event{.kind = TraceKind::kTile,
                   .thread = thread,
                   .b = tile.b,
                   .head = tile.h,
                   .q = {tile.q_begin, tile.q_begin + tile.q_count}};
  describe_spans({tile.spans, static_cast<std::size_t>(tile.span_count)}, tile.q_count, event);
  return event;
}

plan::GradientsArg arg_of(const Pair& pair, std::int32_t in_group, QueryRows rows, std::span<const plan::SpanArg> spans) {
  const GradientJob& job = pair.job;
  const auto wanted = [](const plan::TensorArg& of, std::byte* sums) { return of.data != nullptr ? sums : nullptr; };
  plan::GradientsArg arg{};
  arg.launch = &job.launch;
  arg.b = pair.b;
  arg.h = pair.head(in_group);
  arg.kv_head = pair.kv_head;
  arg.q_len = job.shape.q_len;
  arg.kv_len = job.shape.kv_len;
  arg.q_begin = rows.begin;
  arg.q_count = rows.count;
  arg.span_count = static_cast<std::int32_t>(spans.size());
  arg.spans = spans.data();
  arg.q_rows = pair.row(job.pair.q_rows, in_group, 0, job.layout().k_padded);
  arg.grad_out_rows = pair.row(job.pair.grad_out_rows, in_group, 0, job.layout().v_padded);
  arg.lse = pair.row(job.pair.lse, in_group, 0, 1);
  arg.delta = pair.row(job.pair.delta, in_group, 0, 1);
  arg.k_panels = pair.memory + job.pair.k_panels;
  arg.v_panels = pair.memory + job.pair.v_panels;
  arg.k_rows = pair.memory + job.pair.k_rows;
  arg.careful = *pair.not_finite;
  arg.grad_q = wanted(job.gradients.grad_q, pair.grad_q(in_group));
  arg.grad_k = wanted(job.gradients.grad_k, pair.memory + job.pair.grad_k);
  arg.grad_v = wanted(job.gradients.grad_v, pair.memory + job.pair.grad_v);
  return arg;
}

// All steps of one column.
struct Column {
  const Pair pair;
  const Reach keys;
  const std::size_t first_step;  // of its pair, into the offsets
  Progress& own;
  const Progress* before;  // of the column before; null: there is none
  const Progress* copied;  // of the column that had the same copy of sums; null likewise
  std::byte* copy;
};

std::vector<plan::SumArg> sum_args_of(const BufferSums& sums, std::byte* copy) {
  std::vector<plan::SumArg> args(sums.slots);
  for (std::size_t i = 0; i < sums.buffers.size(); ++i) {
    const plan::BufferGradient& buffer = sums.buffers[i];
    plan::SumArg& arg = args[buffer.slot];
    arg.data = sums.at(i, copy);
    std::ranges::copy(buffer.strides, arg.strides);
  }
  return args;
}

void run_column(GradientJob& job, const Column& column, int thread) noexcept {
  ThreadRecord& record = job.workspace.records[static_cast<std::size_t>(thread)];
  std::vector<plan::SpanArg>& spans = job.workspace.cut_spans[static_cast<std::size_t>(thread)];
  const std::vector<plan::SumArg> sums = sum_args_of(job.sums, column.copy);
  if (column.copied != nullptr) column.copied->wait_for(job.steps());
  for (std::int64_t step = 0; step < job.steps(); ++step) {
    const std::size_t at = column.first_step + static_cast<std::size_t>(step);
    cut_spans(std::span(job.spans).subspan(job.offsets[at], job.offsets[at + 1] - job.offsets[at]), column.keys, spans);
    if (column.before != nullptr) column.before->wait_for(step + 1);
    if (!spans.empty()) {
      const auto head = static_cast<std::int32_t>(step / job.shape.q_tiles());
      const QueryRows rows = job.shape.rows_of(step % job.shape.q_tiles());
      record.fault.raised = 0;
      plan::GradientsArg arg = arg_of(column.pair, head, rows, spans);
      arg.scratch = job.workspace.scratch.data() + thread * job.scratch_bytes;
      arg.fault = &record.fault;
      arg.sums = sums.data();
      traced(job.workers.trace, [&] { job.kernel.gradients(&arg); }, [&] { return event_of(arg, thread); });
      record.scores_visited += rows.count * columns_of(spans);
      const std::int64_t plane = std::int64_t{arg.b} * job.shape.q_heads + arg.h;
      record.note_fault((plane * job.shape.q_len + rows.begin) * job.columns.count() + column.keys.begin);
    }
    column.own.steps.store(step + 1, std::memory_order_release);
  }
}

void run_columns(GradientJob& job, const Wave& wave) {
  const std::int64_t count = job.columns.count();
  parallel_for(job.workers.threads, (wave.end - wave.begin) * count, [&](std::int64_t i, int thread) noexcept {
    const std::int64_t of_wave = i / count, column = i % count;
    Progress* own = &job.progress[static_cast<std::size_t>(i)];
    const Pair pair = pair_of(job, wave, wave.begin + of_wave);
    const bool copies = job.sums.copy_bytes > 0;
    run_column(job,
               {.pair = pair,
                .keys = job.columns[column],
                .first_step = static_cast<std::size_t>(of_wave * job.steps()),
                .own = *own,
                .before = column > 0 ? own - 1 : nullptr,
                .copied = copies && column >= job.sums.copies ? own - job.sums.copies : nullptr,
                .copy = pair.memory + job.pair.copies + column % job.sums.copies * job.sums.copy_bytes},
               thread);
  });
}

// Rows of sums -> a tensor, of one head.
struct Given {
  plan::GiveRowsFn give;
  const plan::GradientOperands::Tensor& target;
  std::int64_t rows;
  double factor;
};
void give_rows(const Given& given, const std::byte* sums, std::int32_t b, std::int32_t h) {
  if (given.target.data == nullptr) return;
  const plan::GiveRowsArg arg{.rows = sums,
                              .count = given.rows,
                              .target = address_at(given.target.data, given.target.offset_of(b, h, 0) * bytes_of(given.target)),
                              .stride = given.target.stride_row,
                              .factor = given.factor,
                              .as_f32 = given.target.dtype == DType::kF32 ? 1 : 0};
  given.give(&arg);
}

void give_wave(GradientJob& job, const Wave& wave) {
  const Given q{job.kernel.give_q, job.gradients.grad_q, job.shape.q_len, job.operands.scale};
  const Given k{job.kernel.give_k, job.gradients.grad_k, job.shape.kv_len, 1};
  const Given v{job.kernel.give_v, job.gradients.grad_v, job.shape.kv_len, 1};
  const std::int64_t items = job.shape.group() + 2;
  parallel_for(job.workers.threads, (wave.end - wave.begin) * items, [&](std::int64_t i, int) noexcept {
    const Pair pair = pair_of(job, wave, wave.begin + i / items);
    const auto item = static_cast<std::int32_t>(i % items);
    if (item < job.shape.group()) return give_rows(q, pair.grad_q(item), pair.b, pair.head(item));
    const bool keys = item == job.shape.group();
    give_rows(keys ? k : v, pair.memory + (keys ? job.pair.grad_k : job.pair.grad_v), pair.b, pair.kv_head);
  });
}

template <typename Real>
double sink_gradient(const Pair& pair, std::int32_t in_group, double sink) {
  const auto* lse = reinterpret_cast<const Real*>(pair.row(pair.job.pair.lse, in_group, 0, 1));
  const auto* delta = reinterpret_cast<const Real*>(pair.row(pair.job.pair.delta, in_group, 0, 1));
  double sum = 0;
  for (std::int32_t row = 0; row < pair.job.shape.q_len; ++row) {
    const double weight = std::exp(sink - static_cast<double>(lse[row]));
    if (weight != 0) sum -= weight * static_cast<double>(delta[row]);
  }
  return sum;
}

// The weight of the sink times what dP - delta is for a value of 0, summed over rows and batch entries in their order.
void add_sinks(GradientJob& job, const Wave& wave, std::vector<double>& sums) {
  if (job.gradients.grad_sinks == nullptr || job.launch.sinks == nullptr) return;
  for (std::int64_t p = wave.begin; p < wave.end; ++p) {
    const Pair pair = pair_of(job, wave, p);
    for (std::int32_t head = 0; head < job.shape.group(); ++head) {
      const auto h = static_cast<std::size_t>(pair.head(head));
      const double sink = job.launch.sinks[h];
      sums[h] +=
          job.layout().cell_bytes == 8 ? sink_gradient<double>(pair, head, sink) : sink_gradient<float>(pair, head, sink);
    }
  }
}

template <typename Real>
void add_reals(std::span<Real> to, const std::byte* from) {
  const auto* values = reinterpret_cast<const Real*>(from);
  for (std::size_t i = 0; i < to.size(); ++i) to[i] += values[i];
}

// The copies of a wave, pair by pair and copy by copy.
void add_copies(GradientJob& job, const Wave& wave) {
  if (job.sums.copy_bytes == 0) return;
  for (std::int64_t p = wave.begin; p < wave.end; ++p) {
    for (std::int64_t copy = 0; copy < std::min(job.sums.copies, job.columns.count()); ++copy) {
      std::byte* from = pair_of(job, wave, p).memory + job.pair.copies + copy * job.sums.copy_bytes;
      for (std::size_t i = 0; i < job.sums.buffers.size(); ++i) {
        const plan::BufferGradient& buffer = job.sums.buffers[i];
        if (buffer.pairs_apart) continue;
        const auto elements = static_cast<std::size_t>(buffer.elements);
        const std::byte* values = job.sums.at(i, from);
        if (job.sums.real == 8)
          add_reals<double>({static_cast<double*>(buffer.sums), elements}, values);
        else
          add_reals<float>({static_cast<float*>(buffer.sums), elements}, values);
      }
    }
  }
}

WorkShape gradient_shape(const plan::Operands& of, const plan::KernelLayout& layout, const BlockMask* mask) {
  return {.batch = of.batch_size,
          .q_heads = of.num_heads,
          .kv_heads = of.num_kv_heads,
          .q_len = of.q_len,
          .kv_len = of.kv_len,
          .q_tile = layout.q_tile,
          .q_block = mask != nullptr ? mask->shape().q_block : layout.q_tile,
          .panel = layout.lanes};
}

WorkspacePool& gradient_workspaces() {
  static WorkspacePool instance;
  return instance;
}

}  // namespace

LaunchOutcome launch_backward(const Kernel& kernel, const plan::Operands& operands, const plan::GradientOperands& gradients,
                              const BlockMask* mask, const Workers& workers) {
  const WorkShape shape = gradient_shape(operands, kernel.layout, mask);
  if (shape.batch <= 0 || shape.kv_heads <= 0 || shape.q_heads <= 0) return {};
  FLEXJIT_CHECK(workers.threads > 0 && shape.q_heads % shape.kv_heads == 0 && shape.q_tile > 0 && shape.panel > 0);
  const WorkspacePool::Lease lease(gradient_workspaces());
  const BufferSums sums = sums_of(gradients.buffers, kernel.layout.cell_bytes);
  GradientJob job{.kernel = kernel,
                  .operands = operands,
                  .gradients = gradients,
                  .launch = operands.launch(),
                  .shape = shape,
                  .workers = workers,
                  .workspace = *lease,
                  .columns = KeyColumns(shape.kv_len, kernel.layout),
                  .sums = sums,
                  .pair = layout_of(shape, kernel.layout, sums),
                  .scratch_bytes = round_up(kernel.layout.scratch_bytes, kAlignment)};
  const auto threads = static_cast<std::size_t>(workers.threads);
  job.workspace.scratch.reserve(static_cast<std::size_t>(job.scratch_bytes) * threads);
  job.workspace.records.assign(threads, ThreadRecord{});
  job.workspace.cut_spans.resize(threads);
  for (auto& spans : job.workspace.cut_spans) spans.reserve(static_cast<std::size_t>(kernel.layout.kv_tile));
  const std::int64_t most = sums.one_pair ? 1 : workers.threads;
  const std::int64_t pairs = std::clamp<std::int64_t>(kWaveBytes / job.pair.sums_end, 1, most);
  std::vector<double> sinks(static_cast<std::size_t>(shape.q_heads), 0.0);
  for (std::int64_t begin = 0; begin < shape.pairs(); begin += pairs) {
    const Wave wave{.begin = begin, .end = std::min(begin + pairs, shape.pairs())};
    job.workspace.panels.reserve(static_cast<std::size_t>(job.pair.sums_end * (wave.end - wave.begin)));
    plan_wave(job, wave, mask);
    take_wave(job, wave);
    add_sinks(job, wave, sinks);
    run_columns(job, wave);
    add_copies(job, wave);
    give_wave(job, wave);
  }
  if (gradients.grad_sinks != nullptr)
    std::ranges::transform(sinks, gradients.grad_sinks, [](double x) { return static_cast<float>(x); });
  return gather(job.workspace.records);
}

}  // namespace flexjit::runtime
