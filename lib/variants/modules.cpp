// The modules of FlexAttention-Examples on the engine's own variants.
#include "flexjit/modules.h"

#include <algorithm>

#include "call/validate.h"
#include "diagnostics/guard.h"
#include "variants/options.h"
#include "variants/random.h"

namespace flexjit {

namespace variants {

namespace {

using engine::Finding, engine::Report;

void check_heads(std::int32_t dim, std::int32_t n_heads, Report& report) {
  check_range(report, "n_heads", n_heads, {1, 1 << 20});
  if (n_heads < 1) return;
  check_range(report, "dim / n_heads", dim / n_heads, {1, engine::kMaxHeadDim});
  if (dim % n_heads != 0) report.add(Finding::kBadOption, "dim", dim, fmt::format("give a multiple of n_heads, {}", n_heads));
}

// What a module says of its tensors besides what run() says of them; a number is -1 where the module takes any.
struct ModuleSizes {
  std::int64_t heads = -1, length = -1;
};

using Values = Result<std::vector<float>>;

// run(args) into a dense result, for tensors that are the module's.
template <typename Run>
Values attend(const char* name, const ModuleSizes& sizes, const TensorView& q, const TensorView& k, const TensorView& v,
              const Run& run) {
  return engine::guarded(name, [&]() -> Values {
    Report report(name);
    const auto check = [&](const char* tensor, const TensorView& view) {
      engine::check_view(tensor, view, report);
      if (view.rank != kMaxRank)
        return void(report.add(Finding::kTensorRank, tensor, view.rank, kMaxRank, "(batch, n_heads, length, dim / n_heads)"));
      if (sizes.heads >= 0 && view.shape[1] != sizes.heads)
        report.add(Finding::kTensorShape, tensor, "heads", view.shape[1], "the module", sizes.heads);
      if (sizes.length >= 0 && view.shape[2] != sizes.length)
        report.add(Finding::kTensorShape, tensor, "tokens", view.shape[2], "the module", sizes.length);
    };
    check("q", q);
    check("k", k);
    check("v", v);
    if (!report.empty()) return report.take();
    std::vector<float> out(count_of({q.shape[0], q.shape[1], q.shape[2], v.shape[3]}));
    const Result<RunStats> done = run(
        RunArgs{.q = q, .k = k, .v = v, .out = {out.data(), DType::kF32, {q.shape[0], q.shape[1], q.shape[2], v.shape[3]}}});
    if (!done) return done.diagnostics();
    return out;
  });
}

// make(report) is a spec, compiled where the report has no finding.
template <typename Make>
Result<Attention> compiled(Report& report, const Make& make) {
  if (!report.empty()) return report.take();
  Result<AttentionSpec> spec = make();
  if (!spec) return spec.diagnostics();
  return default_engine().compile_once(*spec);
}

// The image of a tensor (batch, heads, height * width, dim) rolled by -shift along both of its axes, dense.
std::vector<float> rolled(const TensorView& view, const SwinAttention::Options& image) {
  const auto [batch, heads, length, dim] = view.shape;
  std::vector<float> result(count_of({batch, heads, length, dim}));
  float* to = result.data();
  for (std::int64_t pair = 0; pair < batch * heads; ++pair) {
    const float* from = static_cast<const float*>(view.data) + pair / heads * view.strides[0] + pair % heads * view.strides[1];
    for (std::int64_t i = 0; i < length; ++i, to += dim) {
      const std::int64_t row = (i / image.width + image.shift_size) % image.height,
                         column = (i % image.width + image.shift_size) % image.width;
      std::copy_n(from + (row * image.width + column) * view.strides[2], dim, to);
    }
  }
  return result;
}

}  // namespace
}  // namespace variants

using engine::guarded, engine::Report, variants::Values;

Result<LinformerAttention> LinformerAttention::create(const Options& options) {
  return guarded("LinformerAttention::create", [&]() -> Result<LinformerAttention> {
    Report report("LinformerAttention::create");
    variants::check_heads(options.dim, options.n_heads, report);
    variants::check_range(report, "seq_len", options.seq_len, {1, 1 << 24});
    variants::check_range(report, "proj_len", options.proj_len, {1, 1 << 24});
    Result<Attention> attention = variants::compiled(
        report, [&]() -> Result<AttentionSpec> { return AttentionSpec{.head_dim = options.dim / options.n_heads}; });
    if (!attention) return attention.diagnostics();
    LinformerAttention module(options, *attention);
    variants::RandomNumbers numbers(options.seed);
    module.e = numbers.normals(variants::count_of({options.seq_len, options.proj_len}));
    if (!options.shared_proj) module.f = numbers.normals(module.e.size());
    return module;
  });
}

Values LinformerAttention::operator()(const TensorView& q, const TensorView& k, const TensorView& v) const {
  const std::size_t count = variants::count_of({options_.seq_len, options_.proj_len});
  if (e.size() != count || (!f.empty() && f.size() != count))
    return engine::single_finding("LinformerAttention", engine::Finding::kBadOption, "the number of elements of e or f",
                                  e.size() != count ? e.size() : f.size(), fmt::format("give {}", count));
  return variants::attend("LinformerAttention", {options_.n_heads, options_.seq_len}, q, k, v, [&](const RunArgs& args) {
    KeyProjection projection{.e = {e.data(), DType::kF32, {options_.seq_len, options_.proj_len}}};
    if (!f.empty()) projection.f = {f.data(), DType::kF32, {options_.seq_len, options_.proj_len}};
    return run_projected(attention_, projection, args);
  });
}

Result<PerformerAttention> PerformerAttention::create(const Options& options) {
  return guarded("PerformerAttention::create", [&]() -> Result<PerformerAttention> {
    Report report("PerformerAttention::create");
    variants::check_heads(options.dim, options.n_heads, report);
    if (!report.empty()) return report.take();
    const std::int32_t head_dim = options.dim / options.n_heads;
    const bool orthogonal = options.features == Features::kOrthogonal;
    Result<std::vector<float>> w = random_features(
        {.features = options.feature_dim, .head_dim = head_dim, .seed = options.seed, .orthogonal = orthogonal});
    if (!w) return w.diagnostics();
    Result<Attention> attention = variants::compiled(report, [&]() -> Result<AttentionSpec> {
      AttentionSpec spec = performer({.head_dim = head_dim, .features = options.feature_dim, .causal = options.causal});
      if (!orthogonal) spec.linear.feature_map = "exp_clamp(W, -10, 10)";
      return spec;
    });
    if (!attention) return attention.diagnostics();
    PerformerAttention module(options, *attention);
    module.w = *std::move(w);
    return module;
  });
}

Values PerformerAttention::operator()(const TensorView& q, const TensorView& k, const TensorView& v) const {
  const std::int32_t head_dim = options_.dim / options_.n_heads;
  if (const std::size_t count = variants::count_of({options_.feature_dim, head_dim}); w.size() != count)
    return engine::single_finding("PerformerAttention", engine::Finding::kBadOption, "the number of elements of w", w.size(),
                                  fmt::format("give {}", count));
  return variants::attend("PerformerAttention", {.heads = options_.n_heads}, q, k, v, [&](RunArgs args) {
    Bindings bindings;
    bindings.buffers["W"] = TensorView(w.data(), DType::kF32, {options_.feature_dim, head_dim});
    args.bindings = &bindings;
    return attention_.run(args);
  });
}

Result<LongformerAttention> LongformerAttention::create(const Options& options) {
  return guarded("LongformerAttention::create", [&]() -> Result<LongformerAttention> {
    Report report("LongformerAttention::create");
    for (std::size_t i = 0; i < options.global_positions.size(); ++i)
      variants::check_range(report, fmt::format("global_positions[{}]", i), options.global_positions[i], {.least = 0});
    Result<Attention> attention =
        variants::compiled(report, [&] { return longformer({.window = options.window_size, .head_dim = options.head_dim}); });
    if (!attention) return attention.diagnostics();
    return LongformerAttention(options, *attention);
  });
}

Values LongformerAttention::operator()(const TensorView& q, const TensorView& k, const TensorView& v) const {
  return variants::attend("LongformerAttention", {.length = k.rank == kMaxRank ? k.shape[2] : -1}, q, k, v, [&](RunArgs args) {
    const std::int64_t batch = args.q.shape[0], length = args.q.shape[2];
    std::vector<std::int32_t> tokens(static_cast<std::size_t>(length));
    for (const std::int32_t position : options_.global_positions) {
      if (position < length) tokens[static_cast<std::size_t>(position)] = 1;
    }
    TensorView kinds(tokens.data(), DType::kI32, {batch, length});
    kinds.strides[0] = 0;
    Bindings bindings;
    bindings.buffers["tokens"] = kinds;
    args.bindings = &bindings;
    return attention_.run(args);
  });
}

Result<SwinAttention> SwinAttention::create(const Options& options) {
  return guarded("SwinAttention::create", [&]() -> Result<SwinAttention> {
    Report report("SwinAttention::create");
    variants::check_heads(options.dim, options.n_heads, report);
    variants::check_range(report, "shift_size", options.shift_size, {0, std::max(options.window_size, 1) - 1});
    Result<Attention> attention = variants::compiled(report, [&] {
      const std::int32_t shift = options.rolled ? 0 : options.shift_size;
      return swin({.height = options.height,
                   .width = options.width,
                   .window = {options.window_size, options.window_size},
                   .shift = {shift, shift},
                   .head_dim = options.dim / options.n_heads});
    });
    if (!attention) return attention.diagnostics();
    return SwinAttention(options, *attention);
  });
}

Values SwinAttention::operator()(const TensorView& q, const TensorView& k, const TensorView& v) const {
  const std::int64_t length = std::int64_t{options_.height} * options_.width;
  return variants::attend("SwinAttention", {options_.n_heads, length}, q, k, v, [&](RunArgs args) -> Result<RunStats> {
    const auto is_dense = [](const TensorView& view) { return view.dtype == DType::kF32 && view.strides[3] == 1; };
    // What cannot be rolled run() refuses.
    if (!options_.rolled || options_.shift_size == 0 || !is_dense(q) || !is_dense(k) || !is_dense(v))
      return attention_.run(args);
    const std::vector<float> rolled_q = variants::rolled(q, options_), rolled_k = variants::rolled(k, options_),
                             rolled_v = variants::rolled(v, options_);
    args.q = {rolled_q.data(), DType::kF32, q.shape};
    args.k = {rolled_k.data(), DType::kF32, k.shape};
    args.v = {rolled_v.data(), DType::kF32, v.shape};
    return attention_.run(args);
  });
}

Result<NeighborhoodAttention> NeighborhoodAttention::create(const Options& options) {
  return guarded("NeighborhoodAttention::create", [&]() -> Result<NeighborhoodAttention> {
    Report report("NeighborhoodAttention::create");
    variants::check_heads(options.dim, options.n_heads, report);
    variants::check_range(report, "radius", options.radius, {0, 1 << 24});
    Result<Attention> attention = variants::compiled(report, [&] {
      const std::int32_t kernel = 2 * options.radius + 1;
      return neighborhood({.axes = {{.extent = options.height, .kernel = kernel}, {.extent = options.width, .kernel = kernel}},
                           .border = NeighborhoodBorder::kClipped,
                           .head_dim = options.dim / options.n_heads});
    });
    if (!attention) return attention.diagnostics();
    return NeighborhoodAttention(options, *attention);
  });
}

Values NeighborhoodAttention::operator()(const TensorView& q, const TensorView& k, const TensorView& v) const {
  const std::int64_t length = std::int64_t{options_.height} * options_.width;
  return variants::attend("NeighborhoodAttention", {options_.n_heads, length}, q, k, v,
                          [&](const RunArgs& args) { return attention_.run(args); });
}

}  // namespace flexjit
