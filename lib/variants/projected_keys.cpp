// A call with projected keys: its tensors checked, k and v projected, the ordinary call with them, and its gradients taken
// back.
#include "flexjit/projected_keys.h"

#include <algorithm>
#include <optional>
#include <vector>

#include "call/call.h"
#include "call/expected_tensor.h"
#include "diagnostics/guard.h"
#include "ir/program/program.h"
#include "runtime/parallel.h"
#include "variants/call_checks.h"
#include "variants/floats.h"
#include "variants/key_projection.h"
#include "variants/options.h"

namespace flexjit {

namespace variants {

namespace {

using engine::Finding, engine::Report;

constexpr const char* kPoolStride = "pool_stride";
constexpr const char* kPoolTokens = "pool_tokens";

bool reads(const ir::Program& program, ir::Id root, ir::Op op) {
  const std::vector<bool> in_root = ir::reachable(program, root);
  for (std::uint32_t i = 0; i < program.size(); ++i) {
    if (in_root[i] && program.nodes()[i].op == op) return true;
  }
  return false;
}

// Whether the mask compares positions, of which keys made of all tokens have none.
bool compares_positions(const Attention& attention) {
  const ir::Program& program = attention.impl().pattern->program;
  return reads(program, program.mask(), ir::Op::kQIdx) && reads(program, program.mask(), ir::Op::kKvIdx);
}

bool has_weights(KeyPooling pooling) { return pooling == KeyPooling::kDense || pooling == KeyPooling::kConvolution; }

// The sizes of a checked call.
struct Sizes {
  std::int64_t batch = 0, heads = 0, tokens = 0, keys = 0;
};

// A tensor of keys or values as it comes: whatever run() says of k and v cannot be said of these, which it never sees.
void check_source(const char* name, const TensorView& view, Report& report) {
  if (view.rank != kMaxRank) {
    report.add(Finding::kTensorRank, name, view.rank, kMaxRank, "(batch, kv_heads, tokens, dim)");
    return;
  }
  if (view.dtype != DType::kF32 && view.dtype != DType::kF16 && view.dtype != DType::kBF16)
    report.add(Finding::kUnsupportedDType, name, name_of(view.dtype), "f32, f16 or bf16");
  engine::check_view(name, view, report);
  engine::check_inner_stride(name, view, report);
}

void check_weights(const char* name, const TensorView& view, const KeyProjection& of, const Sizes& sizes, Report& report) {
  const int own = of.pooling == KeyPooling::kDense ? 2 : 1;
  engine::Expected expected{name, DType::kF32, own == 2 ? "([kv_heads, ]tokens, keys)" : "([kv_heads, ]stride)", {}};
  if (view.rank == own + 1) expected.dimensions.push_back({"heads", sizes.heads, "k"});
  if (own == 2) {
    expected.dimensions.push_back({"tokens", sizes.tokens, "k"});
    expected.dimensions.push_back({"keys", sizes.keys, "e"});
  } else {
    expected.dimensions.push_back({"elements", of.stride, "stride"});
  }
  if (engine::check_rank(expected, view, report)) engine::check_tensor(expected, view, report);
}

void check_lengths(const TensorView& lengths, const Sizes& sizes, Report& report) {
  const engine::Expected expected{"token_lengths", DType::kI32, "(batch)", {{"sequences", sizes.batch, "k"}}};
  if (!engine::check_rank(expected, lengths, report)) return;
  engine::check_tensor(expected, lengths, report);
  if (!report.empty()) return;
  for (std::int64_t b = 0; b < sizes.batch; ++b) {
    const std::int32_t length = static_cast<const std::int32_t*>(lengths.data)[b * lengths.strides[0]];
    check_range(report, fmt::format("token_lengths[{}]", b), length, {0, sizes.tokens});
  }
}

// How many keys there are of so many tokens; 0 where the report says why.
std::int64_t keys_of(const KeyProjection& of, std::int64_t tokens, Report& report) {
  if (of.pooling == KeyPooling::kDense) {
    const bool known = of.e.rank == 2 || of.e.rank == 3;
    return known ? std::clamp<std::int64_t>(of.e.shape[static_cast<std::size_t>(of.e.rank - 1)], 0, engine::kMaxLength) : 0;
  }
  check_range(report, "stride", of.stride, {});
  return of.stride < 1 ? 0 : (tokens + of.stride - 1) / of.stride;
}

std::optional<Sizes> check(const Attention& attention, const KeyProjection& of, const RunArgs& args, Report& report) {
  check_source("k", args.k, report);
  check_source("v", args.v, report);
  refuse_other_layouts(args, "projected keys are those of dense calls", report);
  if (of.pooling == KeyPooling::kDense && !of.allow_leak && compares_positions(attention))
    report.add(
        Finding::kBadOption, "pooling", "dense",
        "this pattern's mask compares positions of queries and keys, but every such key holds tokens of all positions: pool "
        "them, or set allow_leak");
  if (!report.empty()) return std::nullopt;
  Sizes sizes{args.k.shape[0], args.k.shape[1], args.k.shape[2], 0};
  for (std::size_t d = 0; d < 3; ++d) {
    constexpr const char* kNames[] = {"sequences", "heads", "tokens"};
    if (args.v.shape[d] != args.k.shape[d])
      report.add(Finding::kTensorShape, "v", kNames[d], args.v.shape[d], "k", args.k.shape[d]);
  }
  sizes.keys = keys_of(of, sizes.tokens, report);
  if (has_weights(of.pooling) && report.empty()) check_weights("e", of.e, of, sizes, report);
  if (has_weights(of.pooling) && report.empty() && of.f.data != nullptr) check_weights("f", of.f, of, sizes, report);
  if (report.empty() && of.token_lengths.data != nullptr) check_lengths(of.token_lengths, sizes, report);
  if (!report.empty()) return std::nullopt;
  return sizes;
}

// The weights of one head.
Matrix weights_of(const TensorView& view, int own_rank, std::int64_t head) {
  if (view.data == nullptr) return {};
  const bool by_head = view.rank > own_rank;
  const std::size_t first = by_head ? 1 : 0;
  return {static_cast<const float*>(view.data) + (by_head ? head * view.strides[0] : 0), view.strides[first],
          own_rank == 2 ? view.strides[first + 1] : 1};
}

// k or v of a call with what projects it.
struct Side {
  const KeyProjection& of;
  const Sizes& sizes;
  const TensorView& weights;
  Floats source;
  std::int64_t dims;
  std::vector<float> projected;  // or its gradient, (batch, heads, keys, dims)

  Side(const KeyProjection& projection, const Sizes& call, const TensorView& view, const TensorView& by)
      : of(projection),
        sizes(call),
        weights(by),
        source(view),
        dims(view.shape[3]),
        projected(count_of({call.batch, call.heads, call.keys, view.shape[3]})) {}

  KeyPool pool(std::int64_t b) const {
    const std::int64_t present = of.token_lengths.data == nullptr
                                     ? sizes.tokens
                                     : static_cast<const std::int32_t*>(of.token_lengths.data)[b * of.token_lengths.strides[0]];
    return {of.pooling, sizes.tokens, present, sizes.keys, of.stride, dims};
  }
  int own_rank() const { return of.pooling == KeyPooling::kDense ? 2 : 1; }
  Matrix weights_of_head(std::int64_t h) const { return weights_of(weights, own_rank(), h); }
  float* pair(std::int64_t b, std::int64_t h) { return projected.data() + (b * sizes.heads + h) * sizes.keys * dims; }
  bool by_head() const { return weights.rank > own_rank(); }

  TensorView view() const { return {projected.data(), DType::kF32, {sizes.batch, sizes.heads, sizes.keys, dims}}; }
  MutableTensorView gradient() { return {projected.data(), DType::kF32, {sizes.batch, sizes.heads, sizes.keys, dims}}; }

  void project_all(int threads) {
    runtime::parallel_for(threads, sizes.batch * sizes.heads, [&](std::int64_t i, int) noexcept {
      const std::int64_t b = i / sizes.heads, h = i % sizes.heads;
      project(pool(b), weights_of_head(h), source.of(b, h), pair(b, h));
    });
  }

  // `projected` is the gradient now.
  void write_source_gradient(const MutableTensorView& view) {
    std::vector<float> rows(static_cast<std::size_t>(sizes.tokens * dims));
    for (std::int64_t i = 0; i < sizes.batch * sizes.heads; ++i) {
      const std::int64_t b = i / sizes.heads, h = i % sizes.heads;
      project_back(pool(b), weights_of_head(h), source.of(b, h), pair(b, h), rows.data());
      write_floats(rows.data(), view, b, h, sizes.tokens);
    }
  }

  // Added to sums ([heads, ]tokens, keys) or ([heads, ]stride). A convolution's are few, which all tokens add to.
  void add_to_weights(int threads, std::vector<float>& sums) {
    const std::int64_t step = of.pooling == KeyPooling::kDense ? 64 : std::max<std::int64_t>(sizes.tokens, 1);
    const std::int64_t each = own_rank() == 2 ? sizes.tokens * sizes.keys : of.stride;
    runtime::parallel_for(threads, (sizes.tokens + step - 1) / step, [&](std::int64_t part, int) noexcept {
      for (std::int64_t i = 0; i < sizes.batch * sizes.heads; ++i) {
        const std::int64_t b = i / sizes.heads, h = i % sizes.heads;
        add_weights_gradient(pool(b), source.of(b, h), pair(b, h), part * step, (part + 1) * step,
                             sums.data() + (by_head() ? h * each : 0));
      }
    });
  }
};

// A call as the pattern sees it: k and v projected, of the type of k and v.
struct ProjectedCall {
  Side k, v;
  Bindings bindings;
  std::vector<std::byte> rounded_k, rounded_v;
  RunArgs args;

  ProjectedCall(const Attention& attention, const KeyProjection& of, const Sizes& sizes, const RunArgs& given)
      : k(of, sizes, given.k, of.e), v(of, sizes, given.v, of.f.data == nullptr ? of.e : of.f), args(given) {
    const int threads = runtime::threads_of(attention.impl().threads);
    k.project_all(threads);
    v.project_all(threads);
    args.k = in_type(k, given.k.dtype, rounded_k);
    args.v = in_type(v, given.v.dtype, rounded_v);
    if (given.bindings != nullptr) bindings = *given.bindings;
    for (const ParamDeclaration& param : attention.params()) {
      if (param.name == kPoolStride) bindings.params[kPoolStride] = of.stride;
      if (param.name == kPoolTokens) bindings.params[kPoolTokens] = static_cast<std::int32_t>(sizes.tokens);
    }
    args.bindings = &bindings;
  }
  ProjectedCall(const ProjectedCall&) = delete;
  ProjectedCall& operator=(const ProjectedCall&) = delete;

  static TensorView in_type(const Side& side, DType dtype, std::vector<std::byte>& memory) {
    const TensorView floats = side.view();
    if (dtype == DType::kF32) return floats;
    memory.resize(side.projected.size() * size_of(dtype));
    const MutableTensorView view(memory.data(), dtype, floats.shape);
    for (std::int64_t i = 0; i < floats.shape[0] * floats.shape[1]; ++i)
      write_floats(side.projected.data() + i * floats.strides[1], view, i / floats.shape[1], i % floats.shape[1],
                   floats.shape[2]);
    return view;
  }
};

void write_weights(const std::vector<float>& sums, const MutableTensorView& view) {
  std::int64_t i = 0;
  const auto extent = [&](int d) { return d < view.rank ? view.shape[static_cast<std::size_t>(d)] : 1; };
  const auto stride = [&](int d) { return d < view.rank ? view.strides[static_cast<std::size_t>(d)] : 0; };
  for (std::int64_t a = 0; a < extent(0); ++a) {
    for (std::int64_t b = 0; b < extent(1); ++b) {
      for (std::int64_t c = 0; c < extent(2); ++c, ++i)
        static_cast<float*>(view.data)[a * stride(0) + b * stride(1) + c * stride(2)] = sums[static_cast<std::size_t>(i)];
    }
  }
}

std::size_t elements_of(const TensorView& view) {
  std::size_t count = 1;
  for (std::size_t d = 0; d < static_cast<std::size_t>(view.rank); ++d) count *= static_cast<std::size_t>(view.shape[d]);
  return count;
}

void check_gradients(const KeyProjection& of, const RunArgs& forward, const Gradients& gradients,
                     const KeyProjectionGradients& wanted, Report& report) {
  check_wanted("gradient of k", gradients.k, forward.k, report);
  check_wanted("gradient of v", gradients.v, forward.v, report);
  const auto check_weights_of = [&](const char* name, const MutableTensorView& gradient, const TensorView& view) {
    if (gradient.data != nullptr && (view.data == nullptr || !has_weights(of.pooling)))
      report.add(Finding::kNoGradient, name, "this projection has none");
    else
      check_wanted(name, gradient, view, report);
  };
  check_weights_of("gradient of e", wanted.e, of.e);
  check_weights_of("gradient of f", wanted.f, of.f);
}

// With the gradients of K' and V' in the call's sides.
void take_back(const Attention& attention, ProjectedCall& call, const KeyProjection& of, const Gradients& gradients,
               const KeyProjectionGradients& wanted) {
  const int threads = runtime::threads_of(attention.impl().threads);
  if (gradients.k.data != nullptr) call.k.write_source_gradient(gradients.k);
  if (gradients.v.data != nullptr) call.v.write_source_gradient(gradients.v);
  if (wanted.e.data != nullptr) {
    std::vector<float> sums(elements_of(of.e));
    call.k.add_to_weights(threads, sums);
    if (of.f.data == nullptr) call.v.add_to_weights(threads, sums);
    write_weights(sums, wanted.e);
  }
  if (wanted.f.data != nullptr) {
    std::vector<float> sums(elements_of(of.f));
    call.v.add_to_weights(threads, sums);
    write_weights(sums, wanted.f);
  }
}

}  // namespace
}  // namespace variants

const char* pooled_keys_functions() noexcept {
  return "param pool_stride : int\n"
         "param pool_tokens : int\n"
         "def kv_lo(key) = key * pool_stride\n"
         "def kv_hi(key) = min((key + 1) * pool_stride, pool_tokens)\n";
}

AttentionSpec pooled_keys(const PooledKeysOptions& options) {
  std::string causal = std::string(pooled_keys_functions()) + "mask = kv_hi(kv_idx) <= q_idx + 1\n";
  return variants::spec_of(options.causal ? std::move(causal) : std::string(), "pooled_keys", options.head_dim);
}

Result<RunStats> run_projected(const Attention& attention, const KeyProjection& projection, const RunArgs& args) {
  return engine::guarded("run_projected", attention, [&]() -> Result<RunStats> {
    engine::Report report("run_projected");
    const std::optional<variants::Sizes> sizes = variants::check(attention, projection, args, report);
    if (!sizes) return report.take();
    const variants::ProjectedCall call(attention, projection, *sizes, args);
    return attention.run(call.args);
  });
}

Result<RunStats> run_backward_projected(const Attention& attention, const KeyProjection& projection, const RunArgs& forward,
                                        const Gradients& gradients, const KeyProjectionGradients& wanted) {
  return engine::guarded("run_backward_projected", attention, [&]() -> Result<RunStats> {
    engine::Report report("run_backward_projected");
    const std::optional<variants::Sizes> sizes = variants::check(attention, projection, forward, report);
    if (sizes) variants::check_gradients(projection, forward, gradients, wanted, report);
    if (!report.empty()) return report.take();
    variants::ProjectedCall call(attention, projection, *sizes, forward);
    // K' and V' are read until their gradients are written, which so need memory of their own.
    const std::vector<float> k = call.k.projected, v = call.v.projected;
    if (forward.k.dtype == DType::kF32) {
      call.args.k.data = k.data();
      call.args.v.data = v.data();
    }
    Gradients inner = gradients;
    inner.k = call.k.gradient();
    inner.v = call.v.gradient();
    Result<RunStats> stats = run_backward(attention, call.args, inner);
    if (stats) variants::take_back(attention, call, projection, gradients, wanted);
    return stats;
  });
}

}  // namespace flexjit
