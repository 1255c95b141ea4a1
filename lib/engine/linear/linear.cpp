// A call of linear weights on its kernel: where each sequence's queries and keys meet, and the matrix of its feature map.
#include "engine/linear/linear.h"

#include <algorithm>

#include "engine/launch_outcome.h"
#include "runtime/parallel.h"
#include "support/elements.h"

namespace flexjit::engine {

namespace {

// By head where heads differ, else one: the last key that query 0 meets.
std::vector<std::int64_t> diagonals_of(const LinearPattern& linear, const ir::Environment& environment, std::int32_t b,
                                       std::int32_t heads) {
  std::vector<std::int64_t> diagonals;
  for (std::int32_t h = 0; h < heads; ++h) diagonals.push_back(diagonal_of(linear.diagonals, environment, b, h));
  return diagonals;
}

}  // namespace

// Sequences of like lengths have like diagonals where the batch entry does not matter, as almost always.
std::vector<runtime::LinearWork> linear_work_of(const LinearPattern& linear, const Call& call, WithoutQueries which) {
  const std::int32_t heads = linear.by_head ? call.shape.q_heads : 1;
  const bool by_entry = std::ranges::any_of(linear.diagonals.nodes(), [](const ir::Node& node) {
    return node.op == ir::Op::kBatch || node.op == ir::Op::kQOffset || node.op == ir::Op::kKvOffset;
  });
  std::vector<runtime::LinearWork> work;
  const plan::Sequence* last = nullptr;
  for (const plan::Sequence& sequence : call.sequences) {
    if (sequence.q_len == 0 && which == WithoutQueries::kLeftOut) continue;
    runtime::LinearWork& one = work.emplace_back(runtime::LinearWork{.sequence = &sequence});
    const bool like_last = last != nullptr && !by_entry && last->q_len == sequence.q_len && last->kv_len == sequence.kv_len;
    if (like_last) one.diagonals = work[work.size() - 2].diagonals;
    if (linear.causal() && !like_last && sequence.kv_len > 0)
      one.diagonals = diagonals_of(linear, call.environment_of(sequence), sequence.b, heads);
    last = &sequence;
  }
  return work;
}

runtime::FeatureMatrix feature_matrix_of(const Pattern& pattern, const Bound& bound, const plan::KernelLayout& layout) {
  if (!pattern.interface.projection) return {};
  const TensorView& matrix = bound.buffers[*pattern.interface.projection];
  const std::int64_t rows = layout.linear.features, dims = layout.head_dim;
  std::vector<double> elements(static_cast<std::size_t>(rows * dims));
  for (std::int64_t row = 0; row < rows; ++row) {
    const std::span<double> of_row =
        std::span(elements).subspan(static_cast<std::size_t>(row * dims), static_cast<std::size_t>(dims));
    if (matrix.strides[1] == 1) {
      support::read_elements(matrix.dtype, matrix.data, row * matrix.strides[0], of_row);
      continue;
    }
    for (std::int64_t d = 0; d < dims; ++d)
      support::read_elements(matrix.dtype, matrix.data, row * matrix.strides[0] + d * matrix.strides[1],
                             of_row.subspan(static_cast<std::size_t>(d), 1));
  }
  return {elements, layout};
}

Result<RunStats> attend_linear(const Attention::Impl& impl, const RunArgs& args, const Call& call) {
  const Pattern& pattern = *impl.pattern;
  const LinearPattern& linear = *pattern.linear;
  Launch launch = make_launch(pattern, args, call);
  launch.arg.block_counts = impl.block_counts;
  const runtime::Kernel& kernel = impl.kernel->kernel;
  const runtime::LinearCall of{.matrix = feature_matrix_of(pattern, call.bound, kernel.layout),
                               .eps = linear.eps,
                               .by_head = linear.by_head,
                               .causal = linear.causal()};
  const std::vector<runtime::LinearWork> work = linear_work_of(linear, call, WithoutQueries::kLeftOut);
  return finish(impl, call, runtime::attend_linear(kernel, launch.arg, of, work, workers_of(impl, args)), {});
}

}  // namespace flexjit::engine
