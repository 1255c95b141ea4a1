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
#include "runtime/rows/rows.h"
#include "runtime/workspace.h"
#include "support/check.h"
#include "support/rounding.h"

namespace flexjit::runtime {

namespace {

using support::round_up;

// Keys that a head reads in its turn: those of all heads stay in the second-level cache.
constexpr std::int32_t kPiece = 32;

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

// What one thread needs for heads that take turns.
struct HeadTurns {
  explicit HeadTurns(std::int32_t heads)
      : args(static_cast<std::size_t>(heads)), runs(args.size() * 2), k_next(kPiece), v_next(kPiece) {
    piece.reserve(2 * kPiece);
  }
  std::vector<plan::DecodeArg> args;
  std::vector<plan::KeyRun> runs;  // two of a head: of its pieces, and of all keys
  std::vector<plan::SpanArg> all_spans, piece;
  std::vector<std::int32_t> k_next, v_next;

  void cut(std::span<const plan::SpanArg> spans, std::int64_t begin, std::int64_t end) {
    piece.clear();
    for (plan::SpanArg span : spans) {
      span.begin = static_cast<std::int32_t>(std::max<std::int64_t>(span.begin, begin));
      span.end = static_cast<std::int32_t>(std::min<std::int64_t>(span.end, end));
      if (span.begin < span.end) piece.push_back(span);
    }
  }

  // What is prefetched with the keys from `begin` on of head `head` of `count`: its share of the rows of all heads of the next
  // piece.
  struct Share {
    std::int64_t begin, head, count;
  };
  void list_next(const Keys& keys, const Keys::Listed& rows, const Share& share, plan::KeyRun& run) {
    const std::int64_t first = share.head * kPiece;
    auto at = static_cast<std::size_t>(std::max<std::int64_t>(share.begin + kPiece + first / share.count - rows.begin, 0));
    auto head = static_cast<std::int32_t>(first % share.count), own = static_cast<std::int32_t>(share.head);
    const std::int32_t k_apart = keys.k_numbers_between_heads(), v_apart = keys.v_numbers_between_heads();
    for (std::size_t i = 0; i < static_cast<std::size_t>(kPiece); ++i) {
      k_next[i] = rows.k_rows[at] + (head - own) * k_apart;
      v_next[i] = rows.v_rows[at] + (head - own) * v_apart;
      if (++head < share.count) continue;
      head = 0;
      ++at;
    }
    run.k_to_come = from_key_0(k_next, static_cast<std::int32_t>(share.begin));
    run.v_to_come = from_key_0(v_next, static_cast<std::int32_t>(share.begin));
  }
};

class Decode {
 public:
  Decode(const Kernel& kernel, const DecodeOutput& output, const plan::Operands& operands, const DecodeWork& work,
         const Workers& workers, DecodePlan& plan)
      : kernel_(kernel),
        output_(output),
        launch_(operands.launch()),
        rows_(operands, kernel.layout),
        keys_(operands, kernel.layout),
        work_(work),
        workers_(workers),
        plan_(plan) {
    plan_.start(work);
  }

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
  void attend(Workspace& workspace, std::int64_t turn, int thread) const;
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
  Keys::Listed list_keys(Workspace& workspace, const plan::Sequence& sequence, std::span<const plan::SpanArg> spans,
                         int thread) const;
  plan::DecodeArg arg_of(Workspace& workspace, std::int64_t reading, int thread, std::int64_t place) const;
  void attend_heads(Workspace& workspace, std::span<const std::int64_t> turn, int thread) const;
  std::int64_t scratch_bytes() const { return round_up(kernel_.layout.scratch_bytes, kAlignment); }
  void write_row(const plan::QueryRow& row, Merging& merging) const;

  const Kernel& kernel_;
  const DecodeOutput& output_;
  const plan::LaunchArg launch_;
  const Rows rows_;
  const Keys keys_;
  const DecodeWork work_;
  const Workers workers_;
  DecodePlan& plan_;
  std::int64_t items_before_ = 0;         // of the waves before, for the order of faults
  std::vector<Merging> merging_;          // by thread
  mutable std::vector<HeadTurns> turns_;  // by thread
};

// The keys of a sequence with pages are listed for each item, from the first step that it visits to the last.
Keys::Listed Decode::list_keys(Workspace& workspace, const plan::Sequence& sequence, std::span<const plan::SpanArg> spans,
                               int thread) const {
  const std::int32_t begin = spans.front().begin / work_.strip * work_.strip;
  const std::int64_t behind = std::max<std::int64_t>(kernel_.layout.keys_to_come, 2 * kPiece);
  const auto end = static_cast<std::size_t>(round_up(spans.back().end, work_.strip) + behind);
  const std::span<std::int32_t> numbers = workspace.key_rows[static_cast<std::size_t>(thread)];
  const std::size_t count = end - static_cast<std::size_t>(begin);
  const Keys::Listed rows{numbers.first(count), numbers.subspan(numbers.size() / 2, count), begin};
  keys_.list(sequence, rows);
  return rows;
}

// All but its keys and spans. `place`: of its rows and scratch, among those of the thread.
plan::DecodeArg Decode::arg_of(Workspace& workspace, std::int64_t reading, int thread, std::int64_t place) const {
  const std::span<const std::size_t> indices = plan_.reading(reading);
  const DecodeItem& item = plan_.items()[indices.front()];
  const plan::Sequence& sequence = sequence_of(item.rows);
  plan::DecodeArg arg{};
  arg.launch = &launch_;
  arg.b = sequence.b;
  arg.kv_head = item.rows.kv_head;
  arg.q_len = sequence.q_len;
  arg.kv_len = sequence.kv_len;
  arg.q_offset = sequence.q_offset;
  arg.kv_offset = sequence.kv_offset;
  arg.row_count = item.block_rows;
  const std::int32_t most_rows = work_.q_tile * work_.heads_together;
  const auto first = static_cast<std::size_t>(place * work_.q_tile);
  const std::span<plan::QueryRow> rows = workspace.rows_of(thread, most_rows, most_rows).subspan(first);
  for (std::size_t index : indices) {
    const DecodeItem& one = plan_.items()[index];
    const std::span<plan::QueryRow> own = rows.subspan(static_cast<std::size_t>(one.first_row));
    for (std::int32_t i = 0; i < one.rows.count; ++i) own[static_cast<std::size_t>(i)] = row_at(one.rows, one.rows.begin + i);
  }
  arg.rows = rows.data();
  const States states = states_of(workspace, item);
  arg.o = states.o;
  arg.max = states.max;
  arg.sum = states.sum;
  arg.scale = states.scale;
  arg.scratch = workspace.scratch.data() + (thread * std::int64_t{work_.heads_together} + place) * scratch_bytes();
  arg.fault = &workspace.records[static_cast<std::size_t>(thread)].fault;
  return arg;
}

void Decode::attend(Workspace& workspace, std::int64_t index, int thread) const {
  const std::span<const std::int64_t> turn = plan_.turn(index);
  if (turn.size() > 1) return attend_heads(workspace, turn, thread);
  const DecodeItem& item = plan_.items()[plan_.reading(turn.front()).front()];
  const std::span<const plan::SpanArg> spans = plan_.spans(item);
  plan::DecodeArg arg = arg_of(workspace, turn.front(), thread, 0);
  const plan::Sequence& sequence = sequence_of(item.rows);
  plan::KeyRun run{};
  if (sequence.pages == nullptr || spans.empty())
    run = keys_.all(sequence, arg.kv_head);
  else
    run = keys_.run_of_list(sequence, arg.kv_head, list_keys(workspace, sequence, spans, thread));
  arg.runs = &run;
  arg.span_count = arg.all_span_count = static_cast<std::int32_t>(spans.size());
  arg.spans = arg.all_spans = spans.data();
  arg.begins = arg.ends = 1;
  ThreadRecord& record = workspace.records[static_cast<std::size_t>(thread)];
  record.fault.raised = 0;
  traced(workers_.trace, [&] { kernel_.decode(&arg); }, [&] { return event_of(arg, item.rows.begin, thread); });
  record.scores_visited += arg.row_count * columns_of(spans);
  record.note_fault(items_before_ + turn.front());
}

// Heads that lie beside each other take turns over pieces of keys, so that what memory gives of a key is read while it is near.
// While a head's piece is computed, a part of the next piece of all heads is prefetched, in the order of its addresses.
void Decode::attend_heads(Workspace& workspace, std::span<const std::int64_t> turn, int thread) const {
  HeadTurns& heads = turns_[static_cast<std::size_t>(thread)];
  const DecodeItem& item = plan_.items()[plan_.reading(turn.front()).front()];
  const plan::Sequence& sequence = sequence_of(item.rows);
  const std::span<const plan::SpanArg> spans = plan_.spans(item);
  const Keys::Listed rows = list_keys(workspace, sequence, spans, thread);
  heads.all_spans.assign(spans.begin(), spans.end());
  for (plan::SpanArg& span : heads.all_spans) span.run = 1;  // which prefetches nothing of the next piece
  const auto count = static_cast<std::int64_t>(turn.size());
  for (std::int64_t head = 0; head < count; ++head) {
    plan::DecodeArg& arg = heads.args[static_cast<std::size_t>(head)];
    arg = arg_of(workspace, turn[static_cast<std::size_t>(head)], thread, head);
    plan::KeyRun* runs = &heads.runs[static_cast<std::size_t>(2 * head)];
    runs[0] = runs[1] = keys_.run_of_list(sequence, arg.kv_head, rows);
    arg.runs = runs;
    arg.all_spans = heads.all_spans.data();
    arg.all_span_count = static_cast<std::int32_t>(spans.size());
    arg.begins = 1;
  }
  ThreadRecord& record = workspace.records[static_cast<std::size_t>(thread)];
  const std::int64_t end = spans.back().end;
  for (std::int64_t piece = spans.front().begin / kPiece * kPiece; piece < end; piece += kPiece) {
    heads.cut(spans, piece, piece + kPiece);
    if (heads.piece.empty()) continue;
    for (std::int64_t head = 0; head < count; ++head) {
      plan::DecodeArg& arg = heads.args[static_cast<std::size_t>(head)];
      heads.list_next(keys_, rows, {piece, head, count}, heads.runs[static_cast<std::size_t>(2 * head)]);
      arg.spans = heads.piece.data();
      arg.span_count = static_cast<std::int32_t>(heads.piece.size());
      arg.ends = piece + kPiece >= end ? 1 : 0;
      record.fault.raised = 0;
      traced(workers_.trace, [&] { kernel_.decode(&arg); }, [&] { return event_of(arg, item.rows.begin, thread); });
      record.scores_visited += arg.row_count * columns_of(heads.piece);
      record.note_fault(items_before_ + turn[static_cast<std::size_t>(head)]);
      arg.begins = 0;
    }
  }
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
    case plan::Weights::kLinear:
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
  std::size_t most_spans = 0;
  for (const DecodeItem& item : plan_.items()) most_spans = std::max(most_spans, item.spans_end - item.spans_begin);
  if (work_.heads_together > 1) {
    for (HeadTurns& heads : turns_) heads.all_spans.reserve(most_spans);
  }
  const std::int64_t items = plan_.turns();
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
  items_before_ += plan_.readings();
}

LaunchOutcome Decode::run(Workspace& workspace) {
  const std::int64_t places = std::int64_t{workers_.threads} * work_.heads_together;
  workspace.scratch.reserve(static_cast<std::size_t>(scratch_bytes() * places));
  workspace.records.assign(static_cast<std::size_t>(workers_.threads), ThreadRecord{});
  workspace.reserve_rows(workers_.threads, work_.q_tile * work_.heads_together);
  if (work_.heads_together > 1) turns_.assign(static_cast<std::size_t>(workers_.threads), HeadTurns(work_.heads_together));
  // A thread cannot report that it found no memory, so what it needs is made here: a state a split, and a sink.
  const auto most_states = static_cast<std::size_t>(work_.most_splits() + 1);
  merging_.clear();
  for (int thread = 0; thread < workers_.threads; ++thread) merging_.emplace_back(most_states);
  if (work_.page_size > 0 || work_.heads_together > 1) {
    std::int64_t longest = 0;  // split
    for (const SequenceWork& of : work_.sequences) longest = std::max(longest, keys_per_split(of.sequence->kv_len));
    const std::int64_t behind = std::max<std::int64_t>(kernel_.layout.keys_to_come, 2 * kPiece);
    const std::int64_t rows = round_up(longest, work_.strip) + work_.strip + behind;
    workspace.key_rows.resize(static_cast<std::size_t>(workers_.threads));
    for (auto& numbers : workspace.key_rows) numbers.resize(static_cast<std::size_t>(2 * rows));
  }
  const std::int64_t chunks = plan_.chunks(), wave_chunks = plan_.chunks_per_wave();
  for (std::int64_t begin = 0; begin < chunks; begin += wave_chunks) {
    run_wave(workspace, {begin, std::min(begin + wave_chunks, chunks)});
  }
  return gather(workspace.records);
}

// Of heads that lie beside each other so many that each thread has a few turns. Numbers of rows have 32 bits.
std::int32_t heads_together(const Kernel& kernel, const plan::Operands& operands, const DecodeWork& work, int threads) {
  const Keys keys(operands, kernel.layout);
  // Scales are found by the number of a row, which is that of its key here.
  const bool has_scales = operands.k_scales.data != nullptr || operands.v_scales.data != nullptr;
  if (work.kv_heads == 1 || !keys.by_token() || has_scales) return 1;
  constexpr std::int64_t kTurns = 4;  // of a thread
  std::int64_t splits = 0, longest = 0;
  for (const SequenceWork& of : work.sequences) {
    splits += splits_of(of.sequence->kv_len);
    longest = std::max<std::int64_t>(longest, of.sequence->kv_len);
  }
  const std::int64_t rows =
      std::max(operands.k.stride_row / Keys::unit_of(operands.k), operands.v.stride_row / Keys::unit_of(operands.v));
  if (longest * rows > std::numeric_limits<std::int32_t>::max()) return 1;
  const std::int64_t heads = threads == 1 ? work.kv_heads : splits * work.kv_heads / (kTurns * threads);
  return static_cast<std::int32_t>(std::clamp<std::int64_t>(heads, 1, work.kv_heads));
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
  DecodeWork of{.sequences = work,
                .kv_heads = operands.num_kv_heads,
                .group = operands.num_heads / operands.num_kv_heads,
                .q_tile = kernel.layout.q_tile,
                .strip = kernel.layout.strip,
                .row_floats = std::int64_t{kernel.layout.v_padded} + 3,  // o, then max, sum and scale
                .page_size = operands.page_size,
                .origin = rules.origin,
                .rows_mix = rules.rows_mix};
  for (const SequenceWork& sequence : work) FLEXJIT_CHECK(of.rows(sequence) <= std::numeric_limits<std::int32_t>::max());
  of.heads_together = heads_together(kernel, operands, of, workers.threads);
  const WorkspacePool::Lease lease(decode_workspaces());
  return Decode(kernel, output, operands, of, workers, (*lease).decode_plan).run(*lease);
}

}  // namespace flexjit::runtime
