// The modules of FlexAttention-Examples on the engine's own variants. A module says what it does with the arguments of a call
// once, as a function of them and of the gradients that are wanted: null for the call itself.
#include "flexjit/modules.h"

#include <algorithm>
#include <utility>

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
  bool has_lse = true;
};

using Values = Result<std::vector<float>>;

void check_tensors(const ModuleSizes& sizes, const RunArgs& args, Report& report) {
  const auto check = [&](const char* tensor, const TensorView& view) {
    engine::check_view(tensor, view, report);
    if (view.rank != kMaxRank)
      return void(report.add(Finding::kTensorRank, tensor, view.rank, kMaxRank, "(batch, n_heads, length, dim / n_heads)"));
    if (sizes.heads >= 0 && view.shape[1] != sizes.heads)
      report.add(Finding::kTensorShape, tensor, "heads", view.shape[1], "the module", sizes.heads);
    if (sizes.length >= 0 && view.shape[2] != sizes.length)
      report.add(Finding::kTensorShape, tensor, "tokens", view.shape[2], "the module", sizes.length);
  };
  check("q", args.q);
  check("k", args.k);
  check("v", args.v);
}

MutableTensorView dense(std::vector<float>& memory, std::initializer_list<std::int64_t> shape) {
  memory.resize(count_of(shape));
  return {memory.data(), DType::kF32, shape};
}

MutableTensorView dense_like(const TensorView& view, std::vector<float>& memory) {
  return dense(memory, {view.shape[0], view.shape[1], view.shape[2], view.shape[3]});
}

MutableTensorView result_of(const RunArgs& args, std::vector<float>& memory) {
  return dense(memory, {args.q.shape[0], args.q.shape[1], args.q.shape[2], args.v.shape[3]});
}

// run(args, null) into a dense result, for tensors that are the module's.
template <typename Run>
Values attend(const char* name, const ModuleSizes& sizes, RunArgs args, const Run& run) {
  return engine::guarded(name, [&]() -> Values {
    Report report(name);
    check_tensors(sizes, args, report);
    if (!report.empty()) return report.take();
    std::vector<float> out;
    args.out = result_of(args, out);
    const Result<RunStats> done = run(args, nullptr);
    if (!done) return done.diagnostics();
    return out;
  });
}

// The same, then run(args, gradients).
template <typename Run>
Result<AttentionGradients> differentiate(const char* name, const ModuleSizes& sizes, RunArgs args, const TensorView& d_result,
                                         const Run& run) {
  return engine::guarded(name, [&]() -> Result<AttentionGradients> {
    Report report(name);
    check_tensors(sizes, args, report);
    if (!report.empty()) return report.take();
    std::vector<float> out, lse;
    args.out = result_of(args, out);
    if (sizes.has_lse) args.lse = dense(lse, {args.q.shape[0], args.q.shape[1], args.q.shape[2]});
    AttentionGradients result;
    const Gradients gradients{.out = d_result,
                              .q = dense_like(args.q, result.q),
                              .k = dense_like(args.k, result.k),
                              .v = dense_like(args.v, result.v)};
    const Result<RunStats> forward = run(args, nullptr);
    if (!forward) return forward.diagnostics();
    const Result<RunStats> done = run(args, &gradients);
    if (!done) return done.diagnostics();
    return result;
  });
}

Result<RunStats> run_either(const Attention& attention, const RunArgs& args, const Gradients* gradients) {
  return gradients == nullptr ? attention.run(args) : run_backward(attention, args, *gradients);
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
std::vector<float> rolled(const TensorView& view, const SwinAttention::Options& image, std::int32_t shift) {
  // No number below 0 is divided below.
  const std::int64_t down = shift % image.height + image.height, right = shift % image.width + image.width;
  const auto [batch, heads, length, dim] = view.shape;
  std::vector<float> result(count_of({batch, heads, length, dim}));
  float* to = result.data();
  for (std::int64_t pair = 0; pair < batch * heads; ++pair) {
    const float* from = static_cast<const float*>(view.data) + pair / heads * view.strides[0] + pair % heads * view.strides[1];
    for (std::int64_t i = 0; i < length; ++i, to += dim) {
      const std::int64_t row = (i / image.width + down) % image.height, column = (i % image.width + right) % image.width;
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

namespace {

Diagnostics check_count(const char* module, const char* member, std::size_t count, std::size_t wanted) {
  if (count == wanted) return {};
  return engine::single_finding(module, engine::Finding::kBadOption, fmt::format("the number of elements of {}", member), count,
                                fmt::format("give {}", wanted));
}

// Of the numbers e and f of a module, of which f may have none.
Diagnostics check_projection(const LinformerAttention::Options& options, const std::vector<float>& e,
                             const std::vector<float>& f) {
  const std::size_t count = variants::count_of({options.seq_len, options.proj_len});
  Diagnostics wrong = check_count("LinformerAttention", "e", e.size(), count);
  return wrong.empty() && !f.empty() ? check_count("LinformerAttention", "f", f.size(), count) : wrong;
}

KeyProjection projection_of(const LinformerAttention::Options& options, const std::vector<float>& e,
                            const std::vector<float>& f) {
  KeyProjection projection{.e = {e.data(), DType::kF32, {options.seq_len, options.proj_len}}};
  if (!f.empty()) projection.f = {f.data(), DType::kF32, {options.seq_len, options.proj_len}};
  return projection;
}

}  // namespace

Values LinformerAttention::operator()(const TensorView& q, const TensorView& k, const TensorView& v) const {
  if (Diagnostics wrong = check_projection(options_, e, f); !wrong.empty()) return wrong;
  return variants::attend(
      "LinformerAttention", {options_.n_heads, options_.seq_len}, {.q = q, .k = k, .v = v, .out = {}},
      [&](const RunArgs& args, const Gradients*) { return run_projected(attention_, projection_of(options_, e, f), args); });
}

Result<AttentionGradients> LinformerAttention::backward(const TensorView& q, const TensorView& k, const TensorView& v,
                                                        const TensorView& d_result) const {
  if (Diagnostics wrong = check_projection(options_, e, f); !wrong.empty()) return wrong;
  std::vector<float> d_e, d_f;
  const auto run = [&](const RunArgs& args, const Gradients* gradients) -> Result<RunStats> {
    const KeyProjection projection = projection_of(options_, e, f);
    if (gradients == nullptr) return run_projected(attention_, projection, args);
    KeyProjectionGradients wanted{.e = variants::dense(d_e, {options_.seq_len, options_.proj_len})};
    if (!f.empty()) wanted.f = variants::dense(d_f, {options_.seq_len, options_.proj_len});
    return run_backward_projected(attention_, projection, args, *gradients, wanted);
  };
  Result<AttentionGradients> result = variants::differentiate(
      "LinformerAttention::backward", {options_.n_heads, options_.seq_len}, {.q = q, .k = k, .v = v, .out = {}}, d_result, run);
  if (!result) return result;
  result->e = std::move(d_e);
  result->f = std::move(d_f);
  return result;
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

Result<RunStats> PerformerAttention::run(RunArgs args, const Gradients* gradients) const {
  const std::int32_t head_dim = options_.dim / options_.n_heads;
  if (Diagnostics wrong =
          check_count("PerformerAttention", "w", w.size(), variants::count_of({options_.feature_dim, head_dim}));
      !wrong.empty())
    return wrong;
  Bindings bindings;
  bindings.buffers["W"] = TensorView(w.data(), DType::kF32, {options_.feature_dim, head_dim});
  args.bindings = &bindings;
  return variants::run_either(attention_, args, gradients);
}

Values PerformerAttention::operator()(const TensorView& q, const TensorView& k, const TensorView& v) const {
  return variants::attend("PerformerAttention", {.heads = options_.n_heads, .has_lse = false},
                          {.q = q, .k = k, .v = v, .out = {}},
                          [&](const RunArgs& args, const Gradients* gradients) { return run(args, gradients); });
}

Result<AttentionGradients> PerformerAttention::backward(const TensorView& q, const TensorView& k, const TensorView& v,
                                                        const TensorView& d_result) const {
  return variants::differentiate("PerformerAttention::backward", {.heads = options_.n_heads, .has_lse = false},
                                 {.q = q, .k = k, .v = v, .out = {}}, d_result,
                                 [&](const RunArgs& args, const Gradients* gradients) { return run(args, gradients); });
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

Result<RunStats> LongformerAttention::run(RunArgs args, const Gradients* gradients) const {
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
  return variants::run_either(attention_, args, gradients);
}

Values LongformerAttention::operator()(const TensorView& q, const TensorView& k, const TensorView& v) const {
  return variants::attend("LongformerAttention", {.length = k.rank == kMaxRank ? k.shape[2] : -1},
                          {.q = q, .k = k, .v = v, .out = {}},
                          [&](const RunArgs& args, const Gradients* gradients) { return run(args, gradients); });
}

Result<AttentionGradients> LongformerAttention::backward(const TensorView& q, const TensorView& k, const TensorView& v,
                                                         const TensorView& d_result) const {
  return variants::differentiate("LongformerAttention::backward", {.length = k.rank == kMaxRank ? k.shape[2] : -1},
                                 {.q = q, .k = k, .v = v, .out = {}}, d_result,
                                 [&](const RunArgs& args, const Gradients* gradients) { return run(args, gradients); });
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

Result<RunStats> SwinAttention::run(RunArgs args, const Gradients* gradients) const {
  const auto is_dense = [](const TensorView& view) { return view.dtype == DType::kF32 && view.strides[3] == 1; };
  // What cannot be rolled run() refuses.
  if (!options_.rolled || options_.shift_size == 0 || !is_dense(args.q) || !is_dense(args.k) || !is_dense(args.v))
    return variants::run_either(attention_, args, gradients);
  const std::vector<float> q = variants::rolled(args.q, options_, options_.shift_size),
                           k = variants::rolled(args.k, options_, options_.shift_size),
                           v = variants::rolled(args.v, options_, options_.shift_size);
  args.q = {q.data(), DType::kF32, args.q.shape};
  args.k = {k.data(), DType::kF32, args.k.shape};
  args.v = {v.data(), DType::kF32, args.v.shape};
  const Result<RunStats> done = variants::run_either(attention_, args, gradients);
  if (!done || gradients == nullptr) return done;
  for (const MutableTensorView* gradient : {&gradients->q, &gradients->k, &gradients->v})
    std::ranges::copy(variants::rolled(*gradient, options_, -options_.shift_size), static_cast<float*>(gradient->data));
  return done;
}

Values SwinAttention::operator()(const TensorView& q, const TensorView& k, const TensorView& v) const {
  return variants::attend("SwinAttention", {options_.n_heads, std::int64_t{options_.height} * options_.width},
                          {.q = q, .k = k, .v = v, .out = {}},
                          [&](const RunArgs& args, const Gradients* gradients) { return run(args, gradients); });
}

Result<AttentionGradients> SwinAttention::backward(const TensorView& q, const TensorView& k, const TensorView& v,
                                                   const TensorView& d_result) const {
  return variants::differentiate("SwinAttention::backward", {options_.n_heads, std::int64_t{options_.height} * options_.width},
                                 {.q = q, .k = k, .v = v, .out = {}}, d_result,
                                 [&](const RunArgs& args, const Gradients* gradients) { return run(args, gradients); });
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

Result<RunStats> NeighborhoodAttention::run(const RunArgs& args, const Gradients* gradients) const {
  return variants::run_either(attention_, args, gradients);
}

Values NeighborhoodAttention::operator()(const TensorView& q, const TensorView& k, const TensorView& v) const {
  return variants::attend("NeighborhoodAttention", {options_.n_heads, std::int64_t{options_.height} * options_.width},
                          {.q = q, .k = k, .v = v, .out = {}},
                          [&](const RunArgs& args, const Gradients* gradients) { return run(args, gradients); });
}

Result<AttentionGradients> NeighborhoodAttention::backward(const TensorView& q, const TensorView& k, const TensorView& v,
                                                           const TensorView& d_result) const {
  return variants::differentiate("NeighborhoodAttention::backward",
                                 {options_.n_heads, std::int64_t{options_.height} * options_.width},
                                 {.q = q, .k = k, .v = v, .out = {}}, d_result,
                                 [&](const RunArgs& args, const Gradients* gradients) { return run(args, gradients); });
}

}  // namespace flexjit
