// One launch: for each wave of (batch, kv head) pairs, take rows and keys into reals, add up the gradients of all pairs of
// query and key tiles, and give them to the caller. A column of the plan is a tile of keys, a step a tile of query rows of one
// head; a column takes a step when the column before it has taken it:
//
//     steps   column 0   column 1   column 2    A thread has a column. What is added to a row's gradient
//       |        x          x          x        comes in the order of the keys, what is added to a key's
//       v        x          x          .        in the order of the rows.
//                x          .          .
#include "runtime/backward/backward.h"

#include <algorithm>
#include <cstring>

#include "runtime/backward/gradient_job.h"
#include "runtime/parallel.h"
#include "support/check.h"

namespace flexjit::runtime {

namespace {

constexpr std::int64_t kWaveBytes = std::int64_t{64} << 20;

// The sums of captured buffers, as each copy of each pair of the wave has them.
void plan_sums(GradientJob& job, const Wave& wave) {
  job.sum_args.assign(static_cast<std::size_t>((wave.end - wave.begin) * job.sums.copies) * job.sums.slots, plan::SumArg{});
  std::size_t next = 0;
  for (std::int64_t p = wave.begin; p < wave.end; ++p) {
    for (std::int64_t copy = 0; copy < job.sums.copies; ++copy, next += job.sums.slots) {
      std::byte* memory = job.memory(wave, p) + job.pair.copies + copy * job.sums.copy_bytes;
      for (std::size_t i = 0; i < job.sums.buffers.size(); ++i) {
        const plan::BufferGradient& buffer = job.sums.buffers[i];
        plan::SumArg& arg = job.sum_args[next + buffer.slot];
        arg.data = job.sums.at(i, memory);
        std::ranges::copy(buffer.strides, arg.strides);
      }
    }
  }
}

// The spans of every step, over all keys.
void plan_wave(GradientJob& job, const Wave& wave) {
  job.not_finite.assign(static_cast<std::size_t>(wave.end - wave.begin), 0);
  SpanMaker maker;
  maker.start(job.work.front().mask, job.shape.kv_len, job.shape.panel);
  job.spans.clear();
  job.offsets.assign(1, 0);
  for (std::int64_t p = wave.begin; p < wave.end; ++p) {
    const Pair pair = pair_of(job, wave, p);
    for (std::int32_t head = 0; head < job.shape.group(); ++head) {
      for (std::int64_t tile = 0; tile < job.shape.q_tiles(); ++tile) {
        const QueryRows rows = job.shape.rows_of(tile);
        maker.append({pair.of.plane, pair.head(head), rows.begin, rows.count}, job.spans);
        job.offsets.push_back(job.spans.size());
      }
    }
  }
  plan_sums(job, wave);
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
  arg.b = pair.of.sequence->b;
  arg.h = pair.head(in_group);
  arg.kv_head = pair.kv_head;
  arg.q_len = job.shape.q_len;
  arg.kv_len = job.shape.kv_len;
  arg.q_offset = pair.of.sequence->q_offset;
  arg.kv_offset = pair.of.sequence->kv_offset;
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
  arg.k_rows = pair.k_rows();
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
  const plan::SumArg* sums;
};

void run_column(GradientJob& job, const Column& column, int thread) noexcept {
  ThreadRecord& record = job.workspace.records[static_cast<std::size_t>(thread)];
  std::vector<plan::SpanArg>& spans = job.workspace.cut_spans[static_cast<std::size_t>(thread)];
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
      arg.sums = column.sums;
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
                .sums = job.sum_args.data() +
                        static_cast<std::size_t>(of_wave * job.sums.copies + column % job.sums.copies) * job.sums.slots},
               thread);
  });
}

template <typename Real>
void add_reals(std::span<Real> to, const std::byte* from) {
  const auto* values = reinterpret_cast<const Real*>(from);
  for (std::size_t i = 0; i < to.size(); ++i) to[i] += values[i];
}

// The copies of a wave, pair by pair and copy by copy.
void add_copies(GradientJob& job, const Wave& wave) {
  if (job.sums.copy_bytes == 0) return;
  const TracedPhase phase(job.workers.trace, TraceKind::kMerge);
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

// Sequences of one length that visit the same blocks of one mask.
LaunchOutcome launch_some(const Kernel& kernel, const plan::Operands& operands, const plan::GradientOperands& gradients,
                          std::span<const SequenceWork> work, const Workers& workers, std::vector<double>& sinks) {
  const WorkShape shape = sizes_of(operands, kernel.layout).shape_of(work.front(), static_cast<std::int32_t>(work.size()));
  FLEXJIT_CHECK(workers.threads > 0 && shape.q_heads % shape.kv_heads == 0 && shape.q_tile > 0 && shape.panel > 0);
  const WorkspacePool::Lease lease(workspaces());
  const BufferSums sums = sums_of(gradients.buffers, kernel.layout.cell_bytes);
  const bool k_ready = k_lies_ready(operands.k, kernel.layout);
  GradientJob job{.kernel = kernel,
                  .operands = operands,
                  .gradients = gradients,
                  .launch = operands.launch(),
                  .work = work,
                  .shape = shape,
                  .workers = workers,
                  .workspace = *lease,
                  .columns = KeyColumns(shape.kv_len, kernel.layout),
                  .sums = sums,
                  .k_ready = k_ready,
                  .pair = layout_of(shape, kernel.layout, k_ready, sums),
                  .scratch_bytes = support::round_up(kernel.layout.scratch_bytes, kAlignment)};
  const auto threads = static_cast<std::size_t>(workers.threads);
  job.workspace.scratch.reserve(static_cast<std::size_t>(job.scratch_bytes) * threads);
  job.workspace.records.assign(threads, ThreadRecord{});
  job.workspace.cut_spans.resize(threads);
  for (auto& spans : job.workspace.cut_spans) spans.reserve(static_cast<std::size_t>(kernel.layout.kv_tile));
  const std::int64_t most = sums.one_pair ? 1 : workers.threads;
  const std::int64_t pairs = std::clamp<std::int64_t>(kWaveBytes / job.pair.sums_end, 1, most);
  for (std::int64_t begin = 0; begin < shape.pairs(); begin += pairs) {
    const Wave wave{.begin = begin, .end = std::min(begin + pairs, shape.pairs())};
    job.workspace.panels.reserve(static_cast<std::size_t>(job.pair.sums_end * (wave.end - wave.begin)));
    {
      const TracedPhase phase(workers.trace, TraceKind::kPlan);
      plan_wave(job, wave);
    }
    take_wave(job, wave);
    add_sinks(job, wave, sinks);
    run_columns(job, wave);
    add_copies(job, wave);
    give_wave(job, wave);
  }
  return gather(job.workspace.records);
}

}  // namespace

LaunchOutcome launch_backward(const Kernel& kernel, const plan::Operands& operands, const plan::GradientOperands& gradients,
                              std::span<const SequenceWork> work, const Workers& workers) {
  for (const plan::BufferGradient& buffer : gradients.buffers)
    std::memset(buffer.sums, 0, static_cast<std::size_t>(buffer.elements * kernel.layout.cell_bytes));
  LaunchOutcome outcome;
  std::vector<double> sinks(static_cast<std::size_t>(operands.num_heads), 0.0);
  while (!work.empty() && operands.num_heads > 0) {
    const auto together = [&](const SequenceWork& one) {
      return one.mask == work.front().mask && one.sequence->q_len == work.front().sequence->q_len &&
             one.sequence->kv_len == work.front().sequence->kv_len;
    };
    const auto end = std::ranges::find_if_not(work, together);
    const auto count = static_cast<std::size_t>(end - work.begin());
    const LaunchOutcome some = launch_some(kernel, operands, gradients, work.first(count), workers, sinks);
    outcome.scores_visited += some.scores_visited;
    if (!outcome.fault) outcome.fault = some.fault;
    work = work.subspan(count);
  }
  if (gradients.grad_sinks != nullptr)
    std::ranges::transform(sinks, gradients.grad_sinks, [](double x) { return static_cast<float>(x); });
  return outcome;
}

}  // namespace flexjit::runtime
