// One launch: for each wave of (batch, kv head) pairs, pack K (and V where the kernel wants it), then let the threads take
// query tiles. Each output row is computed by one item alone, so the bits do not depend on the number of threads.
#include "runtime/launch.h"

#include <algorithm>

#include "runtime/parallel.h"
#include "runtime/rows.h"
#include "runtime/workspace.h"
#include "support/check.h"
#include "support/rounding.h"

namespace flexjit::runtime {

namespace {

using support::divide_up;
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
  WorkShape shape;
  Workers workers;
  Workspace& workspace;
  std::int64_t k_bytes = 0;       // of one pair's packed K, in this wave
  std::int64_t v_bytes = 0;       // of one pair's packed V; 0: V is read in place
  std::int64_t thread_bytes = 0;  // of one thread's scratch

  // Where column 0 would lie: the memory begins with the first column that the pair visits, so that it does not grow with
  // what lies before.
  std::byte* k_panels(const Wave& wave, std::int64_t pair) const {
    return address_at(slot(wave, pair), kernel.layout.k_bytes(0) - kernel.layout.k_bytes(begin_of(pair)));
  }
  std::byte* v_rows(const Wave& wave, std::int64_t pair) const {
    return v_bytes == 0 ? nullptr : address_at(slot(wave, pair) + k_bytes, -kernel.layout.v_bytes(begin_of(pair)));
  }
  std::int32_t begin_of(std::int64_t pair) const {
    return workspace.schedule.reach(pair).begin / kBeginMultiple * kBeginMultiple;
  }

 private:
  std::byte* slot(const Wave& wave, std::int64_t pair) const {
    return workspace.panels.data() + (pair - wave.begin) * (k_bytes + v_bytes);
  }
};

// At least an item for every thread, and never so many that the plan grows large.
std::int64_t pairs_per_wave(const WorkShape& shape, std::int64_t pair_bytes, int threads) {
  const std::int64_t items = shape.group() * shape.q_tiles();
  const auto fitting = [&](std::int64_t bytes) { return bytes / std::max<std::int64_t>(pair_bytes, 1); };
  const std::int64_t wanted = threads == 1 ? 1 : std::min(divide_up(threads * kThreadItems, items), fitting(kPanelBudget));
  const std::int64_t pairs = std::max({fitting(threads * kCachedPanels), wanted, divide_up(threads, items)});
  return std::clamp<std::int64_t>(std::min(pairs, kPrefillWaveItems / items), 1, shape.pairs());
}

bool serves(const BlockMaskShape& mask, const WorkShape& shape) {
  return mask.q_len == shape.q_len && mask.kv_len == shape.kv_len && (mask.batch == 1 || mask.batch == shape.batch) &&
         (mask.heads == 1 || mask.heads == shape.q_heads);
}

TraceEvent event_of(const plan::PackArg& arg, int thread) {
  return {.kind = TraceKind::kPack, .thread = thread, .b = arg.b, .head = arg.kv_head, .kv = {arg.kv_begin, arg.kv_end}};
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

// Room for what each pair of the wave visits, from its first column to its last, in whole panels: packing may fill the last
// one.
void reserve_panels(Job& job, const Wave& wave) {
  std::int64_t columns = 0;
  for (std::int64_t pair = wave.begin; pair < wave.end; ++pair) {
    columns = std::max(columns, round_up(job.workspace.schedule.reach(pair).end, job.shape.panel) - job.begin_of(pair));
  }
  job.k_bytes = round_up(job.kernel.layout.k_bytes(static_cast<std::int32_t>(columns)), kAlignment);
  job.v_bytes = round_up(job.kernel.layout.v_bytes(static_cast<std::int32_t>(columns)), kAlignment);
  job.workspace.panels.reserve(static_cast<std::size_t>((job.k_bytes + job.v_bytes) * (wave.end - wave.begin)));
}

void pack_wave(const Job& job, const Wave& wave) {
  const std::span<const PackItem> items = job.workspace.schedule.packs();
  parallel_for(job.workers.threads, static_cast<std::int64_t>(items.size()), [&](std::int64_t i, int thread) noexcept {
    const PackItem& item = items[static_cast<std::size_t>(i)];
    plan::PackArg arg{};
    arg.launch = &job.launch;
    arg.b = static_cast<std::int32_t>(item.pair / job.shape.kv_heads);
    arg.kv_head = static_cast<std::int32_t>(item.pair % job.shape.kv_heads);
    arg.kv_begin = item.columns.begin;
    arg.kv_end = item.columns.end;
    arg.kv_len = job.shape.kv_len;
    const plan::KeyRun run = key_run(job.operands, job.kernel.layout, arg.b, arg.kv_head);
    arg.run = &run;
    arg.k_panels = job.k_panels(wave, item.pair);
    arg.v_rows = job.v_rows(wave, item.pair);
    traced(job.workers.trace, [&] { job.kernel.pack(&arg); }, [&] { return event_of(arg, thread); });
  });
}

plan::TileArg tile_of(const Job& job, const Wave& wave, const Item& item) {
  const std::span<const plan::SpanArg> spans = job.workspace.schedule.spans(item);
  plan::TileArg tile{};
  tile.launch = &job.launch;
  tile.b = item.b;
  tile.h = item.h;
  tile.kv_head = item.h / job.shape.group();
  tile.q_len = job.shape.q_len;
  tile.kv_len = job.shape.kv_len;
  tile.q_begin = item.q_begin;
  tile.q_count = item.q_count;
  tile.span_count = static_cast<std::int32_t>(spans.size());
  tile.spans = spans.data();
  tile.k_panels = job.k_panels(wave, item.pair);
  if (job.v_bytes != 0) {
    tile.v_rows = job.v_rows(wave, item.pair);
    tile.v_stride = job.kernel.layout.v_padded;
  } else {
    const plan::KeyRun run = key_run(job.operands, job.kernel.layout, item.b, tile.kv_head);
    tile.v_rows = run.v;
    tile.v_stride = run.v_stride;
  }
  return tile;
}

void attend_wave(const Job& job, const Wave& wave) {
  const std::span<const Item> items = job.workspace.schedule.items();
  const Rows rows(job.operands, job.kernel.layout);
  parallel_for(job.workers.threads, static_cast<std::int64_t>(items.size()), [&](std::int64_t i, int thread) noexcept {
    const Item& item = items[static_cast<std::size_t>(i)];
    ThreadRecord& record = job.workspace.records[static_cast<std::size_t>(thread)];
    record.fault.raised = 0;
    plan::TileArg tile = tile_of(job, wave, item);
    const std::span<plan::QueryRow> of_item = job.workspace.rows_of(thread, job.kernel.layout.q_tile, item.q_count);
    rows.fill(item.b, item.h, item.q_begin, of_item);
    tile.rows = of_item.data();
    tile.q_ahead = rows.q_bytes(job.kernel.layout.q_tile);
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

LaunchOutcome launch(const Kernel& kernel, const plan::Operands& operands, const BlockMask* mask, const Workers& workers) {
  const int threads = workers.threads;
  const WorkShape shape = shape_of(operands, kernel.layout, mask);
  if (shape.batch <= 0 || shape.q_heads <= 0 || shape.q_len <= 0) return {};
  FLEXJIT_CHECK(threads > 0 && shape.kv_heads > 0 && shape.q_heads % shape.kv_heads == 0 && shape.q_tile > 0 &&
                shape.panel > 0);
  FLEXJIT_CHECK(mask == nullptr || serves(mask->shape(), shape));
  const WorkspacePool::Lease lease(workspaces());
  Job job{.kernel = kernel,
          .operands = operands,
          .launch = operands.launch(),
          .shape = shape,
          .workers = workers,
          .workspace = *lease};
  job.thread_bytes = round_up(kernel.layout.scratch_bytes, kAlignment);
  job.workspace.scratch.reserve(static_cast<std::size_t>(job.thread_bytes * threads));
  job.workspace.records.assign(static_cast<std::size_t>(threads), ThreadRecord{});
  job.workspace.reserve_rows(threads, kernel.layout.q_tile);
  job.workspace.schedule.start(shape, mask);
  const std::int64_t pair_bytes = kernel.layout.k_bytes(shape.kv_len) + kernel.layout.v_bytes(shape.kv_len);
  const std::int64_t wave_pairs = pairs_per_wave(shape, pair_bytes, threads);
  // More than one pair a wave has all heads of each: together they are not more items than a wave may have.
  const auto wave_heads =
      static_cast<std::int32_t>(std::clamp<std::int64_t>(kPrefillWaveItems / shape.q_tiles(), 1, shape.group()));
  for (std::int64_t begin = 0; begin < shape.pairs(); begin += wave_pairs) {
    for (std::int32_t head = 0; head < shape.group(); head += wave_heads) {
      run_wave(job, {begin, std::min(begin + wave_pairs, shape.pairs()), head, std::min(head + wave_heads, shape.group())});
    }
  }
  return gather(job.workspace.records);
}

}  // namespace flexjit::runtime
