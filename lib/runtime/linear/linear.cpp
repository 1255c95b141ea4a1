// Chunk after chunk of each item, by the steps of meeting.h, and the matrix of a feature map as kernels read it.
#include "runtime/linear/linear.h"

#include <algorithm>
#include <cstring>

#include "runtime/linear/meeting.h"
#include "runtime/parallel.h"
#include "runtime/rows/rows.h"
#include "runtime/workspace.h"
#include "support/check.h"
#include "support/rounding.h"

namespace flexjit::runtime {

namespace {

using support::round_up;

template <typename Real>
void store(std::byte* to, std::int64_t index, double value) {
  const auto rounded = static_cast<Real>(value);
  std::memcpy(to + index * static_cast<std::int64_t>(sizeof(Real)), &rounded, sizeof(Real));
}

struct LinearJob {
  const Kernel& kernel;
  const plan::Operands& operands;
  const LinearCall& call;
  const plan::LaunchArg launch;
  Workspace& workspace;
  std::int64_t thread_bytes = 0;

  std::int32_t states() const { return call.by_head ? operands.num_heads : operands.num_kv_heads; }
  std::int32_t group() const { return operands.num_heads / operands.num_kv_heads; }

  plan::LinearArg step_of(const plan::Sequence& sequence, std::int32_t number, int thread) const {
    const std::int32_t h = call.by_head ? number : number * group(), kv_head = h / group();
    const plan::KernelLayout& layout = kernel.layout;
    const plan::QueryRow query = Rows(operands, layout).at(sequence, h, 0);
    const plan::KeyRun keys = Keys(operands, layout).all(sequence, kv_head);
    std::byte* memory = workspace.scratch.data() + thread * thread_bytes;
    plan::LinearArg step = runtime::step_of(launch, call, sequence, h, kv_head);
    step.heads = call.by_head ? 1 : group();
    step.q = query.q;
    step.q_head = operands.q.stride_head;
    step.q_row = operands.q.stride_row;
    step.out = query.out;
    step.out_head = operands.out.stride_head;
    step.out_row = operands.out.stride_row;
    step.k = keys.k;
    step.k_row = keys.k_stride;
    step.v = keys.v;
    step.v_row = keys.v_stride;
    step.state = memory;
    step.scratch = memory + round_up(layout.state_bytes, kAlignment);
    return step;
  }
};

void attend_item(const LinearJob& job, const LinearWork& work, std::int32_t number, int thread, ThreadRecord& record) {
  const plan::Sequence& sequence = *work.sequence;
  plan::LinearArg step = job.step_of(sequence, number, thread);
  step.fault = &record.fault;
  std::memset(step.state, 0, static_cast<std::size_t>(job.kernel.layout.state_bytes));
  LinearSteps steps(job.kernel, step, 0);
  steps.run({sequence.q_len, sequence.kv_len, job.call.causal, work.diagonal(step.h)});
  record.scores_visited += steps.pairs();
}

}  // namespace

FeatureMatrix::FeatureMatrix(std::span<const double> elements, const plan::KernelLayout& layout) {
  const std::int64_t features = layout.linear.features, dims = layout.head_dim, lanes = layout.lanes;
  const auto lines = [&](std::int64_t reals) {
    return static_cast<std::size_t>(support::divide_up(reals * layout.cell_bytes, sizeof(Line)));
  };
  rows_.resize(lines((features + 1) * dims + lanes));  // whole vectors of the last row are read
  panels_.resize(lines(layout.f_padded * dims));
  auto* rows = reinterpret_cast<std::byte*>(rows_.data());
  auto* panels = reinterpret_cast<std::byte*>(panels_.data());
  const auto put = layout.cell_bytes == 8 ? store<double> : store<float>;
  for (std::int64_t f = 0; f < features; ++f) {
    for (std::int64_t d = 0; d < dims; ++d) {
      const double element = elements[static_cast<std::size_t>(f * dims + d)];
      put(rows, f * dims + d, element);
      put(panels, (f / lanes * dims + d) * lanes + f % lanes, element);
    }
  }
}

namespace {

// One item for each sequence and state.
template <typename Item>
LaunchOutcome run_items(LinearJob& job, std::size_t sequences, int threads, const Item& run) {
  const plan::Operands& operands = job.operands;
  FLEXJIT_CHECK(threads > 0 && operands.num_kv_heads > 0 && operands.num_heads % operands.num_kv_heads == 0);
  job.thread_bytes =
      round_up(job.kernel.layout.state_bytes, kAlignment) + round_up(job.kernel.layout.scratch_bytes, kAlignment);
  job.workspace.scratch.reserve(static_cast<std::size_t>(job.thread_bytes * threads));
  job.workspace.records.assign(static_cast<std::size_t>(threads), ThreadRecord{});
  const std::int64_t states = job.states();
  parallel_for(threads, static_cast<std::int64_t>(sequences) * states, [&](std::int64_t i, int thread) noexcept {
    ThreadRecord& record = job.workspace.records[static_cast<std::size_t>(thread)];
    record.fault.raised = 0;
    run(static_cast<std::size_t>(i / states), static_cast<std::int32_t>(i % states), thread, record);
    record.note_fault(i);
  });
  return gather(job.workspace.records);
}

// Below so many multiply-adds a second thread costs more than it takes over.
constexpr std::int64_t kWorthThreads = 1 << 20;

}  // namespace

LaunchOutcome attend_linear(const Kernel& kernel, const plan::Operands& operands, const LinearCall& call,
                            std::span<const LinearWork> work, const Workers& workers) {
  if (work.empty() || operands.num_heads <= 0) return {};
  const WorkspacePool::Lease lease(workspaces());
  LinearJob job{.kernel = kernel, .operands = operands, .call = call, .launch = operands.launch(), .workspace = *lease};
  return run_items(job, work.size(), workers.threads,
                   [&](std::size_t i, std::int32_t number, int thread, ThreadRecord& record) {
                     const plan::Sequence& sequence = *work[i].sequence;
                     traced(
                         workers.trace, [&] { attend_item(job, work[i], number, thread, record); },
                         [&] {
                           return TraceEvent{.kind = TraceKind::kTile,
                                             .thread = thread,
                                             .b = sequence.b,
                                             .head = number,
                                             .q = {0, sequence.q_len},
                                             .kv = {0, sequence.kv_len}};
                         });
                   });
}

LaunchOutcome advance_linear(const Kernel& kernel, const plan::Operands& operands, const LinearCall& call,
                             std::span<const plan::Sequence> sequences, const LinearMemory& memory, const Workers& workers) {
  if (sequences.empty() || memory.tokens == 0) return {};
  const WorkspacePool::Lease lease(workspaces());
  LinearJob job{.kernel = kernel, .operands = operands, .call = call, .launch = operands.launch(), .workspace = *lease};
  const plan::KernelLayout& layout = kernel.layout;
  const std::int64_t cost =
      memory.tokens * static_cast<std::int64_t>(sequences.size()) * job.states() * layout.f_padded * layout.v_padded;
  const int threads = cost < kWorthThreads ? 1 : workers.threads;
  return run_items(job, sequences.size(), threads, [&](std::size_t i, std::int32_t number, int thread, ThreadRecord& record) {
    plan::LinearArg step = job.step_of(sequences[i], number, thread);
    step.fault = &record.fault;
    step.state = memory.states + (static_cast<std::int64_t>(i) * job.states() + number) * layout.state_bytes;
    step.kv_len = step.q_len = static_cast<std::int32_t>(memory.keys + memory.tokens);
    if (memory.queries && memory.tokens == 1 && step.heads < layout.q_tile) {
      step.kv_begin = static_cast<std::int32_t>(memory.keys);
      step.kv_count = step.q_count = 1;
      kernel.linear_token(&step);
      return;
    }
    LinearSteps steps(kernel, step, memory.keys);
    steps.take_keys(0, memory.tokens, memory.queries ? 0 : -1);
    record.scores_visited += steps.pairs();
  });
}

}  // namespace flexjit::runtime
