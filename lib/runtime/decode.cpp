// One decode launch: for each wave of (batch, kv head) pairs, spans and items, then the threads take items, then the states of
// each row are merged. A wave bounds the memory of states: nothing grows with batch x heads.
#include "runtime/decode.h"

#include <algorithm>
#include <cstddef>
#include <limits>
#include <span>
#include <vector>

#include "runtime/merge_states.h"
#include "runtime/parallel.h"
#include "runtime/schedule.h"
#include "runtime/spans.h"
#include "runtime/workspace.h"
#include "support/check.h"

namespace flexjit::runtime {

namespace {

constexpr std::int64_t kStateBudget = std::int64_t{16} << 20;  // bytes of states in one wave
constexpr std::int64_t kWaveItems = 1 << 14;                   // bounds the plan of a wave
// Keys of one split: few enough that a single sequence occupies many threads, enough that starting an item does not show.
constexpr std::int64_t kMinSplit = 512;
constexpr std::int64_t kMaxSplit = 4096;
constexpr std::int64_t kSplits = 32;
constexpr std::int64_t kMaxSplits = 256;  // of one pair, whatever its length
constexpr std::int64_t kSplitMultiple = 64;

std::int64_t divide_up(std::int64_t value, std::int64_t divisor) { return (value + divisor - 1) / divisor; }
std::int64_t round_up(std::int64_t value, std::int64_t multiple) { return divide_up(value, multiple) * multiple; }

std::int64_t keys_per_split(std::int64_t kv_len) {
  const std::int64_t wanted = std::clamp(divide_up(kv_len, kSplits), kMinSplit, kMaxSplit);
  return round_up(std::max(wanted, divide_up(kv_len, kMaxSplits)), kSplitMultiple);
}

struct Item {
  std::int64_t pair = 0;
  std::int32_t row_begin = 0, row_count = 0;
  std::size_t spans_begin = 0, spans_end = 0;
};

// The spans of one split of one plane: [begin, end) of the span table.
struct Split {
  std::size_t begin = 0, end = 0;
};

// What a thread needs to merge rows, with room for all states of one.
struct Merging {
  explicit Merging(std::size_t most_states) : merger(most_states) { states.reserve(most_states); }
  RowMerger merger;
  std::vector<RowState> states;
};

TraceEvent event_of(const plan::DecodeArg& arg, int thread) {
  TraceEvent event{.kind = TraceKind::kSplit,
                   .thread = thread,
                   .b = arg.b,
                   .head = arg.kv_head,
                   .q = {arg.row_begin, arg.row_begin + arg.row_count}};
  describe_spans({arg.spans, static_cast<std::size_t>(arg.span_count)}, arg.row_count, event);
  return event;
}

class Decode {
 public:
  Decode(const Kernel& kernel, const DecodeOutput& output, const plan::LaunchArg& launch, const BlockMask* mask,
         const Workers& workers)
      : kernel_(kernel),
        output_(output),
        launch_(launch),
        mask_(mask),
        workers_(workers),
        group_(launch.num_heads / launch.num_kv_heads),
        rows_(group_ * launch.q_len),
        keys_(keys_per_split(launch.kv_len)) {}

  LaunchOutcome run(Workspace& workspace);

 private:
  std::int64_t pairs() const { return std::int64_t{launch_.batch_size} * launch_.num_kv_heads; }
  std::int64_t items_per_pair() const {
    return divide_up(rows_, kernel_.layout.q_tile) * std::max<std::int64_t>(divide_up(launch_.kv_len, keys_), 1);
  }
  // Floats of the state of one item: o, then max, sum and scale of each row.
  std::int64_t state_floats() const {
    return round_up(std::int64_t{item_rows()} * (kernel_.layout.v_padded + 3), kAlignment / sizeof(float));
  }
  std::int32_t item_rows() const { return std::min(rows_, kernel_.layout.q_tile); }
  float* state_of(const Workspace& workspace, std::size_t item) const {
    return reinterpret_cast<float*>(workspace.panels.data()) + static_cast<std::int64_t>(item) * state_floats();
  }

  void plan_wave(const Wave& wave);
  void make_splits(std::int32_t b, std::int32_t kv_head);
  void attend(Workspace& workspace, std::size_t item, int thread) const;
  void merge_pair(const Workspace& workspace, std::int64_t pair, std::span<const Item> items, Merging& merging) const;
  void write_row(std::int32_t b, std::int32_t h, std::int32_t q, Merging& merging) const;
  TraceEvent merge_event(std::int64_t pair, int thread) const;

  const Kernel& kernel_;
  const DecodeOutput& output_;
  const plan::LaunchArg& launch_;
  const BlockMask* mask_;
  const Workers workers_;
  const std::int32_t group_, rows_;
  const std::int64_t keys_;
  std::int64_t items_before_ = 0;  // of the waves before, for the order of faults

  std::vector<plan::SpanArg> visited_;   // of the plane in progress, whole
  std::vector<plan::SpanArg> spans_;     // cut at splits
  std::vector<Split> splits_;            // of the plane in progress, those that are not empty
  std::vector<Item> items_;              // by pair, by rows, by split
  std::vector<std::size_t> first_item_;  // by pair of the wave, and the end
  std::vector<Merging> merging_;         // by thread
};

// Cuts what the rows of (b, kv_head) visit at multiples of keys_.
void Decode::make_splits(std::int32_t b, std::int32_t kv_head) {
  SpanMaker maker;
  maker.start(mask_, launch_.kv_len, kernel_.layout.strip);
  visited_.clear();
  splits_.clear();
  maker.append({.b = b, .h = kv_head * group_, .q_begin = 0, .q_count = launch_.q_len}, visited_);
  std::int64_t current = -1;
  for (const plan::SpanArg& span : visited_) {
    for (std::int64_t begin = span.begin; begin < span.end;) {
      const std::int64_t split = begin / keys_;
      const std::int64_t end = std::min<std::int64_t>(span.end, (split + 1) * keys_);
      if (split != current) splits_.push_back({spans_.size(), spans_.size()});
      current = split;
      spans_.push_back({static_cast<std::int32_t>(begin), static_cast<std::int32_t>(end), span.kind});
      splits_.back().end = spans_.size();
      begin = end;
    }
  }
}

void Decode::plan_wave(const Wave& wave) {
  spans_.clear();
  items_.clear();
  first_item_.clear();
  const bool by_batch = mask_ != nullptr && mask_->shape().batch > 1, by_head = mask_ != nullptr && mask_->shape().heads > 1;
  for (std::int64_t pair = wave.begin; pair < wave.end; ++pair) {
    const auto b = static_cast<std::int32_t>(pair / launch_.num_kv_heads);
    const auto kv_head = static_cast<std::int32_t>(pair % launch_.num_kv_heads);
    const bool other_plane = by_head || (by_batch && kv_head == 0);
    if (pair == wave.begin || other_plane) make_splits(b, kv_head);
    first_item_.push_back(items_.size());
    for (std::int32_t row = 0; row < rows_; row += kernel_.layout.q_tile) {
      const std::int32_t count = std::min(rows_ - row, kernel_.layout.q_tile);
      for (const Split& split : splits_) items_.push_back({pair, row, count, split.begin, split.end});
    }
  }
  first_item_.push_back(items_.size());
}

void Decode::attend(Workspace& workspace, std::size_t index, int thread) const {
  const Item& item = items_[index];
  ThreadRecord& record = workspace.records[static_cast<std::size_t>(thread)];
  record.fault.raised = 0;
  plan::DecodeArg arg{};
  arg.launch = &launch_;
  arg.b = static_cast<std::int32_t>(item.pair / launch_.num_kv_heads);
  arg.kv_head = static_cast<std::int32_t>(item.pair % launch_.num_kv_heads);
  arg.row_begin = item.row_begin;
  arg.row_count = item.row_count;
  arg.group = group_;
  arg.span_count = static_cast<std::int32_t>(item.spans_end - item.spans_begin);
  arg.spans = spans_.data() + item.spans_begin;
  arg.o = state_of(workspace, index);
  arg.max = arg.o + std::int64_t{item_rows()} * kernel_.layout.v_padded;
  arg.sum = arg.max + item_rows();
  arg.scale = arg.sum + item_rows();
  arg.scratch = workspace.scratch.data() + thread * round_up(kernel_.layout.scratch_bytes, kAlignment);
  arg.fault = &record.fault;
  traced(workers_.trace, [&] { kernel_.decode(&arg); }, [&] { return event_of(arg, thread); });
  record.scores_visited += item.row_count * columns_of({arg.spans, static_cast<std::size_t>(arg.span_count)});
  record.note_fault(items_before_ + static_cast<std::int64_t>(index));
}

TraceEvent Decode::merge_event(std::int64_t pair, int thread) const {
  return {.kind = TraceKind::kMerge,
          .thread = thread,
          .b = static_cast<std::int32_t>(pair / launch_.num_kv_heads),
          .head = static_cast<std::int32_t>(pair % launch_.num_kv_heads),
          .q = {0, rows_}};
}

// `items` are those of the pair.
void Decode::merge_pair(const Workspace& workspace, std::int64_t pair, std::span<const Item> items, Merging& merging) const {
  const auto b = static_cast<std::int32_t>(pair / launch_.num_kv_heads);
  const auto first_head = static_cast<std::int32_t>(pair % launch_.num_kv_heads) * group_;
  for (std::int32_t row = 0; row < rows_; ++row) {
    merging.states.clear();
    for (const Item& item : items) {
      const std::int64_t local = std::int64_t{row} - item.row_begin;
      if (local < 0 || local >= item.row_count) continue;
      const float* o = state_of(workspace, static_cast<std::size_t>(&item - items_.data()));
      const float* max = o + std::int64_t{item_rows()} * kernel_.layout.v_padded;
      const float *sum = max + item_rows(), *scale = sum + item_rows();
      merging.states.push_back({o + local * kernel_.layout.v_padded, DType::kF32, max[local], sum[local], scale[local]});
    }
    write_row(b, first_head + row / launch_.q_len, row % launch_.q_len, merging);
  }
}

void Decode::write_row(std::int32_t b, std::int32_t h, std::int32_t q, Merging& merging) const {
  const plan::TensorArg& out = launch_.out;
  const std::int64_t at = b * out.stride_batch + h * out.stride_head + q * out.stride_row;
  void* target = static_cast<std::byte*>(out.data) + at * static_cast<std::int64_t>(size_of(output_.dtype));
  const std::int64_t dim = kernel_.layout.v_head_dim;
  const auto write = [&](const plan::RowArg& rows, float value) {
    if (rows.data != nullptr) rows.data[b * rows.stride_batch + h * rows.stride_head + q * rows.stride_row] = value;
  };
  switch (output_.weights) {
    case plan::Weights::kSigmoid: merging.merger.add(merging.states, dim, target, output_.dtype); return;
    case plan::Weights::kSoftmax: break;
  }
  constexpr float kNone = -std::numeric_limits<float>::infinity();
  float max = kNone;
  for (const RowState& state : merging.states) max = std::max(max, state.max);
  // A sink is a state whose weight is 1 at its logit and whose values are 0.
  if (launch_.sinks != nullptr && launch_.sinks[h] != kNone)
    merging.states.push_back({nullptr, DType::kF32, launch_.sinks[h], 1});
  write(launch_.lse, log_sum(merging.merger.merge(merging.states, dim, target, output_.dtype)));
  write(launch_.max_scores, max);
}

LaunchOutcome Decode::run(Workspace& workspace) {
  const std::int64_t item_bytes = state_floats() * static_cast<std::int64_t>(sizeof(float));
  const std::int64_t fitting = std::min(kStateBudget / (item_bytes * items_per_pair()), kWaveItems / items_per_pair());
  const std::int64_t wave_pairs = std::clamp<std::int64_t>(fitting, 1, pairs());
  workspace.scratch.reserve(static_cast<std::size_t>(round_up(kernel_.layout.scratch_bytes, kAlignment) * workers_.threads));
  workspace.records.assign(static_cast<std::size_t>(workers_.threads), ThreadRecord{});
  // A thread cannot report that it found no memory, so what it needs is made here.
  const auto most_states = static_cast<std::size_t>(divide_up(launch_.kv_len, keys_) + 1);
  merging_.clear();
  for (int thread = 0; thread < workers_.threads; ++thread) merging_.emplace_back(most_states);
  for (std::int64_t begin = 0; begin < pairs(); begin += wave_pairs) {
    const Wave wave{begin, std::min(begin + wave_pairs, pairs())};
    {
      const TracedPhase phase(workers_.trace, TraceKind::kPlan);
      plan_wave(wave);
    }
    workspace.panels.reserve(items_.size() * static_cast<std::size_t>(item_bytes));
    parallel_for(workers_.threads, static_cast<std::int64_t>(items_.size()),
                 [&](std::int64_t item, int thread) noexcept { attend(workspace, static_cast<std::size_t>(item), thread); });
    parallel_for(workers_.threads, wave.end - wave.begin, [&](std::int64_t i, int thread) noexcept {
      const std::size_t first = first_item_[static_cast<std::size_t>(i)], end = first_item_[static_cast<std::size_t>(i) + 1];
      const std::span<const Item> items = std::span<const Item>(items_).subspan(first, end - first);
      const std::int64_t pair = wave.begin + i;
      traced(
          workers_.trace, [&] { merge_pair(workspace, pair, items, merging_[static_cast<std::size_t>(thread)]); },
          [&] { return merge_event(pair, thread); });
    });
    items_before_ += static_cast<std::int64_t>(items_.size());
  }
  return gather(workspace.records);
}

WorkspacePool& pool() {
  static WorkspacePool instance;
  return instance;
}

}  // namespace

bool serves_decode(const BlockMaskShape& mask, const plan::LaunchArg& launch) {
  const bool one_plane = mask.heads == 1 || launch.num_heads == launch.num_kv_heads;
  return one_plane && launch.q_len <= mask.q_block;
}

LaunchOutcome decode(const Kernel& kernel, const DecodeOutput& output, const plan::LaunchArg& launch, const BlockMask* mask,
                     const Workers& workers) {
  if (launch.batch_size <= 0 || launch.num_heads <= 0 || launch.q_len <= 0) return {};
  FLEXJIT_CHECK(workers.threads > 0 && kernel.decode != nullptr && launch.num_kv_heads > 0 &&
                launch.num_heads % launch.num_kv_heads == 0);
  FLEXJIT_CHECK(mask == nullptr || serves_decode(mask->shape(), launch));
  const WorkspacePool::Lease lease(pool());
  return Decode(kernel, output, launch, mask, workers).run(*lease);
}

}  // namespace flexjit::runtime
