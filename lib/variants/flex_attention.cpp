// FlexAttention's module: three projections, the attention of their heads, and the projection back.
#include <algorithm>
#include <cmath>

#include "call/expected_tensor.h"
#include "diagnostics/guard.h"
#include "flexjit/modules.h"
#include "runtime/parallel.h"
#include "variants/options.h"
#include "variants/product.h"
#include "variants/random.h"

namespace flexjit {

namespace variants {

namespace {

using engine::Finding, engine::Report;

LinearLayer drawn(std::int32_t inputs, std::int32_t outputs, bool has_bias, RandomNumbers& numbers) {
  LinearLayer layer{inputs, outputs, {}, {}};
  const double bound = 1 / std::sqrt(static_cast<double>(inputs));
  layer.weight = numbers.uniform(count_of({inputs, outputs}), bound);
  if (has_bias) layer.bias = numbers.uniform(static_cast<std::size_t>(outputs), bound);
  return layer;
}

void check_layer(const char* name, const LinearLayer& layer, std::int32_t inputs, std::int32_t outputs, Report& report) {
  if (layer.weight.size() != count_of({inputs, outputs}))
    report.add(Finding::kBadOption, fmt::format("the number of weights of {}", name), layer.weight.size(),
               fmt::format("give {} x {}", outputs, inputs));
  if (!layer.bias.empty() && layer.bias.size() != static_cast<std::size_t>(outputs))
    report.add(Finding::kBadOption, fmt::format("the number of biases of {}", name), layer.bias.size(),
               fmt::format("give {}, or none", outputs));
}

// x (batch, length, inputs) -> (batch, length, outputs), dense.
std::vector<float> projected(const LinearLayer& layer, const TensorView& x, int threads) {
  constexpr std::int64_t kRows = 96;  // that share a packed part of the weights
  const std::int64_t batch = x.shape[0], length = x.shape[1], inputs = x.shape[2];
  const auto outputs = static_cast<std::int64_t>(layer.outputs);
  std::vector<float> y(count_of({batch, length, outputs}));
  const std::int64_t parts = (length + kRows - 1) / kRows;
  const Matrix weight = Matrix{layer.weight.data(), inputs, 1}.transposed();
  runtime::parallel_for(threads, batch * parts, [&](std::int64_t item, int) noexcept {
    const std::int64_t b = item / parts, begin = item % parts * kRows, rows = std::min(kRows, length - begin);
    const Matrix from{static_cast<const float*>(x.data) + b * x.strides[0] + begin * x.strides[1], x.strides[1], x.strides[2]};
    float* to = y.data() + (b * length + begin) * outputs;
    for (std::int64_t i = 0; i < rows && !layer.bias.empty(); ++i) std::ranges::copy(layer.bias, to + i * outputs);
    add_product(from, weight, {rows, outputs, inputs}, to, outputs);
  });
  return y;
}

// Heads of (batch, length, heads * dim).
template <typename Data>
auto heads_of(Data* data, const TensorView& x, std::int64_t heads, std::int64_t dim) {
  return bshd(data, DType::kF32, {x.shape[0], x.shape[1], heads, dim});
}

AttentionSpec spec_of_call(const FlexAttentionOptions& options, const FlexAttentionCall& call) {
  AttentionSpec spec;
  spec.head_dim = options.head_dim;
  spec.score_mod = call.score_mod;
  spec.mask_mod = call.mask_mod;
  if (call.mask_mod.empty() && call.block_mask == nullptr) spec.mask_mod = options.default_mask;
  if (call.training && options.dropout > 0) spec.dropout = Dropout{.p = options.dropout};
  if (call.bindings != nullptr) spec.declare(*call.bindings);
  return spec;
}

}  // namespace
}  // namespace variants

Result<FlexAttention> FlexAttention::create(const FlexAttentionOptions& options, Engine& engine) {
  return engine::guarded("FlexAttention::create", [&]() -> Result<FlexAttention> {
    engine::Report report("FlexAttention::create");
    constexpr std::int32_t kMost = 1 << 20;
    variants::check_range(report, "hidden_size", options.hidden_size, {1, kMost});
    variants::check_range(report, "num_heads", options.num_heads, {1, kMost});
    if (!report.empty()) return report.take();
    FlexAttentionOptions all = options;
    if (all.num_kv_heads == 0) all.num_kv_heads = all.num_heads;
    if (all.head_dim == 0) all.head_dim = all.hidden_size / all.num_heads;
    variants::check_range(report, "head_dim", all.head_dim, {1, engine::kMaxHeadDim});
    variants::check_range(report, "num_kv_heads", all.num_kv_heads, {1, all.num_heads});
    if (report.empty() && all.num_heads % all.num_kv_heads != 0)
      report.add(engine::Finding::kBadOption, "num_kv_heads", all.num_kv_heads,
                 fmt::format("give a divisor of num_heads, {}", all.num_heads));
    if (!(all.dropout >= 0 && all.dropout <= 1)) report.add(engine::Finding::kBadOption, "dropout", all.dropout, "give 0 to 1");
    if (!report.empty()) return report.take();
    FlexAttention module(all, engine);
    variants::RandomNumbers numbers(all.seed);
    const std::int32_t queries = all.num_heads * all.head_dim, keys = all.num_kv_heads * all.head_dim;
    module.q_proj = variants::drawn(all.hidden_size, queries, all.use_bias, numbers);
    module.k_proj = variants::drawn(all.hidden_size, keys, all.use_bias, numbers);
    module.v_proj = variants::drawn(all.hidden_size, keys, all.use_bias, numbers);
    module.o_proj = variants::drawn(queries, all.hidden_size, all.use_bias, numbers);
    return module;
  });
}

Result<std::vector<float>> FlexAttention::operator()(const TensorView& x, const FlexAttentionCall& call) const {
  return engine::guarded("FlexAttention", [&]() -> Result<std::vector<float>> {
    engine::Report report("FlexAttention");
    const std::int32_t queries = options_.num_heads * options_.head_dim, keys = options_.num_kv_heads * options_.head_dim;
    const engine::Expected expected{
        "x",
        DType::kF32,
        "(batch, length, hidden_size)",
        {{"sequences", x.shape[0], "x"}, {"tokens", x.shape[1], "x"}, {"elements", options_.hidden_size, "hidden_size"}}};
    if (engine::check_rank(expected, x, report)) engine::check_tensor(expected, x, report);
    variants::check_layer("q_proj", q_proj, options_.hidden_size, queries, report);
    variants::check_layer("k_proj", k_proj, options_.hidden_size, keys, report);
    variants::check_layer("v_proj", v_proj, options_.hidden_size, keys, report);
    variants::check_layer("o_proj", o_proj, queries, options_.hidden_size, report);
    if (!report.empty()) return report.take();
    const Result<Attention> attention = engine_->compile_once(variants::spec_of_call(options_, call));
    if (!attention) return attention.diagnostics();
    const int threads = runtime::threads_of(engine_->options().threads);
    const std::vector<float> q = variants::projected(q_proj, x, threads), k = variants::projected(k_proj, x, threads),
                             v = variants::projected(v_proj, x, threads);
    std::vector<float> heads(q.size());
    const Result<RunStats> done =
        attention->run({.q = variants::heads_of(q.data(), x, options_.num_heads, options_.head_dim),
                        .k = variants::heads_of(k.data(), x, options_.num_kv_heads, options_.head_dim),
                        .v = variants::heads_of(v.data(), x, options_.num_kv_heads, options_.head_dim),
                        .out = variants::heads_of(heads.data(), x, options_.num_heads, options_.head_dim),
                        .bindings = call.bindings,
                        .block_mask = call.block_mask});
    if (!done) return done.diagnostics();
    return variants::projected(o_proj, TensorView(heads.data(), DType::kF32, {x.shape[0], x.shape[1], queries}), threads);
  });
}

}  // namespace flexjit
