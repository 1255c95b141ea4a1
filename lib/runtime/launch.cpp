// One launch: for each wave of (sequence, kv head) pairs, pack K (and V where the kernel wants it), then let the threads take
// query tiles. Each output row is computed by one item alone, so the bits do not depend on the number of threads.
#include "runtime/launch.h"

#include <algorithm>

#include "runtime/parallel.h"
#include "runtime/rows/pack.h"
#include "runtime/rows/rows.h"
#include "runtime/workspace.h"
#include "support/check.h"
#include "support/rounding.h"

namespace flexjit::runtime {

namespace {

using support::round_up;

// Bytes of packed K and V in one wave: by thread, so many are attended to while they are in its second-level cache; more only
// to give every thread its items, so that all finish together.
constexpr std::int64_t kCachedPanels = std::int64_t{512} << 10;
constexpr std::int64_t kPanelBudget = std::int64_t{16} << 20;
constexpr std::int64_t kThreadItems = 8;
constexpr std::int64_t kPrefillWaveItems = 1 << 16;  // bounds the plan of a wave
// Columns whose packed keys are whole cache lines, whatever the head dim: packed memory begins at a multiple of these.
constexpr std::int32_t kBeginMultiple = 64;

struct Job {
  const Kernel& kernel;
  const plan::Operands& operands;
  const plan::LaunchArg launch;
  Workers workers;
  Workspace& workspace;
  const Rows rows{operands, kernel.layout};
  const plan::Sequence& first;
  const KeyPacker packer{kernel, operands, launch, first};
  std::int64_t thread_bytes = 0;  // of one thread's scratch

  const plan::Sequence& sequence(std::int64_t pair) const { return *workspace.schedule.work_of(pair).sequence; }
  std::int32_t kv_head(std::int64_t pair) const { return static_cast<std::int32_t>(pair % operands.num_kv_heads); }
  // Of one pair's packed K, and of its packed V, 0 where that is read in place.
  std::int64_t k_bytes(std::int64_t pair) const { return round_up(kernel.layout.k_bytes(columns_of(pair)), kAlignment); }
  std::int64_t v_bytes(std::int64_t pair) const {
    return round_up(packer.v_bytes(sequence(pair), columns_of(pair)), kAlignment);
  }
  // Where column 0 would lie: the memory begins with the first column that the pair visits, so that it does not grow with
  // what lies before.
  std::byte* k_panels(const Wave& wave, std::int64_t pair) const {
    return address_at(memory(wave, pair), kernel.layout.k_bytes(0) - kernel.layout.k_bytes(begin_of(pair)));
  }
  std::byte* v_rows(const Wave& wave, std::int64_t pair) const {
    if (v_bytes(pair) == 0) return nullptr;
    return address_at(memory(wave, pair) + k_bytes(pair), -packer.v_bytes(sequence(pair), begin_of(pair)));
  }

 private:
  std::byte* memory(const Wave& wave, std::int64_t pair) const {
    return workspace.panels.data() + workspace.pair_begins[static_cast<std::size_t>(pair - wave.begin)];
  }
  std::int32_t begin_of(std::int64_t pair) const {
    return workspace.schedule.reach(pair).begin / kBeginMultiple * kBeginMultiple;
  }
  // From the first that the pair visits to the last, in whole panels: packing may fill the last one.
  std::int32_t columns_of(std::int64_t pair) const {
    const Reach reach = workspace.schedule.reach(pair);
    return static_cast<std::int32_t>(round_up(reach.end, kernel.layout.lanes)) - begin_of(pair);
  }
};

// The pairs from `begin` on: at least an item for every thread, and never so many that the plan grows large.
std::int64_t end_of_wave(const Job& job, std::int64_t begin) {
  const Schedule& schedule = job.workspace.schedule;
  const std::int64_t threads = job.workers.threads;
  std::int64_t bytes = 0, items = 0, end = begin;
  while (end < schedule.pairs()) {
    const WorkShape shape = schedule.shape_of(end);
    bytes += job.kernel.layout.k_bytes(shape.kv_len) + job.packer.v_bytes(*schedule.work_of(end).sequence, shape.kv_len);
    const bool is_short = items < threads || (threads > 1 && items < threads * kThreadItems && bytes <= kPanelBudget);
    items += shape.group() * shape.q_tiles();
    if (end > begin && (items > kPrefillWaveItems || (bytes > threads * kCachedPanels && !is_short))) break;
    ++end;
  }
  return end;
}

TraceEvent event_of(const plan::TileArg& tile, int thread) {
  TraceEvent event{.kind = TraceKind::kTile,
                   .thread = thread,
                   .b = tile.b,
                   .head = tile.h,
                   .q = {tile.q_begin, tile.q_begin + tile.q_count}};
  describe_spans({tile.spans, static_cast<std::size_t>(tile.span_count)}, tile.q_count, event);
  return event;
}

void reserve_panels(Job& job, const Wave& wave) {
  std::vector<std::int64_t>& begins = job.workspace.pair_begins;
  begins.assign(1, 0);
  for (std::int64_t pair = wave.begin; pair < wave.end; ++pair)
    begins.push_back(begins.back() + job.k_bytes(pair) + job.v_bytes(pair));
  job.workspace.panels.reserve(static_cast<std::size_t>(begins.back()));
}

void pack_wave(const Job& job, const Wave& wave) {
  const std::span<const PackItem> items = job.workspace.schedule.packs();
  parallel_for(job.workers.threads, static_cast<std::int64_t>(items.size()), [&](std::int64_t i, int thread) noexcept {
    const PackItem& item = items[static_cast<std::size_t>(i)];
    const PackTarget target{job.k_panels(wave, item.pair), job.v_rows(wave, item.pair),
                            job.workspace.scratch.data() + thread * job.thread_bytes};
    const plan::Sequence& sequence = job.sequence(item.pair);
    const std::int32_t kv_head = job.kv_head(item.pair);
    traced(
        job.workers.trace, [&] { job.packer.pack(sequence, kv_head, {item.columns.begin, item.columns.end}, target); },
        [&] {
          return TraceEvent{.kind = TraceKind::kPack,
                            .thread = thread,
                            .b = sequence.b,
                            .head = kv_head,
                            .kv = {item.columns.begin, item.columns.end}};
        });
  });
}

plan::TileArg tile_of(const Job& job, const Wave& wave, const Item& item) {
  const std::span<const plan::SpanArg> spans = job.workspace.schedule.spans(item);
  const plan::Sequence& sequence = job.sequence(item.pair);
  plan::TileArg tile{};
  tile.launch = &job.launch;
  tile.b = sequence.b;
  tile.h = item.h;
  tile.kv_head = job.kv_head(item.pair);
  tile.q_len = sequence.q_len;
  tile.kv_len = sequence.kv_len;
  tile.q_begin = item.q_begin;
  tile.q_count = item.q_count;
  tile.q_offset = sequence.q_offset;
  tile.kv_offset = sequence.kv_offset;
  tile.span_count = static_cast<std::int32_t>(spans.size());
  tile.spans = spans.data();
  tile.k_panels = job.k_panels(wave, item.pair);
  tile.v_rows = job.v_rows(wave, item.pair);
  tile.v_stride = job.kernel.layout.v_padded;
  if (tile.v_rows == nullptr) {
    const plan::KeyRun run = job.packer.keys().all(sequence, tile.kv_head);
    tile.v_rows = run.v;
    tile.v_stride = run.v_stride;
  }
  return tile;
}

void attend_wave(const Job& job, const Wave& wave) {
  const std::span<const Item> items = job.workspace.schedule.items();
  parallel_for(job.workers.threads, static_cast<std::int64_t>(items.size()), [&](std::int64_t i, int thread) noexcept {
    const Item& item = items[static_cast<std::size_t>(i)];
    ThreadRecord& record = job.workspace.records[static_cast<std::size_t>(thread)];
    record.fault.raised = 0;
    plan::TileArg tile = tile_of(job, wave, item);
    const std::span<plan::QueryRow> of_item = job.workspace.rows_of(thread, job.kernel.layout.q_tile, item.q_count);
    job.rows.fill(job.sequence(item.pair), item.h, item.q_begin, of_item);
    tile.rows = of_item.data();
    tile.q_ahead = job.rows.q_bytes(job.kernel.layout.q_tile);
    tile.scratch = job.workspace.scratch.data() + thread * job.thread_bytes;
    tile.fault = &record.fault;
    traced(job.workers.trace, [&] { job.kernel.attend(&tile); }, [&] { return event_of(tile, thread); });
    record.scores_visited += item.q_count * columns_of({tile.spans, static_cast<std::size_t>(tile.span_count)});
    record.note_fault(item.index);
  });
}

void run_wave(Job& job, const Wave& wave) {
  {
    const TracedPhase phase(job.workers.trace, TraceKind::kPlan);
    job.workspace.schedule.plan(wave);
  }
  reserve_panels(job, wave);
  pack_wave(job, wave);
  attend_wave(job, wave);
}

}  // namespace

LaunchOutcome launch(const Kernel& kernel, const plan::Operands& operands, std::span<const SequenceWork> work,
                     const Workers& workers) {
  if (work.empty() || operands.num_heads <= 0) return {};
  FLEXJIT_CHECK(workers.threads > 0 && operands.num_kv_heads > 0 && operands.num_heads % operands.num_kv_heads == 0 &&
                kernel.layout.q_tile > 0 && kernel.layout.lanes > 0);
  const WorkspacePool::Lease lease(workspaces());
  Job job{.kernel = kernel,
          .operands = operands,
          .launch = operands.launch(),
          .workers = workers,
          .workspace = *lease,
          .first = *work.front().sequence};
  job.thread_bytes = round_up(std::max(kernel.layout.scratch_bytes, job.packer.scratch_bytes()), kAlignment);
  job.workspace.scratch.reserve(static_cast<std::size_t>(job.thread_bytes * workers.threads));
  job.workspace.records.assign(static_cast<std::size_t>(workers.threads), ThreadRecord{});
  job.workspace.reserve_rows(workers.threads, kernel.layout.q_tile);
  job.workspace.schedule.start(sizes_of(operands, kernel.layout), work, operands.page_size);
  for (std::int64_t begin = 0, end = 0; begin < job.workspace.schedule.pairs(); begin = end) {
    end = end_of_wave(job, begin);
    // A pair with very many query tiles is several waves. More than one pair has all heads of each.
    const WorkShape shape = job.workspace.schedule.shape_of(begin);
    std::int32_t wave_heads = shape.group();
    if (end == begin + 1) {
      const std::int64_t tiles = std::max<std::int64_t>(shape.q_tiles(), 1);
      wave_heads = static_cast<std::int32_t>(std::clamp<std::int64_t>(kPrefillWaveItems / tiles, 1, wave_heads));
    }
    for (std::int32_t head = 0; head < shape.group(); head += wave_heads)
      run_wave(job, {begin, end, head, std::min(head + wave_heads, shape.group())});
  }
  return gather(job.workspace.records);
}

}  // namespace flexjit::runtime
