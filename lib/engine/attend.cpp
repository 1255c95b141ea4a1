// Tensors -> the parts of a spec that they decide; the rest is compile and run of the default engine.
#include "flexjit/attend.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "diagnostics/guard.h"
#include "diagnostics/report.h"
#include "flexjit/engine.h"
#include "pattern/pattern.h"

namespace flexjit {

namespace {

// Of the last of four dimensions. Another rank is a finding of the run, a wrong dimension one of the compilation.
std::int32_t head_dim_of(const TensorView& view) {
  return view.rank == kMaxRank ? static_cast<std::int32_t>(std::clamp<std::int64_t>(view.shape[3], 0, engine::kMaxHeadDim + 1))
                               : 1;
}

// 0 where a row of keys has one scale.
std::int32_t scale_dims_of(const TensorView& scales, std::int32_t head_dim) {
  const bool groups = scales.data != nullptr && scales.rank == kMaxRank && scales.shape[3] > 1;
  return groups ? static_cast<std::int32_t>(head_dim / scales.shape[3]) : 0;
}

AttentionSpec completed(AttentionSpec spec, const RunArgs& args) {
  spec.dtype = args.q.dtype;
  spec.kv_dtype = args.k.dtype;
  spec.out_dtype = args.out.dtype;
  spec.head_dim = head_dim_of(args.q);
  spec.v_head_dim = std::max(head_dim_of(args.v), 1);
  spec.kv_scale_dims = scale_dims_of(args.k_scales, spec.head_dim);
  if (args.bindings != nullptr) spec.declare(*args.bindings);
  return spec;
}

Result<std::vector<float>> attend_dense(const std::string& program, RunArgs args) {
  if (args.q.dtype == DType::kF64) {
    return engine::single_finding("attend", engine::Finding::kUnsupportedDType, "q", "f64",
                                  "f32, bf16 or f16 where no `out` is given");
  }
  const auto extent = [](const TensorView& view, std::size_t d) {
    return std::clamp<std::int64_t>(view.rank == kMaxRank ? view.shape[d] : 0, 0, std::int64_t{1} << 30);
  };
  const std::int64_t extents[] = {extent(args.q, 0), extent(args.q, 1), extent(args.q, 2), extent(args.v, 3)};
  std::size_t count = 1;
  for (const std::int64_t each : extents) {
    if (__builtin_mul_overflow(count, static_cast<std::size_t>(each), &count)) return Diagnostics{};  // no memory has as much
  }
  if (count > std::vector<float>().max_size()) return Diagnostics{};
  std::vector<float> out(count);
  args.out = MutableTensorView(out.data(), DType::kF32, extents);
  const Result<RunStats> done = attend(program, args);
  if (!done) return done.diagnostics();
  return out;
}

}  // namespace

Result<RunStats> attend(AttentionSpec spec, const RunArgs& args) {
  return engine::guarded("attend", [&]() -> Result<RunStats> {
    const Result<Attention> attention = default_engine().compile(completed(std::move(spec), args));
    if (!attention) return attention.diagnostics();
    return attention->run(args);
  });
}

Result<RunStats> attend(const std::string& program, const RunArgs& args) {
  return engine::guarded("attend", [&] { return attend(AttentionSpec{.program = program}, args); });
}

Result<std::vector<float>> attend(const std::string& program, const TensorView& q, const TensorView& k, const TensorView& v,
                                  const Bindings& bindings) {
  return engine::guarded("attend",
                         [&] { return attend_dense(program, {.q = q, .k = k, .v = v, .out = {}, .bindings = &bindings}); });
}

}  // namespace flexjit
