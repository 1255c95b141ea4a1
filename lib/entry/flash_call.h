// What FlashAttention's calls have in common once their tensors are views of a call: options -> spec and bindings -> the
// handle that the engine remembers -> its run.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "diagnostics/report.h"
#include "flexjit/flash_attention.h"

namespace flexjit::engine {

// The options that all calls have.
struct FlashFlags {
  double dropout_p = 0;
  std::optional<double> softmax_scale{};
  bool causal = false;
  std::array<int, 2> window_size{-1, -1};
  double softcap = 0;
  TensorView alibi_slopes{};
  std::array<int, 2> rng_state{};
  std::string score_mod{}, mask_mod{};
  const Bindings* bindings = nullptr;

  template <typename Options>
  static FlashFlags of(const Options& options) {
    FlashFlags flags{.softmax_scale = options.softmax_scale,
                     .causal = options.causal,
                     .window_size = options.window_size,
                     .softcap = options.softcap,
                     .alibi_slopes = options.alibi_slopes,
                     .score_mod = options.score_mod,
                     .mask_mod = options.mask_mod,
                     .bindings = options.bindings};
    if constexpr (requires { options.dropout_p; }) {
      flags.dropout_p = options.dropout_p;
      flags.rng_state = options.rng_state;
    }
    return flags;
  }
};

// Sequences and the arrays that they refer to.
struct FlashSequences {
  Sequences sequences{};
  std::vector<std::int32_t> begins{}, lengths{};
};

struct FlashCall {
  RunArgs args{};  // `bindings` are set by attend_flash
  FlashFlags flags{};
  // FlashAttention's seqlen_q and seqlen_k, of which its windows depend: of the longest sequence, or the room of a cache.
  std::int64_t seqlen_q = 0, seqlen_k = 0;
  bool wants_weights = false;
};

// Whether a query's position decides what it sees.
bool has_diagonal(const FlashCall& call);

// What runs a call, and the names that its texts and options read.
struct FlashPattern {
  Attention attention;
  Bindings bindings;
};
Result<FlashPattern> find_pattern(Engine& engine, const FlashCall& call, Report& report);

Result<FlashAttnResult> attend_flash(Engine& engine, const FlashCall& call, Report& report);

// The call of a batch of one length; no value where the report has findings.
std::optional<FlashCall> take_batch(const TensorView& q, const TensorView& k, const TensorView& v,
                                    const FlashAttnOptions& options, Report& report);
// The call of packed sequences, which refers to `said`.
std::optional<FlashCall> take_packed(const TensorView& q, const TensorView& k, const TensorView& v,
                                     const FlashAttnVarlenOptions& options, FlashSequences& said, Report& report);

}  // namespace flexjit::engine
