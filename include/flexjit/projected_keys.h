// Attention to fewer keys than there are tokens: each key and value that queries meet is made of those of many tokens, by a
// learned matrix (Linformer, Wang et al. 2020) or by pooling tokens that follow one another.
#pragma once

#include <cstdint>

#include "flexjit/attention.h"
#include "flexjit/backward.h"
#include "flexjit/export.h"
#include "flexjit/result.h"
#include "flexjit/spec.h"
#include "flexjit/tensor.h"

namespace flexjit {

enum class KeyPooling : std::uint8_t {
  kDense,        // K' = e^T K, V' = f^T V: every key of every token
  kMean,         // key j is the mean of the tokens j * stride to (j + 1) * stride - 1
  kMax,          // their maximum, element by element; NaN where one is
  kConvolution,  // their sum, each times an element of e
};

// How k and v (batch, kv_heads, tokens, dim) of a call become K' and V' (batch, kv_heads, keys, dim), f32, bf16 or f16 as they
// are, summed in fp32. For a dense e the number of keys is its number of columns, else tokens / stride, rounded up.
struct KeyProjection {
  KeyPooling pooling = KeyPooling::kDense;
  // f32, of kDense (tokens, keys) or (kv_heads, tokens, keys), of kConvolution (stride) or (kv_heads, stride); any strides. An
  // e for longer sequences is cut to `tokens` rows by its view.
  TensorView e{};
  TensorView f{};           // of v, of the same rank; data == nullptr: e
  std::int32_t stride = 1;  // of pooled keys
  // i32 (batch): tokens from there on take no part, whatever they hold, and a key of none of the others is 0. data == nullptr:
  // all.
  TensorView token_lengths{};
  // A dense projection under a mask that compares positions of queries and keys mixes later tokens into every key, so it is
  // refused; true allows it.
  bool allow_leak = false;
};

// A text whose kv_idx is a pooled key of the tokens kv_lo(kv_idx) to kv_hi(kv_idx) - 1. Causal: a query sees the keys that have
// no token behind it, kv_hi(kv_idx) <= q_idx + 1.
struct PooledKeysOptions {
  bool causal = false;
  std::int32_t head_dim = 64;
};
FLEXJIT_API AttentionSpec pooled_keys(const PooledKeysOptions& options);

// The beginning of such a text: `kv_lo` and `kv_hi` as functions, of the params pool_stride and pool_tokens, which
// run_projected() binds wherever a pattern declares them.
FLEXJIT_API const char* pooled_keys_functions() noexcept;

// Attention::run() with K' and V' in the place of k and v. What else args hold is of K': a block mask, buffers over kv_len,
// key_lengths. Takes memory for K' and V', and for k and v in fp32 where they are not. Thread-safe. Errors: those of run();
// `bad-option` for a mask that leaks, a stride below 1, sequences, plans or rotary; those of e, f and token_lengths as tensors.
FLEXJIT_API Result<RunStats> run_projected(const Attention& attention, const KeyProjection& projection, const RunArgs& args);

// Wanted, f32, of the shapes of e and f, any strides, overwritten: sums over the batch, and over heads that share them. Where f
// is absent e is that of both.
struct KeyProjectionGradients {
  MutableTensorView e{}, f{};
};
// run_backward() of such a call: gradients.k and gradients.v are by k and v. A maximum's gradient goes to the first token that
// has it. Errors: those of run_projected() and run_backward().
FLEXJIT_API Result<RunStats> run_backward_projected(const Attention& attention, const KeyProjection& projection,
                                                    const RunArgs& forward, const Gradients& gradients,
                                                    const KeyProjectionGradients& wanted = {});

}  // namespace flexjit
