// The formula of flexjit/backward.h: a sink's gradient is the sum of p_sink (dLSE - delta) over its rows.
#include "attention/sinks.h"

#include <cmath>

#include "flexjit/merge_states.h"

namespace flexjit::mpi {

namespace {

float element(const TensorView& view, std::int64_t b, std::int64_t h, std::int64_t t, std::int64_t d) {
  return static_cast<const float*>(view.data)[b * view.strides[0] + h * view.strides[1] + t * view.strides[2] + d];
}

}  // namespace

void add_sinks(const ShardedAttention::Impl& impl, const TensorView& sinks, const MutableTensorView& out,
               const MutableTensorView& lse) {
  if (sinks.data == nullptr || out.shape[2] == 0) return;
  const std::vector<float> zeros(static_cast<std::size_t>(out.shape[3]));
  TensorView no_value(zeros.data(), DType::kF32, out.shape), of_rows = lse;
  no_value.strides = {0, 0, 0, 1};
  of_rows.data = static_cast<const float*>(sinks.data) + impl.first_head() * sinks.strides[0];
  of_rows.strides = {0, sinks.strides[0], 0};
  const std::vector<AttentionState> states{{.v = out, .lse = lse}, {.v = no_value, .lse = of_rows}};
  static_cast<void>(merge_states({.states = states, .out = out, .lse = lse}).value());
}

std::vector<float> sink_gradients(const ShardedAttention::Impl& impl, const TensorView& sinks, const SinkRows& rows) {
  std::vector<float> gradients(static_cast<std::size_t>(impl.sizes.q_heads));
  const auto& [batch, heads, length, dim] = rows.out.shape;
  for (std::int64_t h = 0; h < heads; ++h) {
    const std::int64_t head = impl.first_head() + h;
    const double sink = static_cast<const float*>(sinks.data)[head * sinks.strides[0]];
    if (sink == -HUGE_VAL) continue;  // takes no share
    double sum = 0;
    for (std::int64_t b = 0; b < batch; ++b) {
      for (std::int64_t t = 0; t < length; ++t) {
        double slope = element(rows.d_lse, b, h, t, 0);
        for (std::int64_t d = 0; d < dim; ++d) slope -= double{element(rows.out, b, h, t, d)} * element(rows.d_out, b, h, t, d);
        sum += std::exp(sink - element(rows.lse, b, h, t, 0)) * slope;
      }
    }
    gradients[static_cast<std::size_t>(head)] = static_cast<float>(sum);
  }
  return gradients;
}

}  // namespace flexjit::mpi
