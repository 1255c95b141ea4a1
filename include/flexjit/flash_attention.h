// FlashAttention's calls under its names, with its argument names, defaults, shapes and meanings, each a thin layer over
// AttentionSpec, RunArgs and Sequences; besides any of them takes the text of a score and a mask.
//
//   flash_attn_func(engine, q, k, v, {.out = out, .causal = true, .softmax_lse = lse}).value();
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "flexjit/attention.h"
#include "flexjit/backward.h"
#include "flexjit/engine.h"
#include "flexjit/export.h"
#include "flexjit/result.h"
#include "flexjit/tensor.h"

namespace flexjit {

// Tensors here are (batch, seqlen, heads, dim) or packed (total, heads, dim), in this order of their extents: a dense array is
// TensorView(data, dtype, {batch, seqlen, heads, dim}). Any strides but for the innermost, which is 1. Nothing is copied.
// Query head h reads key head h / (heads_q / heads_k). v may have another dim than q and k; q, k and v have one dtype. Results
// go into the caller's `out`, of the dtype of q or f32, and where it has data into `softmax_lse`, f32, natural logarithms.
//
// A call compiles at most once for its dtypes, dims, scale, set of options and texts; the engine remembers. Values of softcap,
// windows, dropout, lengths and strides compile nothing. Thread-safe. Errors are diagnostics that name the argument, the index
// and the limit, and nothing is written then: those of Engine::compile() and Attention::run(), `bad-option` for a batch of 0, a
// max_seqlen that is exceeded and dropout_p outside [0, 1), `sequence-index` and `sequence-option` for lengths.

// Tensors side by side in one: (batch, seqlen, parts, heads, dim) or (total, parts, heads, dim), parts being 3 (q, k, v) or 2
// (k, v). Strides in elements.
struct PackedView {
  const void* data = nullptr;
  DType dtype = DType::kF32;
  int rank = 0;
  std::array<std::int64_t, 5> shape{}, strides{};

  PackedView() = default;
  // A dense row-major array.
  FLEXJIT_API PackedView(const void* pointer, DType type, std::initializer_list<std::int64_t> extents);
};

// What all calls but with_kvcache give back beside what they wrote.
struct FlashAttnResult {
  RunStats stats;
  // Of return_attn_probs: (batch, heads, longest seqlen_q, longest seqlen_k), the weights, negative where dropout dropped them
  // (-0 among them), before they are divided by 1 - p. By the reference, for looking: slow, at most 2^26 of them.
  std::vector<float> s_dmask{};
};

struct FlashAttnOptions {
  MutableTensorView out{};                 // (batch, seqlen_q, heads_q, dim of v)
  double dropout_p = 0;                    // 0 <= p < 1
  std::optional<double> softmax_scale{};   // 1 / sqrt(dim)
  bool causal = false;                     // ends in the bottom-right corner; ignored for one query without ALiBi
  std::array<int, 2> window_size{-1, -1};  // keys i + seqlen_k - seqlen_q - left to ... + right; negative: unbounded
  double softcap = 0;                      // 0 or less: none
  TensorView alibi_slopes{};               // f32 (heads_q) or (batch, heads_q)
  bool deterministic = false;              // results always are
  bool return_attn_probs = false;
  MutableTensorView softmax_lse{};      // (batch, heads_q, seqlen_q)
  std::array<int, 2> rng_state{};       // seed and offset of dropout
  TensorView learnable_sink{};          // (heads_q), f32, bf16 or f16
  std::string score_mod{}, mask_mod{};  // as in AttentionSpec; the mask is ANDed with the flags
  const Bindings* bindings = nullptr;   // of the texts' names
};

FLEXJIT_API Result<FlashAttnResult> flash_attn_func(Engine& engine, const TensorView& q, const TensorView& k,
                                                    const TensorView& v, const FlashAttnOptions& options);
FLEXJIT_API Result<FlashAttnResult> flash_attn_qkvpacked_func(Engine& engine, const PackedView& qkv,
                                                              const FlashAttnOptions& options);
FLEXJIT_API Result<FlashAttnResult> flash_attn_kvpacked_func(Engine& engine, const TensorView& q, const PackedView& kv,
                                                             const FlashAttnOptions& options);

// Sequences packed one behind the other, each with lengths of its own; all index tensors are i32.
struct FlashAttnVarlenOptions {
  TensorView cu_seqlens_q{}, cu_seqlens_k{};  // (batch + 1), from 0; the last is the rows of q, and at most those of k
  int max_seqlen_q = 0, max_seqlen_k = 0;     // at least the longest; 0: found out
  MutableTensorView out{};                    // (total_q, heads_q, dim of v)
  double dropout_p = 0;
  std::optional<double> softmax_scale{};
  bool causal = false;
  std::array<int, 2> window_size{-1, -1};
  double softcap = 0;
  TensorView alibi_slopes{};
  bool deterministic = false;
  bool return_attn_probs = false;
  // k and v are (num_blocks, page_size, heads_k, dim) and key i of sequence b is row i % page_size of block
  // block_table[b, i / page_size]; lengths are still those of cu_seqlens_k, whose last is no limit then. (batch, max_blocks)
  TensorView block_table{};
  TensorView seqused_q{}, seqused_k{};  // (batch): only so many of each sequence count; other rows of out are not written
  TensorView leftpad_k{};               // (batch): so many of the keys that count are left out at the begin; not with pages
  MutableTensorView softmax_lse{};      // (heads_q, total_q)
  std::array<int, 2> rng_state{};
  TensorView learnable_sink{};
  std::string score_mod{}, mask_mod{};
  const Bindings* bindings = nullptr;
};

FLEXJIT_API Result<FlashAttnResult> flash_attn_varlen_func(Engine& engine, const TensorView& q, const TensorView& k,
                                                           const TensorView& v, const FlashAttnVarlenOptions& options);
// cu_seqlens and max_seqlen of these two: q's. In the first, k's are the same and not given.
FLEXJIT_API Result<FlashAttnResult> flash_attn_varlen_qkvpacked_func(Engine& engine, const PackedView& qkv,
                                                                     const FlashAttnVarlenOptions& options);
FLEXJIT_API Result<FlashAttnResult> flash_attn_varlen_kvpacked_func(Engine& engine, const TensorView& q, const PackedView& kv,
                                                                    const FlashAttnVarlenOptions& options);

// Gradients of those calls, in the order of extents of what they are of; what has no data is absent, as in Gradients
// (backward.h), which says what they are.
struct FlashAttnGradients {
  TensorView dout{};                   // given: of the loss by out, of the element type of out or f32
  TensorView dlse{};                   // given: by softmax_lse, f32
  MutableTensorView dq{}, dk{}, dv{};  // wanted, of the types of q, k and v or f32
  MutableTensorView dsink{};           // wanted: by learnable_sink
  std::map<std::string, MutableTensorView, std::less<>> buffers{};  // wanted: by tensors that score_mod reads
};

// `options` are those of the call before, whose `out` and `softmax_lse` hold what it wrote and are read here; of packed tensors
// q, k and v are the views of their parts, and so are dq, dk and dv. Rows of gradients that belong to no sequence are 0.
// Compiles the kernel of gradients at the first such call. Errors: those of the call and of run_backward(); keys in pages have
// none.
FLEXJIT_API Result<RunStats> flash_attn_backward(Engine& engine, const TensorView& q, const TensorView& k, const TensorView& v,
                                                 const FlashAttnOptions& options, const FlashAttnGradients& gradients);
FLEXJIT_API Result<RunStats> flash_attn_varlen_backward(Engine& engine, const TensorView& q, const TensorView& k,
                                                        const TensorView& v, const FlashAttnVarlenOptions& options,
                                                        const FlashAttnGradients& gradients);

// A length for all sequences, one for each ((batch), i32), or none: what is in the cache is all of it.
struct CacheSeqlens {
  TensorView of_each{};
  std::optional<int> of_all{};

  CacheSeqlens() = default;
  CacheSeqlens(int all) : of_all(all) {}                   // NOLINT(google-explicit-constructor)
  CacheSeqlens(const TensorView& each) : of_each(each) {}  // NOLINT(google-explicit-constructor)
  bool given() const { return of_all.has_value() || of_each.data != nullptr; }
};

struct FlashAttnKvcacheOptions {
  MutableTensorView out{};                // (batch, seqlen_q, heads_q, dim of v)
  TensorView k{}, v{};                    // (batch, seqlen_new, heads_k, dim): appended to the cache before queries read it
  TensorView rotary_cos{}, rotary_sin{};  // (positions, rotary_dim / 2), with k and v; see flexjit/rotary.h
  CacheSeqlens cache_seqlens{};           // keys in the cache before k is appended
  TensorView cache_batch_idx{};           // (batch), i32: the entry of the cache; not with block_table
  TensorView cache_leftpad{};             // (batch), i32: the row that is key 0; rows [leftpad, cache_seqlens + new) are keys
  TensorView block_table{};               // (batch, max_blocks), i32; below 0: no block
  std::optional<double> softmax_scale{};
  bool causal = false;
  std::array<int, 2> window_size{-1, -1};
  double softcap = 0;
  bool rotary_interleaved = true;  // pairs (0, 1), (2, 3), ...; else (j, j + rotary_dim / 2)
  TensorView alibi_slopes{};
  int num_splits = 0;               // 0 to 128, a hint: splits follow from lengths, so that no bit depends on it
  bool return_softmax_lse = false;  // softmax_lse must be given then
  MutableTensorView softmax_lse{};  // (batch, heads_q, seqlen_q)
  // (batch), i32: written with cache_seqlens and the number of new keys, which may be cache_seqlens itself; absent: not wanted
  MutableTensorView return_cache_seqlens{};
  TensorView learnable_sink{};
  std::string score_mod{}, mask_mod{};
  const Bindings* bindings = nullptr;
};

// The cache is (cache_batch, seqlen_cache, heads_k, dim), or with block_table (num_blocks, page_size, heads_k, dim). Row
// cache_seqlens + i of a sequence becomes k[i], rotated to that position; query i rotates to cache_seqlens + i, without causal
// and window to cache_seqlens. On an error the cache is as it was. Errors besides: those of append_kv (kv_cache.h).
FLEXJIT_API Result<RunStats> flash_attn_with_kvcache(Engine& engine, const TensorView& q, const MutableTensorView& k_cache,
                                                     const MutableTensorView& v_cache, const FlashAttnKvcacheOptions& options);

// What tensors of pages come to.
struct PagedKvParams {
  std::int32_t page_size = 0, max_pages = 0;  // max_pages: those of a sequence
};
// Whether block_table (batch, max_pages), i32, names pages of caches that are both (num_pages, page_size, heads_k, dim), of one
// element type, with at least one page of at least one row. An entry below 0 is no page. Thread-safe. Errors (all that apply):
// those of tensors, `sequence-option` for no pages, `sequence-index` for an entry of num_pages or more.
FLEXJIT_API Result<PagedKvParams> validate_paged_kv_params(const TensorView& block_table, std::int64_t batch_size,
                                                           const TensorView& k_cache, const TensorView& v_cache);

// Writes new_k and new_v (batch, seqlen_new, heads_k, dim) behind the cache_seqlens (batch), i32, keys that are in the pages of
// each sequence, and returns how many are there now. seqlen_new may be 0. On an error the cache is as it was: errors of
// validate_paged_kv_params and append_kv (kv_cache.h).
FLEXJIT_API Result<std::vector<std::int32_t>> update_paged_kv_cache(const MutableTensorView& k_cache,
                                                                    const MutableTensorView& v_cache, const TensorView& new_k,
                                                                    const TensorView& new_v, const TensorView& block_table,
                                                                    const TensorView& cache_seqlens);

// Attention over keys that were split into disjoint parts, from those of the parts.
struct FlashAttnCombineArgs {
  PackedView out_partial{};         // (splits, batch, seqlen, heads, dim) or (splits, total, heads, dim)
  TensorView lse_partial{};         // f32, without the dim; -inf: saw no key
  MutableTensorView out{};          // without the splits
  MutableTensorView softmax_lse{};  // f32 (batch, seqlen, heads) or (total, heads); data == nullptr: not wanted
};
FLEXJIT_API Status flash_attn_combine(const FlashAttnCombineArgs& args);

}  // namespace flexjit
