// One decode launch: for each wave of rows, spans and items, then the threads take items, then the states of each row are
// merged. A wave bounds the memory of states: nothing grows with batch x heads x rows.
#include "runtime/decode/decode.h"

#include <algorithm>
#include <cstddef>
#include <limits>
#include <span>
#include <vector>

#include "runtime/decode/decode_plan.h"
#include "runtime/merge_states.h"
#include "runtime/parallel.h"
#include "runtime/rows.h"
#include "runtime/workspace.h"
#include "support/check.h"
#include "support/rounding.h"

namespace flexjit::runtime {

namespace {

using support::round_up;

// What a thread needs to merge rows, with room for all states of one.
struct Merging {
  explicit Merging(std::size_t most_states) : merger(most_states) { states.reserve(most_states); }
  RowMerger merger;
  std::vector<RowState> states;
};

TraceEvent event_of(const plan::DecodeArg& arg, std::int64_t row_begin, int thread) {
  const auto begin = static_cast<std::int32_t>(row_begin);
  TraceEvent event{
      .kind = TraceKind::kSplit, .thread = thread, .b = arg.b, .head = arg.kv_head, .q = {begin, begin + arg.row_count}};
  describe_spans({arg.spans, static_cast<std::size_t>(arg.span_count)}, arg.row_count, event);
  return event;
}

TraceEvent merge_event(std::int32_t b, const DecodeRows& rows, int thread) {
  const auto begin = static_cast<std::int32_t>(rows.begin);
  return {.kind = TraceKind::kMerge, .thread = thread, .b = b, .head = rows.kv_head, .q = {begin, begin + rows.count}};
}

class Decode {
 public:
  Decode(const Kernel& kernel, const DecodeOutput& output, const plan::Operands& operands, const DecodeWork& work,
         const Workers& workers)
      : kernel_(kernel),
        output_(output),
        operands_(operands),
        launch_(operands.launch()),
        rows_(operands, kernel.layout),
        keys_(operands, kernel.layout),
        work_(work),
        workers_(workers),
        plan_(work) {}

  LaunchOutcome run(Workspace& workspace);

 private:
  // State of the rows of an item, in the block that has it.
  struct States {
    float *o, *max, *sum, *scale;
  };
  States states_of(const Workspace& workspace, const DecodeItem& item) const {
    float* o = reinterpret_cast<float*>(workspace.panels.data()) + item.state;
    float* max = o + std::int64_t{item.block_rows} * kernel_.layout.v_padded + item.first_row;
    return {o + std::int64_t{item.first_row} * kernel_.layout.v_padded, max, max + item.block_rows, max + 2 * item.block_rows};
  }
  void run_wave(Workspace& workspace, const Wave& wave);
  void attend(Workspace& workspace, std::int64_t reading, int thread) const;
  void merge_rows(const Workspace& workspace, std::int64_t chunk, Merging& merging) const;
  const plan::Sequence& sequence_of(const DecodeRows& rows) const {
    return *work_.sequences[static_cast<std::size_t>(rows.sequence)].sequence;
  }
  // Row r of those that share a kv head is query r % q_len of head kv_head * group + r / q_len.
  plan::QueryRow row_at(const DecodeRows& rows, std::int64_t row) const {
    const plan::Sequence& sequence = sequence_of(rows);
    const std::int64_t head = std::int64_t{rows.kv_head} * work_.group + row / sequence.q_len;
    return rows_.at(sequence, static_cast<std::int32_t>(head), static_cast<std::int32_t>(row % sequence.q_len));
  }
  plan::KeyRun run_of(Workspace& workspace, const DecodeRows& rows, std::span<const plan::SpanArg> spans, int thread) const;
  void write_row(const plan::QueryRow& row, Merging& merging) const;

  const Kernel& kernel_;
  const DecodeOutput& output_;
  const plan::Operands& operands_;
  const plan::LaunchArg launch_;
  const Rows rows_;
  const Keys keys_;
  const DecodeWork work_;
  const Workers workers_;
  DecodePlan plan_;
  std::int64_t items_before_ = 0;  // of the waves before, for the order of faults
  std::vector<Merging> merging_;   // by thread
};

// The keys of a sequence with pages are listed for each item, from the first step that it visits to the last.
plan::KeyRun Decode::run_of(Workspace& workspace, const DecodeRows& rows, std::span<const plan::SpanArg> spans,
                            int thread) const {
  const plan::Sequence& sequence = sequence_of(rows);
  if (sequence.pages == nullptr || spans.empty()) return keys_.all(sequence, rows.kv_head);
  const std::int32_t begin = spans.front().begin / work_.strip * work_.strip;
  const auto end = static_cast<std::size_t>(round_up(spans.back().end, work_.strip) + kernel_.layout.keys_to_come);
  const std::span<std::int32_t> numbers = workspace.key_rows[static_cast<std::size_t>(thread)];
  const std::size_t count = end - static_cast<std::size_t>(begin);
  return keys_.listed(sequence, rows.kv_head, {numbers.first(count), numbers.subspan(numbers.size() / 2, count), begin});
}

void Decode::attend(Workspace& workspace, std::int64_t reading, int thread) const {
  const std::span<const std::size_t> indices = plan_.reading(reading);
  const DecodeItem& item = plan_.items()[indices.front()];
  const std::span<const plan::SpanArg> spans = plan_.spans(item);
  ThreadRecord& record = workspace.records[static_cast<std::size_t>(thread)];
  record.fault.raised = 0;
  plan::DecodeArg arg{};
  arg.launch = &launch_;
  const plan::Sequence& sequence = sequence_of(item.rows);
  arg.b = sequence.b;
  arg.kv_head = item.rows.kv_head;
  arg.q_len = sequence.q_len;
  arg.kv_len = sequence.kv_len;
  arg.q_offset = sequence.q_offset;
  arg.kv_offset = sequence.kv_offset;
  arg.row_count = item.block_rows;
  const std::span<plan::QueryRow> rows = workspace.rows_of(thread, work_.q_tile, arg.row_count);
  for (std::size_t index : indices) {
    const DecodeItem& one = plan_.items()[index];
    for (std::int32_t i = 0; i < one.rows.count; ++i)
      rows[static_cast<std::size_t>(one.first_row + i)] = row_at(one.rows, one.rows.begin + i);
  }
  arg.rows = rows.data();
  const plan::KeyRun run = run_of(workspace, item.rows, spans, thread);
  arg.runs = &run;
  arg.span_count = static_cast<std::int32_t>(spans.size());
  arg.spans = spans.data();
  const States states = states_of(workspace, item);
  arg.o = states.o;
  arg.max = states.max;
  arg.sum = states.sum;
  arg.scale = states.scale;
  arg.scratch = workspace.scratch.data() + thread * round_up(kernel_.layout.scratch_bytes, kAlignment);
  arg.fault = &record.fault;
  traced(workers_.trace, [&] { kernel_.decode(&arg); }, [&] { return event_of(arg, item.rows.begin, thread); });
  record.scores_visited += arg.row_count * columns_of(spans);
  record.note_fault(items_before_ + reading);
}

void Decode::merge_rows(const Workspace& workspace, std::int64_t chunk, Merging& merging) const {
  const DecodeRows rows = plan_.rows_of(chunk);
  for (std::int64_t row = rows.begin; row < rows.begin + rows.count; ++row) {
    merging.states.clear();
    for (const DecodeItem& item : plan_.items_of(chunk)) {
      const std::int64_t local = row - item.rows.begin;
      if (local < 0 || local >= item.rows.count) continue;
      const States of = states_of(workspace, item);
      const float* o = of.o + local * kernel_.layout.v_padded;
      merging.states.push_back({o, DType::kF32, of.max[local], of.sum[local], of.scale[local]});
    }
    write_row(row_at(rows, row), merging);
  }
}

void Decode::write_row(const plan::QueryRow& row, Merging& merging) const {
  void* target = row.out;
  const std::int64_t dim = kernel_.layout.v_head_dim;
  const auto write = [](float* at, float value) {
    if (at != nullptr) *at = value;
  };
  switch (output_.weights) {
    case plan::Weights::kSigmoid: merging.merger.add(merging.states, dim, target, output_.dtype); return;
    case plan::Weights::kSoftmax: break;
  }
  constexpr float kNone = -std::numeric_limits<float>::infinity();
  float max = kNone;
  for (const RowState& state : merging.states) max = std::max(max, state.max);
  // A sink is a state whose weight is 1 at its logit and whose values are 0; alone, it is the lse whatever it is.
  const float sink = launch_.sinks != nullptr ? launch_.sinks[row.h] : kNone;
  const bool is_alone = std::ranges::all_of(merging.states, [](const RowState& state) { return state.sum == 0; });
  if (sink != kNone && !is_alone) merging.states.push_back({nullptr, DType::kF32, sink, 1});
  const RowTotal total = merging.merger.merge(merging.states, dim, target, output_.dtype);
  write(static_cast<float*>(row.lse), is_alone ? sink : log_sum(total));
  write(row.max_scores, max);
}

void Decode::run_wave(Workspace& workspace, const Wave& wave) {
  {
    const TracedPhase phase(workers_.trace, TraceKind::kPlan);
    plan_.plan(wave);
  }
  workspace.panels.reserve(static_cast<std::size_t>(plan_.state_floats()) * sizeof(float));
  const std::int64_t items = plan_.readings();
  parallel_for(workers_.threads, items, [&](std::int64_t item, int thread) noexcept { attend(workspace, item, thread); });
  parallel_for(workers_.threads, wave.end - wave.begin, [&](std::int64_t i, int thread) noexcept {
    const std::int64_t chunk = wave.begin + i;
    traced(
        workers_.trace, [&] { merge_rows(workspace, chunk, merging_[static_cast<std::size_t>(thread)]); },
        [&] {
          const DecodeRows rows = plan_.rows_of(chunk);
          return merge_event(sequence_of(rows).b, rows, thread);
        });
  });
  items_before_ += items;
}

LaunchOutcome Decode::run(Workspace& workspace) {
  workspace.scratch.reserve(static_cast<std::size_t>(round_up(kernel_.layout.scratch_bytes, kAlignment) * workers_.threads));
  workspace.records.assign(static_cast<std::size_t>(workers_.threads), ThreadRecord{});
  workspace.reserve_rows(workers_.threads, work_.q_tile);
  // A thread cannot report that it found no memory, so what it needs is made here: a state a split, and a sink.
  const auto most_states = static_cast<std::size_t>(work_.most_splits() + 1);
  merging_.clear();
  for (int thread = 0; thread < workers_.threads; ++thread) merging_.emplace_back(most_states);
  if (work_.page_size > 0) {
    std::int64_t longest = 0;  // split
    for (const SequenceWork& of : work_.sequences) longest = std::max(longest, keys_per_split(of.sequence->kv_len));
    const std::int64_t rows = round_up(longest, work_.strip) + work_.strip + kernel_.layout.keys_to_come;
    workspace.key_rows.resize(static_cast<std::size_t>(workers_.threads));
    for (auto& numbers : workspace.key_rows) numbers.resize(static_cast<std::size_t>(2 * rows));
  }
  const std::int64_t chunks = plan_.chunks(), wave_chunks = plan_.chunks_per_wave();
  for (std::int64_t begin = 0; begin < chunks; begin += wave_chunks) {
    run_wave(workspace, {begin, std::min(begin + wave_chunks, chunks)});
  }
  return gather(workspace.records);
}

WorkspacePool& decode_workspaces() {
  static WorkspacePool instance;
  return instance;
}

}  // namespace

LaunchOutcome decode(const Kernel& kernel, const DecodeOutput& output, const plan::Operands& operands,
                     std::span<const SequenceWork> work, const DecodeRules& rules, const Workers& workers) {
  if (work.empty() || operands.num_heads <= 0) return {};
  FLEXJIT_CHECK(workers.threads > 0 && kernel.decode != nullptr && operands.num_kv_heads > 0 &&
                operands.num_heads % operands.num_kv_heads == 0);
  const DecodeWork of{.sequences = work,
                      .kv_heads = operands.num_kv_heads,
                      .group = operands.num_heads / operands.num_kv_heads,
                      .q_tile = kernel.layout.q_tile,
                      .strip = kernel.layout.strip,
                      .row_floats = std::int64_t{kernel.layout.v_padded} + 3,  // o, then max, sum and scale
                      .page_size = operands.page_size,
                      .origin = rules.origin,
                      .rows_mix = rules.rows_mix};
  for (const SequenceWork& sequence : work) FLEXJIT_CHECK(of.rows(sequence) <= std::numeric_limits<std::int32_t>::max());
  const WorkspacePool::Lease lease(decode_workspaces());
  return Decode(kernel, output, operands, of, workers).run(*lease);
}

}  // namespace flexjit::runtime
