// What a backward launch takes of the caller's tensors and gives back, wave by wave.
#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <cstring>

#include "runtime/backward/gradient_job.h"
#include "runtime/parallel.h"
#include "runtime/rows/rows.h"

namespace flexjit::runtime {

namespace {

using support::divide_up;

constexpr std::int32_t kTakenRows = 64;  // of one item

std::int64_t bytes_of(const plan::GradientOperands::Tensor& tensor) { return static_cast<std::int64_t>(size_of(tensor.dtype)); }

plan::GradientRow row_at(const GradientJob& job, const plan::Sequence& sequence, std::int32_t h, std::int32_t q_idx) {
  const std::int64_t b = sequence.q_batch, row_of_q = sequence.q_row + q_idx;
  const plan::Operands& of = job.operands;
  const plan::KernelLayout& layout = job.layout();
  const plan::GradientOperands::Tensor& grad_out = job.gradients.grad_out;
  plan::GradientRow row{.q = address_at(of.q.data, of.q.offset_of(b, h, row_of_q) * layout.q_bytes),
                        .out = address_at(of.out.data, of.out.offset_of(b, h, row_of_q) * layout.out_bytes),
                        .grad_out = nullptr,
                        .lse = of.lse.at(b, h, row_of_q),
                        .grad_lse = job.gradients.grad_lse.at(b, h, row_of_q)};
  if (grad_out.data != nullptr)
    row.grad_out = address_at(grad_out.data, grad_out.offset_of(b, h, row_of_q) * bytes_of(grad_out));
  return row;
}

// What one of several threads has found of a pair.
void note(const Pair& pair, std::int64_t not_finite) {
  if (not_finite != 0) std::atomic_ref<std::int64_t>(*pair.not_finite).store(1, std::memory_order_relaxed);
}

// Rows [begin, begin + kTakenRows) of one head.
void take_rows(const Pair& pair, std::int32_t in_group, std::int32_t begin, int thread) {
  std::int64_t not_finite = 0;
  const GradientJob& job = pair.job;
  std::array<plan::GradientRow, kTakenRows> rows;
  const std::int32_t count = std::min(kTakenRows, job.shape.q_len - begin);
  for (std::int32_t i = 0; i < count; ++i)
    rows[static_cast<std::size_t>(i)] = row_at(job, *pair.of.sequence, pair.head(in_group), begin + i);
  const plan::TakeRowsArg arg{.launch = &job.launch,
                              .rows = rows.data(),
                              .count = count,
                              .grad_out_stride = job.gradients.grad_out_element,
                              .grad_out_f32 = std::int64_t{job.gradients.grad_out.dtype == DType::kF32},
                              .q_rows = pair.row(job.pair.q_rows, in_group, begin, job.layout().k_padded),
                              .grad_out_rows = pair.row(job.pair.grad_out_rows, in_group, begin, job.layout().v_padded),
                              .lse = pair.row(job.pair.lse, in_group, begin, 1),
                              .not_finite = &not_finite,
                              .delta = pair.row(job.pair.delta, in_group, begin, 1)};
  traced(
      job.workers.trace, [&] { job.kernel.take_rows(&arg); },
      [&] {
        return TraceEvent{.kind = TraceKind::kTake,
                          .thread = thread,
                          .b = pair.of.sequence->b,
                          .head = pair.head(in_group),
                          .q = {begin, begin + count}};
      });
  note(pair, not_finite);
}

void take_keys(const Pair& pair, Reach keys, int thread) {
  std::int64_t not_finite = 0;
  const GradientJob& job = pair.job;
  const plan::KeyRun run = pair.keys();
  const plan::TakeKeysArg arg{.launch = &job.launch,
                              .run = &run,
                              .kv_begin = keys.begin,
                              .kv_end = keys.end,
                              .kv_len = job.shape.kv_len,
                              .k_panels = pair.memory + job.pair.k_panels,
                              .v_panels = pair.memory + job.pair.v_panels,
                              .k_rows = job.gradients.grad_q.data != nullptr ? pair.k_rows() : nullptr,
                              .not_finite = &not_finite};
  traced(
      job.workers.trace, [&] { job.kernel.take_keys(&arg); },
      [&] {
        return TraceEvent{.kind = TraceKind::kPack,
                          .thread = thread,
                          .b = pair.of.sequence->b,
                          .head = pair.kv_head,
                          .kv = {keys.begin, std::min(keys.end, job.shape.kv_len)}};
      });
  note(pair, not_finite);
}

}  // namespace

// Rows of a head, then columns of keys, pair by pair.
void take_wave(GradientJob& job, const Wave& wave) {
  const std::int64_t blocks = divide_up(job.shape.q_len, kTakenRows), of_rows = job.shape.group() * blocks;
  const std::int64_t items = of_rows + job.columns.count();
  parallel_for(job.workers.threads, (wave.end - wave.begin) * items, [&](std::int64_t i, int thread) noexcept {
    const Pair pair = pair_of(job, wave, wave.begin + i / items);
    const std::int64_t item = i % items;
    if (item < of_rows) {
      take_rows(pair, static_cast<std::int32_t>(item / blocks), static_cast<std::int32_t>(item % blocks * kTakenRows), thread);
    } else {
      take_keys(pair, job.columns[item - of_rows], thread);
    }
    if (item == 0) {
      std::memset(pair.memory + job.pair.grad_q, 0, static_cast<std::size_t>(job.pair.sums_end - job.pair.grad_q));
    }
  });
}

namespace {

// Rows of sums -> a tensor, of one head.
struct Given {
  const plan::LaunchArg& launch;
  plan::GiveRowsFn give;
  const plan::GradientOperands::Tensor& target;
  std::int32_t rows;
  double factor;
};
// Where the first row of a sequence goes.
struct Place {
  std::int64_t batch, head, row;
};
void give_rows(const Given& given, const std::byte* sums, const Place& place) {
  const std::int64_t offset = given.target.offset_of(place.batch, place.head, place.row);
  const plan::GiveRowsArg arg{.launch = &given.launch,
                              .rows = sums,
                              .count = given.rows,
                              .target = address_at(given.target.data, offset * bytes_of(given.target)),
                              .stride = given.target.stride_row,
                              .factor = given.factor,
                              .as_f32 = std::int64_t{given.target.dtype == DType::kF32}};
  given.give(&arg);
}

}  // namespace

void give_wave(GradientJob& job, const Wave& wave) {
  const Given q{job.launch, job.kernel.give_q, job.gradients.grad_q, job.shape.q_len, job.operands.scale};
  const Given k{job.launch, job.kernel.give_k, job.gradients.grad_k, job.shape.kv_len, 1};
  const Given v{job.launch, job.kernel.give_v, job.gradients.grad_v, job.shape.kv_len, 1};
  const std::int64_t items = job.shape.group() + 2;
  parallel_for(job.workers.threads, (wave.end - wave.begin) * items, [&](std::int64_t i, int thread) noexcept {
    const Pair pair = pair_of(job, wave, wave.begin + i / items);
    const auto item = static_cast<std::int32_t>(i % items);
    const plan::Sequence& of = *pair.of.sequence;
    const auto give = [&](const Given& given, const std::byte* sums, const Place& place, PositionRange TraceEvent::* rows) {
      if (given.target.data == nullptr) return;
      TraceEvent event{.kind = TraceKind::kGive, .thread = thread, .b = of.b, .head = static_cast<std::int32_t>(place.head)};
      event.*rows = {0, given.rows};
      traced(job.workers.trace, [&] { give_rows(given, sums, place); }, [&] { return event; });
    };
    if (item < job.shape.group()) return give(q, pair.grad_q(item), {of.q_batch, pair.head(item), of.q_row}, &TraceEvent::q);
    const bool keys = item == job.shape.group();
    give(keys ? k : v, pair.memory + (keys ? job.pair.grad_k : job.pair.grad_v), {of.kv_batch, pair.kv_head, of.kv_row},
         &TraceEvent::kv);
  });
}

namespace {

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

}  // namespace

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

}  // namespace flexjit::runtime
