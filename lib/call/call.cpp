// RunArgs -> Call -> Launch: the checks in their order, then the plain structs of kernel_abi.h.
#include "call/call.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "call/linear/linear_call.h"
#include "call/rotary.h"
#include "support/check.h"
#include "support/elements.h"

namespace flexjit::engine {

namespace {

template <typename View>
plan::TensorArg tensor_arg(const View& view) {
  // Compiled code writes through `out` alone; the struct has one pointer type for all.
  return {const_cast<void*>(static_cast<const void*>(view.data)), view.strides[0], view.strides[1], view.strides[2]};
}

plan::ScaleArg scale_arg(const TensorView& view) {
  if (view.data == nullptr) return {};
  const auto stride = [&](std::size_t d) { return view.shape[d] == 1 ? 0 : view.strides[d]; };
  return {static_cast<const float*>(view.data), stride(0), stride(1), stride(2), stride(3)};
}

plan::RowStrides row_strides(const MutableTensorView& view) { return {view.strides[0], view.strides[1], view.strides[2]}; }

plan::RowArg row_arg(const MutableTensorView& view) { return {row_strides(view), static_cast<float*>(view.data)}; }

plan::BufferArg buffer_arg(const TensorView& view) {
  plan::BufferArg arg{};
  arg.data = view.data;
  std::copy_n(view.shape.begin(), view.rank, arg.extents);
  std::copy_n(view.strides.begin(), view.rank, arg.strides);
  return arg;
}

struct Place {
  std::uint32_t buffer = 0;
  std::int32_t dimension = 0;
};

// A dot reads two buffers at one site; its fault counts through the indices of the first, then those of the second.
Place place_of(const ir::Program& program, const ir::ReadSite& site, const ir::ReadFault& fault) {
  for (std::uint32_t i = 0; i < program.size(); ++i) {
    const ir::Id id{i};
    if (program.node(id).op != ir::Op::kDot || program.dot(id).site != fault.site) continue;
    const ir::DotInfo& dot = program.dot(id);
    const std::int32_t indices_of_a = program.buffers()[dot.buffer_a].rank - 1;
    if (fault.dimension < indices_of_a) return {dot.buffer_a, fault.dimension};
    return {dot.buffer_b, fault.dimension - indices_of_a};
  }
  return {site.buffer, fault.dimension};
}

// Sinks come in any of three dtypes; kernels read fp32.
std::vector<float> widened(const TensorView& sinks) {
  if (sinks.data == nullptr) return {};
  std::vector<float> values;
  for (std::int64_t head = 0; head < sinks.shape[0]; ++head) {
    double value = 0;
    support::read_elements(sinks.dtype, sinks.data, head * sinks.strides[0], {&value, 1});
    values.push_back(static_cast<float>(value));
  }
  return values;
}

std::uint64_t param_bits(const Scalar& value) {
  if (const auto* integer = std::get_if<std::int32_t>(&value)) return static_cast<std::uint32_t>(*integer);
  if (const auto* real = std::get_if<double>(&value)) return std::bit_cast<std::uint64_t>(*real);
  return std::get<bool>(value) ? 1 : 0;
}

}  // namespace

std::shared_ptr<Attention::Impl> make_handle(std::shared_ptr<const Pattern> pattern, HandleKernels kernels) {
  auto handle = std::make_shared<Attention::Impl>();
  handle->pattern = std::move(pattern);
  handle->kernel = std::move(kernels.prefill);
  handle->decode = std::move(kernels.decode);
  handle->backward = std::move(kernels.backward);
  handle->linear = std::move(kernels.linear);
  if (handle->kernel != nullptr) handle->derived = std::make_shared<DerivedMask>(handle->pattern->program);
  return handle;
}

Result<Call> check_call(const Pattern& pattern, const RunArgs& args) {
  Report report("run");
  std::optional<Call> call = check_call(pattern, args, report);
  if (!call) return report.take();
  return *std::move(call);
}

Result<Call> check_call(const Pattern& pattern, const RunArgs& args, const Planned& planned) {
  Report report("run");
  const bool fine = check_tensors(pattern, args, report).has_value();
  Bound bound = bind_names(pattern.interface, args.bindings, fine ? std::optional(planned.shape) : std::nullopt, report);
  Call call{.shape = planned.shape, .bound = std::move(bound), .sequences = planned.sequences, .page_size = planned.page_size};
  if (args.rotary != nullptr) call.rotary = check_query_rotary(args, call.sequences, report);
  if (!report.empty()) return report.take();
  return call;
}

std::optional<Call> check_call(const Pattern& pattern, const RunArgs& args, Report& report) {
  std::optional<CallShape> shape = check_tensors(pattern, args, report);
  CheckedSequences checked;
  if (shape && args.sequences != nullptr && report.empty()) {
    if (auto found = check_sequences(args, *shape, report))
      checked = *std::move(found);
    else
      shape.reset();
  }
  Bound bound = bind_names(pattern.interface, args.bindings, shape, report);
  if (shape && report.empty()) check_linear_call(pattern, args, bound, report);
  if (shape && args.block_mask != nullptr) check_block_mask(args.block_mask->shape(), *shape, report);
  if (!report.empty()) return std::nullopt;
  Call call{.shape = *shape, .bound = std::move(bound), .block_mask = args.block_mask};
  call.page_size = checked.page_size;
  if (shape->ragged) {
    call.sequences = std::move(checked.sequences);
    call.block_masks = args.sequences->block_masks;
  } else {
    call.sequences = plan::batch_of(shape->batch, shape->q_len, shape->kv_len);
  }
  if (args.rotary != nullptr) call.rotary = check_query_rotary(args, call.sequences, report);
  if (!report.empty()) return std::nullopt;
  return call;
}

ir::Environment Call::environment_of(const plan::Sequence& sequence) const {
  ir::Environment environment = bound.environment;
  environment.q_len = sequence.q_len;
  environment.kv_len = sequence.kv_len;
  environment.q_offset = sequence.q_offset;
  environment.kv_offset = sequence.kv_offset;
  return environment;
}

const BlockMask* Call::mask_of(const plan::Sequence& sequence) const {
  return block_masks.empty() ? block_mask : &block_masks[static_cast<std::size_t>(sequence.b)];
}

Launch make_launch(const Pattern& pattern, const RunArgs& args, const Call& call) {
  Launch launch;
  std::ranges::transform(call.bound.buffers, std::back_inserter(launch.buffers), buffer_arg);
  std::ranges::transform(call.bound.params, std::back_inserter(launch.params), param_bits);
  launch.sinks = widened(args.sinks);
  launch.arg = {.q = tensor_arg(args.q),
                .k = tensor_arg(args.k),
                .v = tensor_arg(args.v),
                .out = tensor_arg(args.out),
                .lse = {row_strides(args.lse), args.lse.data, args.lse.dtype},
                .max_scores = row_arg(args.max_scores),
                .sinks = launch.sinks.empty() ? nullptr : launch.sinks.data(),
                .buffers = launch.buffers.data(),
                .params = launch.params.data(),
                .batch_size = call.shape.batch,
                .num_heads = call.shape.q_heads,
                .num_kv_heads = call.shape.kv_heads,
                .q_len = call.shape.q_len,
                .kv_len = call.shape.kv_len,
                .scale = pattern.scale,
                .page_size = call.page_size,
                .rotary = call.rotary,
                .k_scales = scale_arg(args.k_scales),
                .v_scales = scale_arg(args.v_scales)};
  return launch;
}

Diagnostic describe_fault(const Pattern& pattern, const std::vector<TensorView>& buffers, const ir::ReadFault& fault) {
  FLEXJIT_CHECK(fault.site < pattern.interface.sites.size(), std::to_string(fault.site));
  const ir::ReadSite& site = pattern.interface.sites[fault.site];
  const Place place = place_of(pattern.lowered, site, fault);
  FLEXJIT_CHECK(place.dimension >= 0 && place.dimension < kMaxRank, std::to_string(place.dimension));
  const std::int64_t extent = buffers[place.buffer].shape[static_cast<std::size_t>(place.dimension)];
  Diagnostics one = single_finding(site.source_name, Finding::kBufferRead, pattern.interface.buffers[place.buffer].name,
                                   fault.index, place.dimension, extent);
  Diagnostic& diagnostic = one.front();
  diagnostic.line = site.line;
  diagnostic.column = site.column;
  diagnostic.length = site.length;
  diagnostic.snippet = site.snippet;
  return diagnostic;
}

}  // namespace flexjit::engine
