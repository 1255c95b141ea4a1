// A checked backward pass of linear weights on its kernels.
#include <algorithm>
#include <vector>

#include "call/linear/linear_kernels.h"
#include "engine/backward/unowned_rows.h"
#include "engine/launch_outcome.h"
#include "engine/linear/linear.h"
#include "runtime/linear/backward.h"
#include "support/elements.h"

namespace flexjit::engine {

namespace {

template <typename View>
plan::GradientOperands::Tensor tensor_of(const View& view) {
  plan::GradientOperands::Tensor tensor;
  static_cast<plan::TensorArg&>(tensor) = {const_cast<void*>(static_cast<const void*>(view.data)), view.strides[0],
                                           view.strides[1], view.strides[2]};
  tensor.dtype = view.dtype;
  return tensor;
}

// One number for all elements of the gradient, or none, which is 0: a row of it in the place of all rows.
bool is_one_number(const TensorView& view) {
  return view.data == nullptr || std::ranges::all_of(view.strides, [](std::int64_t stride) { return stride == 0; });
}

std::vector<double> row_of_numbers(const TensorView& gradient, std::int32_t dims) {
  double value = 0;
  if (gradient.data != nullptr) support::read_elements(gradient.dtype, gradient.data, 0, {&value, 1});
  return std::vector<double>(static_cast<std::size_t>(dims), value);
}

}  // namespace

Result<RunStats> backward_linear(const Attention::Impl& impl, const RunArgs& forward, const Gradients& gradients,
                                 const BackwardCall& call) {
  const Pattern& pattern = *impl.pattern;
  if (pattern.linear->by_head && call.forward.shape.q_heads != call.forward.shape.kv_heads)
    return single_finding("run_backward", Finding::kNotLinear, "this gradient",
                          "features that differ between the query heads of a key head have none: give each its own key head");
  const Result<LinearKernels::Ready> ready = impl.linear->get(forward.trace);
  if (!ready) return ready.diagnostics();
  if (call.forward.shape.ragged) clear_unowned_rows(gradients, call.forward.sequences);
  Launch launch = make_launch(pattern, forward, call.forward);
  runtime::LinearGradientOperands operands{.grad_out = tensor_of(gradients.out),
                                           .grad_q = tensor_of(gradients.q),
                                           .grad_k = tensor_of(gradients.k),
                                           .grad_v = tensor_of(gradients.v)};
  std::vector<std::uint64_t> row(static_cast<std::size_t>(pattern.v_head_dim));  // room for any element type
  if (is_one_number(gradients.out)) {
    operands.grad_out = {};
    operands.grad_out.dtype = gradients.out.data != nullptr ? gradients.out.dtype : pattern.types.out;
    operands.grad_out.data = row.data();
    support::write_elements(operands.grad_out.dtype, row.data(), 0, row_of_numbers(gradients.out, pattern.v_head_dim));
  }
  const plan::KernelLayout& layout = ready->rows->kernel.layout;
  const runtime::LinearCall of{.matrix = feature_matrix_of(pattern, call.forward.bound, layout),
                               .eps = pattern.linear->eps,
                               .by_head = pattern.linear->by_head,
                               .causal = pattern.linear->causal()};
  const std::vector<runtime::LinearWork> work = linear_work_of(*pattern.linear, call.forward, WithoutQueries::kKept);
  const runtime::LinearBackwardKernels kernels{ready->rows->kernel, ready->to_features->kernel, ready->to_values->kernel,
                                               ready->to_sums->kernel};
  return finish(impl, call.forward,
                runtime::linear_backward(kernels, launch.arg, of, operands, work, workers_of(impl, forward)), {});
}

}  // namespace flexjit::engine
