// FlexAttention's module: three projections, the attention of their heads, and the projection back.
#include <algorithm>
#include <cmath>
#include <utility>

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

// Of x and results, (batch, length, elements).
TensorView rows_view(const std::vector<float>& rows, const TensorView& x, std::int64_t elements) {
  return {rows.data(), DType::kF32, {x.shape[0], x.shape[1], elements}};
}

Matrix sequence_of(const TensorView& x, std::int64_t b, std::int64_t begin = 0) {
  return {static_cast<const float*>(x.data) + b * x.strides[0] + begin * x.strides[1], x.strides[1], x.strides[2]};
}

constexpr std::int64_t kPart = 96;  // rows that share a packed part of the other factor

// sums (batch, length, columns), dense, += x by a matrix (elements of x, columns).
void add_products(const TensorView& x, const Matrix& matrix, std::int64_t columns, int threads, std::vector<float>& sums) {
  const std::int64_t length = x.shape[1], parts = (length + kPart - 1) / kPart;
  runtime::parallel_for(threads, x.shape[0] * parts, [&](std::int64_t item, int) noexcept {
    const std::int64_t b = item / parts, begin = item % parts * kPart, rows = std::min(kPart, length - begin);
    add_product(sequence_of(x, b, begin), matrix, {rows, columns, x.shape[2]}, sums.data() + (b * length + begin) * columns,
                columns);
  });
}

// Of a layer that was checked, whatever it says itself.
std::int64_t outputs_of(const LinearLayer& layer, const TensorView& x) {
  return static_cast<std::int64_t>(layer.weight.size()) / x.shape[2];
}

// x (batch, length, inputs) -> (batch, length, outputs), dense.
std::vector<float> projected(const LinearLayer& layer, const TensorView& x, int threads) {
  const std::int64_t outputs = outputs_of(layer, x);
  std::vector<float> y(count_of({x.shape[0], x.shape[1], outputs}));
  for (auto to = y.begin(); to != y.end() && !layer.bias.empty(); to += outputs) std::ranges::copy(layer.bias, to);
  add_products(x, Matrix{layer.weight.data(), x.shape[2], 1}.transposed(), outputs, threads, y);
  return y;
}

// From the gradient of y = projected(layer, x): d_x += d_y W. The layer's own, d_W = d_y^T x and the sums of d_y, is the
// result.
LinearLayer take_back(const LinearLayer& layer, const TensorView& x, const std::vector<float>& d_result, int threads,
                      std::vector<float>& d_x) {
  const std::int64_t inputs = x.shape[2], outputs = outputs_of(layer, x), length = x.shape[1];
  const TensorView d_y = rows_view(d_result, x, outputs);
  add_products(d_y, {layer.weight.data(), inputs, 1}, inputs, threads, d_x);
  LinearLayer gradient{
      static_cast<std::int32_t>(inputs), static_cast<std::int32_t>(outputs), std::vector<float>(layer.weight.size()), {}};
  runtime::parallel_for(threads, (outputs + kPart - 1) / kPart, [&](std::int64_t part, int) noexcept {
    const std::int64_t begin = part * kPart, rows = std::min(kPart, outputs - begin);
    for (std::int64_t b = 0; b < x.shape[0]; ++b)
      add_product(sequence_of(d_y, b).transposed().from_row(begin), sequence_of(x, b), {rows, inputs, length},
                  gradient.weight.data() + begin * inputs, inputs);
  });
  if (layer.bias.empty()) return gradient;
  std::vector<double> sums(layer.bias.size());
  for (std::size_t i = 0; i < d_result.size(); ++i) sums[i % sums.size()] += d_result[i];
  gradient.bias.assign(sums.begin(), sums.end());
  return gradient;
}

// Of any strides -> dense.
void copy_rows(const TensorView& x, std::vector<float>& rows) {
  float* to = rows.data();
  for (std::int64_t b = 0; b < x.shape[0]; ++b) {
    for (std::int64_t i = 0; i < x.shape[1]; ++i) {
      for (std::int64_t c = 0; c < x.shape[2]; ++c)
        *to++ = static_cast<const float*>(x.data)[b * x.strides[0] + i * x.strides[1] + c * x.strides[2]];
    }
  }
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

void check_rows(const char* name, const TensorView& x, const FlexAttentionOptions& options, const TensorView& like,
                Report& report) {
  const engine::Expected expected{
      name,
      DType::kF32,
      "(batch, length, hidden_size)",
      {{"sequences", like.shape[0], "x"}, {"tokens", like.shape[1], "x"}, {"elements", options.hidden_size, "hidden_size"}}};
  if (engine::check_rank(expected, x, report)) engine::check_tensor(expected, x, report);
}

void check_layers(const FlexAttention& module, Report& report) {
  const FlexAttentionOptions& options = module.options();
  const std::int32_t queries = options.num_heads * options.head_dim, keys = options.num_kv_heads * options.head_dim;
  check_layer("q_proj", module.q_proj, options.hidden_size, queries, report);
  check_layer("k_proj", module.k_proj, options.hidden_size, keys, report);
  check_layer("v_proj", module.v_proj, options.hidden_size, keys, report);
  check_layer("o_proj", module.o_proj, queries, options.hidden_size, report);
}

// The heads of a call on x that was checked: projected, and attended to by run().
struct Heads {
  const FlexAttentionOptions& sizes;
  const TensorView& x;
  std::vector<float> q, k, v, out, lse;
  RunArgs args{};

  template <typename Data>
  auto by_query(Data* data) const {
    return heads_of(data, x, sizes.num_heads, sizes.head_dim);
  }
  template <typename Data>
  auto by_key(Data* data) const {
    return heads_of(data, x, sizes.num_kv_heads, sizes.head_dim);
  }

  Heads(const FlexAttention& module, const TensorView& of, const FlexAttentionCall& call, int threads)
      : sizes(module.options()),
        x(of),
        q(projected(module.q_proj, x, threads)),
        k(projected(module.k_proj, x, threads)),
        v(projected(module.v_proj, x, threads)),
        out(q.size()),
        args{.q = by_query(std::as_const(q).data()),
             .k = by_key(std::as_const(k).data()),
             .v = by_key(std::as_const(v).data()),
             .out = by_query(out.data()),
             .bindings = call.bindings,
             .block_mask = call.block_mask} {}
  Heads(const Heads&) = delete;
  Heads& operator=(const Heads&) = delete;

  TensorView result() const { return rows_view(out, x, std::int64_t{sizes.num_heads} * sizes.head_dim); }
  void want_lse() {
    lse.resize(count_of({x.shape[0], sizes.num_heads, x.shape[1]}));
    args.lse = {lse.data(), DType::kF32, {x.shape[0], sizes.num_heads, x.shape[1]}};
  }
};

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
    variants::check_rows("x", x, options_, x, report);
    variants::check_layers(*this, report);
    if (!report.empty()) return report.take();
    const Result<Attention> attention = engine_->compile_once(variants::spec_of_call(options_, call));
    if (!attention) return attention.diagnostics();
    const int threads = runtime::threads_of(engine_->options().threads);
    const variants::Heads heads(*this, x, call, threads);
    const Result<RunStats> done = attention->run(heads.args);
    if (!done) return done.diagnostics();
    return variants::projected(o_proj, heads.result(), threads);
  });
}

Result<FlexAttentionGradients> FlexAttention::backward(
    const TensorView& x, const TensorView& d_result, const FlexAttentionCall& call,
    const std::map<std::string, MutableTensorView, std::less<>>& buffers) const {
  return engine::guarded("FlexAttention::backward", [&]() -> Result<FlexAttentionGradients> {
    engine::Report report("FlexAttention::backward");
    variants::check_rows("x", x, options_, x, report);
    variants::check_rows("d_result", d_result, options_, x, report);
    variants::check_layers(*this, report);
    if (!report.empty()) return report.take();
    const Result<Attention> attention = engine_->compile_once(variants::spec_of_call(options_, call));
    if (!attention) return attention.diagnostics();
    const int threads = runtime::threads_of(engine_->options().threads);
    variants::Heads heads(*this, x, call, threads);
    heads.want_lse();
    const Result<RunStats> forward = attention->run(heads.args);
    if (!forward) return forward.diagnostics();
    FlexAttentionGradients result;
    std::vector<float> d_heads(heads.out.size()), d_q(heads.q.size()), d_k(heads.k.size()), d_v(heads.v.size()),
        d_y(variants::count_of({x.shape[0], x.shape[1], options_.hidden_size}));
    variants::copy_rows(d_result, d_y);
    result.o_proj = variants::take_back(o_proj, heads.result(), d_y, threads, d_heads);
    const Result<RunStats> done = run_backward(*attention, heads.args,
                                               {.out = heads.by_query(std::as_const(d_heads).data()),
                                                .q = heads.by_query(d_q.data()),
                                                .k = heads.by_key(d_k.data()),
                                                .v = heads.by_key(d_v.data()),
                                                .buffers = buffers});
    if (!done) return done.diagnostics();
    result.x.resize(d_y.size());
    result.q_proj = variants::take_back(q_proj, x, d_q, threads, result.x);
    result.k_proj = variants::take_back(k_proj, x, d_k, threads, result.x);
    result.v_proj = variants::take_back(v_proj, x, d_v, threads, result.x);
    return result;
  });
}

}  // namespace flexjit
