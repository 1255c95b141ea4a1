// q, k, v, out, lse, max_scores and sinks of one call -> CallShape. Each dimension has one owner (batch, q_heads and q_len
// belong to q, kv_heads and kv_len to k, the head dims to the pattern); every other tensor is compared with the owner.
#include <algorithm>
#include <cmath>
#include <utility>

#include "call/expected_tensor.h"
#include "call/validate.h"
#include "runtime/parallel.h"
#include "support/dtype.h"

namespace flexjit::engine {

namespace {

void check_head_groups(const CallShape& shape, Report& report) {
  const bool divides = shape.kv_heads == 0 ? shape.q_heads == 0 : shape.q_heads % shape.kv_heads == 0;
  if (!divides) report.add(Finding::kHeadGroups, shape.q_heads, shape.kv_heads);
  if (!divides || shape.kv_heads == 0) return;
  const std::int64_t rows = std::int64_t{shape.q_heads / shape.kv_heads} * shape.q_len;
  if (rows > kMaxSharedRows)
    report.add(Finding::kLengthLimit, "q_len times the query heads of a key head", rows, kMaxSharedRows);
}

void check_sinks(const Expected& expected, const TensorView& view, Report& report) {
  if (view.dtype != DType::kF32 && view.dtype != DType::kBF16 && view.dtype != DType::kF16) {
    report.add(Finding::kUnsupportedDType, expected.name, name_of(view.dtype), "f32, bf16 or f16");
  }
  check_tensor(expected, view, report);
}

void check_softmax_only(const Pattern& pattern, std::initializer_list<const Expected*> expected,
                        std::initializer_list<const TensorView*> views, Report& report) {
  if (pattern.weights == plan::Weights::kSoftmax) return;
  auto view = views.begin();
  for (const Expected* tensor : expected) {
    if ((*view++)->data != nullptr) report.add(Finding::kNoSoftmax, tensor->name, plan::name_of(pattern.weights));
  }
}

// Scales of `of`, "k" or "v".
struct ExpectedScales {
  const char* name;
  std::int32_t head_dim;
};

// Whether an extent is that of the call, or repeats.
void check_scale_extents(const ExpectedScales& expected, const TensorView& view, const Pattern& pattern, const RunArgs& args,
                         Report& report) {
  static constexpr const char* kNames[] = {"batch", "kv_heads", "kv_len", "groups of dims"};
  const std::int32_t dims = pattern.types.scale_dims;
  const std::int64_t wanted[] = {args.k.shape[0], args.k.shape[1], args.k.shape[2], dims == 0 ? 1 : expected.head_dim / dims};
  for (std::size_t d = 0; d < 4; ++d) {
    if (view.shape[d] == 1 || view.shape[d] == wanted[d] || view.shape[d] < 0) continue;
    const std::string or_all = wanted[d] == 1 ? "" : fmt::format(" or {}", wanted[d]);
    report.add(Finding::kScaleShape, expected.name, view.shape[d], kNames[d], or_all);
  }
}

// The first in memory order of their indices: a check of all would cost as much as a step of decoding.
void check_scale_values(const char* name, const TensorView& view, Report& report) {
  int left = 1024;
  for (std::int64_t b = 0; b < view.shape[0]; ++b)
    for (std::int64_t h = 0; h < view.shape[1]; ++h)
      for (std::int64_t row = 0; row < view.shape[2]; ++row)
        for (std::int64_t group = 0; group < view.shape[3]; ++group) {
          if (left-- == 0) return;
          const std::int64_t at = b * view.strides[0] + h * view.strides[1] + row * view.strides[2] + group * view.strides[3];
          const float scale = static_cast<const float*>(view.data)[at];
          if (scale > 0 && std::isfinite(scale)) continue;
          report.add(Finding::kBadScale, name, scale, b, h, row, group);
          return;
        }
}

void check_scales(const ExpectedScales& expected, const TensorView& view, const Pattern& pattern, const RunArgs& args,
                  Report& report) {
  if (view.data == nullptr) return;
  if (!support::is_quantised(pattern.types.kv)) {
    report.add(Finding::kNoScales, expected.name, name_of(pattern.types.kv));
    return;
  }
  const Expected of_rank{expected.name, DType::kF32, "(batch, kv_heads, kv_len, groups)", {{}, {}, {}, {}}};
  if (!check_rank(of_rank, view, report)) return;
  if (view.dtype != DType::kF32) report.add(Finding::kTensorDType, expected.name, name_of(view.dtype), name_of(DType::kF32));
  check_view(expected.name, view, report);
  check_scale_extents(expected, view, pattern, args, report);
  const bool has_pages =
      args.sequences != nullptr && (args.sequences->block_table.data != nullptr || args.sequences->page_indptr.data != nullptr);
  const auto varies = [&](std::size_t d) { return view.shape[d] > 1 && view.strides[d] != 0; };
  if (has_pages && (varies(0) || varies(2)))
    report.add(Finding::kBadOption, expected.name, "one scale or more a page", "keys in pages have one a tensor or a head");
  if (report.empty()) check_scale_values(expected.name, view, report);
}

}  // namespace

void check_threads(const char* name, int threads, Report& report) {
  if (threads >= 0 && threads <= runtime::kMaxThreads) return;
  report.add(Finding::kBadOption, name, threads, fmt::format("give 1 to {}, or 0 for all cores", runtime::kMaxThreads));
}

// No result where an input lies, or another result.
void check_results_apart(const RunArgs& args, Report& report) {
  const TensorView out = as_const(args.out), lse = as_const(args.lse), max_scores = as_const(args.max_scores);
  const Named results[] = {{"out", out}, {"lse", lse}, {"max_scores", max_scores}};
  const Named inputs[] = {{"q", args.q},
                          {"k", args.k},
                          {"v", args.v},
                          {"sinks", args.sinks},
                          {"k_scales", args.k_scales},
                          {"v_scales", args.v_scales}};
  check_apart(inputs, results, args.bindings, report);
}

// Longer than 40 lines: one table of seven tensors, whose rows must be seen together.
std::optional<CallShape> check_tensors(const Pattern& pattern, const RunArgs& args, Report& report) {
  const TensorView out = as_const(args.out);
  const TensorView lse = as_const(args.lse), max_scores = as_const(args.max_scores);
  constexpr const char* kThePattern = "the pattern";
  const Dimension batch{"batch", args.q.shape[0], "q"};
  const Dimension q_heads{"q_heads", args.q.shape[1], "q"};
  const Dimension q_len{"q_len", args.q.shape[2], "q"};
  const Dimension kv_heads{"kv_heads", args.k.shape[1], "k"};
  const Dimension kv_len{"kv_len", args.k.shape[2], "k"};
  // What batch entries of k and v hold is said by the sequences, where there are some.
  const Dimension k_batch = args.sequences != nullptr ? Dimension{"batch", args.k.shape[0], "k"} : batch;
  const Dimension head_dim{"head_dim", pattern.head_dim, kThePattern};
  const Dimension v_head_dim{"v_head_dim", pattern.v_head_dim, kThePattern};
  const DType f32 = DType::kF32;
  const Expected q{"q", pattern.types.q, "(batch, q_heads, q_len, head_dim)", {batch, q_heads, q_len, head_dim}};
  const Expected k{"k", pattern.types.kv, "(batch, kv_heads, kv_len, head_dim)", {k_batch, kv_heads, kv_len, head_dim}};
  const Expected v{"v", pattern.types.kv, "(batch, kv_heads, kv_len, v_head_dim)", {k_batch, kv_heads, kv_len, v_head_dim}};
  const Expected o{"out", pattern.types.out, "(batch, q_heads, q_len, v_head_dim)", {batch, q_heads, q_len, v_head_dim}};
  const bool is_f64 = lse.dtype == DType::kF64 && pattern.types.out == DType::kF64;
  const Expected l{"lse", is_f64 ? lse.dtype : f32, "(batch, q_heads, q_len)", {batch, q_heads, q_len}};
  const Expected m{"max_scores", f32, "(batch, q_heads, q_len)", {batch, q_heads, q_len}};
  const Expected s{"sinks", args.sinks.dtype, "(q_heads)", {q_heads}};
  check_softmax_only(pattern, {&l, &m, &s}, {&lse, &max_scores, &args.sinks}, report);

  bool ranks_fit = true;
  for (auto [expected, view] : {std::pair{&q, &args.q}, {&k, &args.k}, {&v, &args.v}, {&o, &out}}) {
    ranks_fit = check_rank(*expected, *view, report) && ranks_fit;
  }
  for (auto [expected, view] : {std::pair{&l, &lse}, {&m, &max_scores}, {&s, &args.sinks}}) {
    if (view->data != nullptr) ranks_fit = check_rank(*expected, *view, report) && ranks_fit;
  }
  if (!ranks_fit) return std::nullopt;

  for (auto [expected, view] : {std::pair{&q, &args.q}, {&k, &args.k}, {&v, &args.v}}) {
    check_tensor(*expected, *view, report);
    check_inner_stride(expected->name, *view, report);
  }
  check_output(o, out, report);
  check_inner_stride(o.name, out, report);
  if (lse.data != nullptr) check_output(l, lse, report);
  if (max_scores.data != nullptr) check_output(m, max_scores, report);
  if (args.sinks.data != nullptr) check_sinks(s, args.sinks, report);
  check_scales({"k_scales", pattern.head_dim}, args.k_scales, pattern, args, report);
  check_scales({"v_scales", pattern.v_head_dim}, args.v_scales, pattern, args, report);
  if (report.empty()) check_results_apart(args, report);

  if (!usable_extents(args.q) || !usable_extents(args.k)) return std::nullopt;
  const auto size = [](std::int64_t extent) { return static_cast<std::int32_t>(extent); };
  const CallShape shape{.batch = size(batch.extent),
                        .q_heads = size(q_heads.extent),
                        .kv_heads = size(kv_heads.extent),
                        .q_len = size(q_len.extent),
                        .kv_len = size(kv_len.extent)};
  check_head_groups(shape, report);
  return shape;
}

}  // namespace flexjit::engine
