// An order of rows: its positions, the text that sees through it, and a call whose rows are read and written where they lie.
// Gradients are those of copies.
#include "flexjit/row_order.h"

#include <algorithm>
#include <numeric>
#include <optional>
#include <tuple>
#include <utility>

#include "call/call.h"
#include "call/expected_tensor.h"
#include "diagnostics/guard.h"
#include "dsl/parse/lexer.h"
#include "variants/call_checks.h"
#include "variants/options.h"
#include "variants/rows.h"
#include "variants/window_axes.h"

namespace flexjit {

namespace variants {

namespace {

using engine::Finding, engine::Report;
using Positions = std::vector<std::int32_t>;

constexpr const char* kRowOrder = "row_order";

// Positions by a key of (row, column), which is unique.
template <typename Key>
Positions ordered(const ImageSize& image, const Key& key) {
  Positions positions(count_of({image.height, image.width}));
  std::iota(positions.begin(), positions.end(), 0);
  std::ranges::sort(positions, {}, [&](std::int32_t at) { return key(at / image.width, at % image.width); });
  return positions;
}

void check_size(const char* name, const ImageSize& size, Report& report) {
  constexpr std::int32_t kMost = 1 << 15;
  check_range(report, fmt::format("{}.height", name), size.height, {1, kMost});
  check_range(report, fmt::format("{}.width", name), size.width, {1, kMost});
}

// Bit i of x at bit 2 i.
std::uint32_t spread(std::int32_t x) {
  std::uint32_t bits = 0;
  for (unsigned i = 0; i < 15; ++i) bits |= (static_cast<std::uint32_t>(x) >> i & 1U) << 2 * i;
  return bits;
}

// The text with what it calls positions read from the order.
std::string through_order(const std::string& text) {
  const std::vector<dsl::SourceText> texts{{"text", text}};
  dsl::DiagnosticEngine ignored(texts);  // the compiler will say what is wrong with it
  std::string result;
  std::size_t taken = 0;
  for (const dsl::Token& token : dsl::lex(texts[0], 0, ignored)) {
    const bool is_query = token.text == "q_idx" || token.text == "q", is_key = token.text == "kv_idx" || token.text == "kv";
    if (token.kind != dsl::TokenKind::kName || (!is_query && !is_key)) continue;
    const auto begin = static_cast<std::size_t>(token.text.data() - texts[0].text.data());
    result += text.substr(taken, begin - taken) + fmt::format("{}[{}]", kRowOrder, is_query ? "q_idx" : "kv_idx");
    taken = begin + token.text.size();
  }
  return result + text.substr(taken);
}

void check_flags(const AttentionSpec& spec, Report& report) {
  const auto refuse = [&](const char* name, bool given) {
    if (given) report.add(Finding::kBadOption, name, "set", "a flag means rows as they lie; write it into the text");
  };
  refuse("causal", spec.causal);
  refuse("window", spec.window.has_value());
  refuse("alibi", spec.alibi);
  refuse("key_lengths", spec.key_lengths);
  refuse("key_mask", spec.key_mask);
  refuse("attention_mask", spec.attention_mask.has_value());
  refuse("dropout", spec.dropout.has_value());
  refuse("linear weights", spec.weights == Weights::kLinear);
  refuse("language", spec.language != TextLanguage::kFlex);
}

void check_order(const Attention::Impl& impl, std::span<const std::int32_t> order, const RunArgs& args, Report& report) {
  constexpr const char* kReason = "rows in an order are those of dense calls";
  refuse_other_layouts(args, kReason, report);
  if (args.k_scales.data != nullptr || args.v_scales.data != nullptr)
    report.add(Finding::kBadOption, "k_scales or v_scales", "given", fmt::format("{}, so leave it empty", kReason));
  if (impl.pattern->linear) report.add(Finding::kBadOption, "weights", "linear", "their rows have one order, so use run()");
  std::vector<bool> seen(order.size());
  for (const std::int32_t position : order) {
    const bool fits =
        position >= 0 && static_cast<std::size_t>(position) < seen.size() && !seen[static_cast<std::size_t>(position)];
    if (fits) seen[static_cast<std::size_t>(position)] = true;
    if (fits) continue;
    report.add(Finding::kBadOption, "order", fmt::format("with position {}", position),
               fmt::format("it must have each of 0 to {} once", static_cast<std::int64_t>(order.size()) - 1));
    break;
  }
}

// A tensor of the call: of the order's length, with rows that can be copied as a whole.
void check_rows(const char* name, const TensorView& view, int rank, std::size_t length, Report& report) {
  if (view.rank != rank) return void(report.add(Finding::kTensorRank, name, view.rank, rank, "(batch, heads, length, dim)"));
  engine::check_view(name, view, report);
  if (rank == kMaxRank) engine::check_inner_stride(name, view, report);
  if (view.shape[2] != static_cast<std::int64_t>(length))
    report.add(Finding::kTensorShape, name, "rows", view.shape[2], "the order", length);
}

void check_results(const RunArgs& args, std::size_t length, Report& report) {
  const std::tuple<const char*, TensorView, int> results[] = {
      {"out", args.out, 4}, {"lse", args.lse, 3}, {"max_scores", args.max_scores, 3}};
  for (const auto& [name, view, rank] : results) {
    if (view.data == nullptr && rank == 3) continue;
    check_rows(name, view, rank, length, report);
    if (engine::overlaps_itself(view)) report.add(Finding::kOverlappingRows, name);
    for (const auto& [input, read] : {std::pair{"q", args.q}, {"k", args.k}, {"v", args.v}})
      engine::check_apart({input, read}, {name, view}, report);
  }
}

Bindings with_order(const Bindings* given, std::span<const std::int32_t> order) {
  Bindings bindings;
  if (given != nullptr) bindings = *given;
  bindings.buffers[kRowOrder] = TensorView(order.data(), DType::kI32, {static_cast<std::int64_t>(order.size())});
  return bindings;
}

// The copies of a call, and the call on them.
struct OrderedCall {
  Rows q, k, v, out, lse, max_scores;
  Bindings bindings;
  RunArgs args;

  OrderedCall(std::span<const std::int32_t> order, const RunArgs& given)
      : q(gathered(given.q, order)),
        k(gathered(given.k, order)),
        v(gathered(given.v, order)),
        out(given.out, order.size()),
        lse(given.lse, order.size()),
        max_scores(given.max_scores, order.size()),
        args(given) {
    bindings = with_order(given.bindings, order);
    args.bindings = &bindings;
    args.q = q.view;
    args.k = k.view;
    args.v = v.view;
    args.out = out.view;
    if (given.lse.data != nullptr) args.lse = lse.view;
    if (given.max_scores.data != nullptr) args.max_scores = max_scores.view;
  }
  OrderedCall(const OrderedCall&) = delete;
  OrderedCall& operator=(const OrderedCall&) = delete;
};

void check_call(const Attention::Impl& impl, std::span<const std::int32_t> order, const RunArgs& args, Report& report) {
  check_order(impl, order, args, report);
  check_rows("q", args.q, kMaxRank, order.size(), report);
  check_rows("k", args.k, kMaxRank, order.size(), report);
  check_rows("v", args.v, kMaxRank, order.size(), report);
  check_results(args, order.size(), report);
}

// One number for all elements, which needs no order.
bool is_constant(const TensorView& gradient) { return gradient.rank == kMaxRank && gradient.strides[3] == 0; }

void check_gradients(std::span<const std::int32_t> order, const RunArgs& forward, const Gradients& gradients, Report& report) {
  check_wanted("gradient of q", gradients.q, forward.q, report);
  check_wanted("gradient of k", gradients.k, forward.k, report);
  check_wanted("gradient of v", gradients.v, forward.v, report);
  if (gradients.out.data != nullptr && !is_constant(gradients.out))
    check_rows("gradient of out", gradients.out, kMaxRank, order.size(), report);
  if (gradients.lse.data != nullptr) check_rows("gradient of lse", gradients.lse, 3, order.size(), report);
}

Rows gathered_if_given(const TensorView& view, std::span<const std::int32_t> order) {
  return view.data == nullptr ? Rows(TensorView(), 0) : gathered(view, order);
}

// The gradients of an ordered call, of copies; what is not wanted has none.
struct OrderedGradients {
  Rows out, lse, q, k, v;
  Gradients inner;

  OrderedGradients(std::span<const std::int32_t> order, const Gradients& given)
      : out(is_constant(given.out) ? Rows(TensorView(), 0) : gathered_if_given(given.out, order)),
        lse(gathered_if_given(given.lse, order)),
        q(given.q, order.size()),
        k(given.k, order.size()),
        v(given.v, order.size()),
        inner(given) {
    if (given.out.data != nullptr && !is_constant(given.out)) inner.out = out.view;
    if (given.lse.data != nullptr) inner.lse = lse.view;
    if (given.q.data != nullptr) inner.q = q.view;
    if (given.k.data != nullptr) inner.k = k.view;
    if (given.v.data != nullptr) inner.v = v.view;
  }

  void write(std::span<const std::int32_t> order, const Gradients& wanted) const {
    if (wanted.q.data != nullptr) scatter(q, wanted.q, order);
    if (wanted.k.data != nullptr) scatter(k, wanted.k, order);
    if (wanted.v.data != nullptr) scatter(v, wanted.v, order);
  }
};

}  // namespace
}  // namespace variants

Result<std::vector<std::int32_t>> window_order(const SwinOptions& image) {
  return engine::guarded("window_order", [&]() -> Result<std::vector<std::int32_t>> {
    engine::Report report("window_order");
    variants::check_windows(image, report);
    if (!report.empty()) return report.take();
    const auto [rows, columns] = variants::window_axes(image);
    const auto rolled = [](std::int32_t at, const variants::WindowAxis& axis) {
      return (at + axis.padded() - axis.shift) % axis.padded();
    };
    return variants::ordered({image.height, image.width},
                             [&, &down = rows, &along = columns](std::int32_t row, std::int32_t column) {
                               const std::int32_t y = rolled(row, down), x = rolled(column, along);
                               return std::tuple(y / down.window, x / along.window, y, x);
                             });
  });
}

Result<std::vector<std::int32_t>> tile_order(const ImageSize& image, const ImageSize& tile) {
  return engine::guarded("tile_order", [&]() -> Result<std::vector<std::int32_t>> {
    engine::Report report("tile_order");
    variants::check_size("image", image, report);
    variants::check_size("tile", tile, report);
    if (!report.empty()) return report.take();
    return variants::ordered(image, [&](std::int32_t row, std::int32_t column) {
      return std::tuple(row / tile.height, column / tile.width, row, column);
    });
  });
}

Result<std::vector<std::int32_t>> morton_order(const ImageSize& image) {
  return engine::guarded("morton_order", [&]() -> Result<std::vector<std::int32_t>> {
    engine::Report report("morton_order");
    variants::check_size("image", image, report);
    if (!report.empty()) return report.take();
    return variants::ordered(
        image, [](std::int32_t row, std::int32_t column) { return variants::spread(row) << 1U | variants::spread(column); });
  });
}

Result<AttentionSpec> in_order(const AttentionSpec& spec) {
  return engine::guarded_on_large_stack("in_order", [&]() -> Result<AttentionSpec> {
    engine::Report report("in_order");
    variants::check_flags(spec, report);
    if (!report.empty()) return report.take();
    AttentionSpec result = spec;
    result.program = variants::through_order(spec.program);
    result.score_mod = variants::through_order(spec.score_mod);
    result.mask_mod = variants::through_order(spec.mask_mod);
    if (spec.score_mod.empty() && spec.mask_mod.empty())
      result.program = fmt::format("buffer {} : i32[q_len]\n", variants::kRowOrder) + result.program;
    else
      result.buffers.push_back({.name = variants::kRowOrder, .dtype = DType::kI32, .rank = 1});
    return result;
  });
}

Result<RunStats> run_in_order(const Attention& attention, std::span<const std::int32_t> order, const RunArgs& args) {
  return engine::guarded("run_in_order", attention, [&]() -> Result<RunStats> {
    engine::Report report("run_in_order");
    const Attention::Impl& impl = attention.impl();
    variants::check_call(impl, order, args, report);
    if (!report.empty()) return report.take();
    const Bindings bindings = variants::with_order(args.bindings, order);
    RunArgs bound = args;
    bound.bindings = &bindings;
    Result<engine::Call> call = engine::check_call(*impl.pattern, bound);
    if (!call) return call.diagnostics();
    if (call->has_no_rows()) return RunStats{};
    for (plan::Sequence& sequence : call->sequences) sequence.order = order.data();
    if (impl.kernel == nullptr) return engine::attend_by_reference(*impl.pattern, bound, *call, call->sequences);
    return engine::attend_by_kernel(impl, bound, *call);
  });
}

Result<RunStats> run_backward_in_order(const Attention& attention, std::span<const std::int32_t> order, const RunArgs& forward,
                                       const Gradients& gradients) {
  return engine::guarded("run_backward_in_order", attention, [&]() -> Result<RunStats> {
    engine::Report report("run_backward_in_order");
    variants::check_call(attention.impl(), order, forward, report);
    if (report.empty()) variants::check_gradients(order, forward, gradients, report);
    if (!report.empty()) return report.take();
    variants::OrderedCall call(order, forward);
    const variants::Rows out = variants::gathered(forward.out, order), lse = variants::gathered_if_given(forward.lse, order);
    call.args.out = out.view;
    if (forward.lse.data != nullptr) call.args.lse = lse.view;
    const variants::OrderedGradients ordered(order, gradients);
    const Result<RunStats> done = run_backward(attention, call.args, ordered.inner);
    if (done) ordered.write(order, gradients);
    return done;
  });
}

}  // namespace flexjit
