// The mask's flags follow FlashAttention's own normalisation, step by step, since its windows are defined by it. What a call
// may change without compiling is bound as a param; the spec has the option alone.
#include "entry/flash_call.h"

#include <algorithm>
#include <limits>

#include "call/validate.h"
#include "pattern/pattern.h"

namespace flexjit::engine {

namespace {

struct Diagonal {
  bool causal = false;
  std::optional<Window> window{};
};

Diagonal diagonal_of(const FlashCall& call) {
  std::int64_t left = call.flags.window_size[0], right = call.flags.window_size[1];
  if (left < 0 || left >= call.seqlen_k) left = -1;
  if (right < 0 || right >= call.seqlen_k) right = -1;
  const bool one_query = call.seqlen_q == 1 && call.flags.alibi_slopes.data == nullptr;
  if (call.flags.causal && !one_query) right = 0;
  if (left < 0 && right < 0) return {};
  if (left < 0 && right == 0) return {.causal = true};
  const auto bound = [&](std::int64_t side) { return static_cast<std::int32_t>(side < 0 ? call.seqlen_k : side); };
  return {.window = Window{bound(left), bound(right)}};
}

std::int32_t dim_of(const TensorView& view) {
  return static_cast<std::int32_t>(std::clamp<std::int64_t>(view.shape[3], 0, std::numeric_limits<std::int32_t>::max()));
}

Bindings bindings_of(const FlashFlags& flags, const Diagonal& diagonal) {
  Bindings bindings = flags.bindings != nullptr ? *flags.bindings : Bindings{};
  if (flags.alibi_slopes.data != nullptr) bindings.buffers["alibi_slopes"] = flags.alibi_slopes;
  if (diagonal.window) {
    bindings.params["window_left"] = diagonal.window->left;
    bindings.params["window_right"] = diagonal.window->right;
  }
  if (flags.softcap > 0) bindings.params["softcap"] = flags.softcap;
  if (flags.dropout_p > 0) {
    bindings.params["dropout_p"] = flags.dropout_p;
    bindings.params["dropout_seed"] = flags.rng_state[0];
    bindings.params["dropout_offset"] = flags.rng_state[1];
  }
  return bindings;
}

AttentionSpec spec_of(const FlashCall& call, const Diagonal& diagonal) {
  const FlashFlags& flags = call.flags;
  AttentionSpec spec{.score_mod = flags.score_mod,
                     .mask_mod = flags.mask_mod,
                     .dtype = call.args.q.dtype,
                     .out_dtype = call.args.out.dtype,
                     .head_dim = dim_of(call.args.q),
                     .v_head_dim = std::max(dim_of(call.args.v), 1),
                     .scale = flags.softmax_scale,
                     .causal = diagonal.causal,
                     .alibi = flags.alibi_slopes.data != nullptr};
  if (diagonal.window) spec.window.emplace();
  if (flags.softcap > 0) spec.softcap = 1;
  if (flags.dropout_p > 0) spec.dropout.emplace();
  if (flags.bindings != nullptr) spec.declare(*flags.bindings);
  return spec;
}

}  // namespace

bool has_diagonal(const FlashCall& call) {
  const Diagonal diagonal = diagonal_of(call);
  return diagonal.causal || diagonal.window.has_value();
}

Result<FlashPattern> find_pattern(Engine& engine, const FlashCall& call, Report& report) {
  const FlashFlags& flags = call.flags;
  if (!(flags.dropout_p >= 0 && flags.dropout_p < 1))
    report.add(Finding::kBadOption, "dropout_p", flags.dropout_p, "it must be 0 or more and below 1");
  if (!report.empty()) return report.take();
  const Diagonal diagonal = diagonal_of(call);
  Result<Attention> attention = engine.compile_once(spec_of(call, diagonal));
  if (!attention) return attention.diagnostics();
  return FlashPattern{*std::move(attention), bindings_of(flags, diagonal)};
}

Result<FlashAttnResult> attend_flash(Engine& engine, const FlashCall& call, Report& report) {
  const Result<FlashPattern> pattern = find_pattern(engine, call, report);
  if (!pattern) return pattern.diagnostics();
  RunArgs args = call.args;
  args.bindings = &pattern->bindings;
  const Result<RunStats> stats = pattern->attention.run(args);
  if (!stats) return stats.diagnostics();
  FlashAttnResult result{.stats = *stats};
  if (call.wants_weights) {
    Result<std::vector<float>> weights = pattern->attention.weights(args, {.q = {0, static_cast<std::int32_t>(call.seqlen_q)}});
    if (!weights) return weights.diagnostics();
    result.s_dmask = *std::move(weights);
  }
  return result;
}

}  // namespace flexjit::engine
