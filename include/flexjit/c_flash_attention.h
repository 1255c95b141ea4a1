/* The part of c_api.h about calls by FlashAttention's names. What every argument means, its shape and its default is said in
 * flexjit/flash_attention.h; a tensor is absent where it has no data.
 *
 *   flexjit_flash_attn_options options;
 *   flexjit_flash_attn_options_init(&options);
 *   options.out = flexjit_dense_tensor(out, FLEXJIT_F32, 4, shape);
 *   options.causal = 1;
 *   flexjit_flash_attn_func(engine, &q, &k, &v, &options, NULL, &error);
 */
#ifndef FLEXJIT_C_API_H
#include "flexjit/c_api.h" /* which includes this */
#elif !defined(FLEXJIT_C_FLASH_ATTENTION_H)
#define FLEXJIT_C_FLASH_ATTENTION_H

#ifdef __cplusplus
extern "C" {
#endif

/* Tensors side by side: (batch, seqlen, parts, heads, dim) or (total, parts, heads, dim). Strides in elements. */
typedef struct flexjit_packed_tensor {
  void* data;
  flexjit_dtype dtype;
  int32_t rank; /* at most 5 */
  int64_t shape[5];
  int64_t strides[5];
} flexjit_packed_tensor;

/* Tensors are (batch, seqlen, heads, dim). */
typedef struct flexjit_flash_attn_options {
  size_t struct_size;
  flexjit_tensor out;
  double dropout_p;
  int32_t has_softmax_scale; /* 0: 1 / sqrt(dim) */
  double softmax_scale;
  int32_t causal;
  int32_t window_size[2]; /* -1, -1 */
  double softcap;
  flexjit_tensor alibi_slopes;
  int32_t deterministic;
  flexjit_blob** return_attn_probs; /* NULL: not wanted; else gets s_dmask, floats, for the caller to destroy */
  flexjit_tensor softmax_lse;
  int32_t rng_state[2];
  flexjit_tensor learnable_sink;
  const char *score_mod, *mask_mod; /* NULL is as "" */
  flexjit_bindings bindings;
} flexjit_flash_attn_options;

/* Tensors are (total, heads, dim). */
typedef struct flexjit_flash_attn_varlen_options {
  size_t struct_size;
  flexjit_tensor cu_seqlens_q, cu_seqlens_k;
  int32_t max_seqlen_q, max_seqlen_k; /* 0: found out */
  flexjit_tensor out;
  double dropout_p;
  int32_t has_softmax_scale;
  double softmax_scale;
  int32_t causal;
  int32_t window_size[2];
  double softcap;
  flexjit_tensor alibi_slopes;
  int32_t deterministic;
  flexjit_blob** return_attn_probs;
  flexjit_tensor block_table;
  flexjit_tensor seqused_q, seqused_k;
  flexjit_tensor leftpad_k;
  flexjit_tensor softmax_lse;
  int32_t rng_state[2];
  flexjit_tensor learnable_sink;
  const char *score_mod, *mask_mod;
  flexjit_bindings bindings;
} flexjit_flash_attn_varlen_options;

/* Tensors are (batch, seqlen, heads, dim). cache_seqlens of all sequences is a number, of each a tensor, or neither is given.
 */
typedef struct flexjit_flash_attn_kvcache_options {
  size_t struct_size;
  flexjit_tensor out;
  flexjit_tensor k, v;
  flexjit_tensor rotary_cos, rotary_sin;
  int32_t has_cache_seqlens_of_all;
  int32_t cache_seqlens_of_all;
  flexjit_tensor cache_seqlens;
  flexjit_tensor cache_batch_idx;
  flexjit_tensor cache_leftpad;
  flexjit_tensor block_table;
  int32_t has_softmax_scale;
  double softmax_scale;
  int32_t causal;
  int32_t window_size[2];
  double softcap;
  int32_t rotary_interleaved; /* 1 */
  flexjit_tensor alibi_slopes;
  int32_t num_splits;
  int32_t return_softmax_lse;
  flexjit_tensor softmax_lse;
  flexjit_tensor return_cache_seqlens;
  flexjit_tensor learnable_sink;
  const char *score_mod, *mask_mod;
  flexjit_bindings bindings;
} flexjit_flash_attn_kvcache_options;

typedef struct flexjit_flash_attn_combine_args {
  size_t struct_size;
  flexjit_packed_tensor out_partial;
  flexjit_tensor lse_partial;
  flexjit_tensor out;
  flexjit_tensor softmax_lse;
} flexjit_flash_attn_combine_args;

FLEXJIT_API void flexjit_flash_attn_options_init(flexjit_flash_attn_options* options);
FLEXJIT_API void flexjit_flash_attn_varlen_options_init(flexjit_flash_attn_varlen_options* options);
FLEXJIT_API void flexjit_flash_attn_kvcache_options_init(flexjit_flash_attn_kvcache_options* options);
FLEXJIT_API void flexjit_flash_attn_combine_args_init(flexjit_flash_attn_combine_args* args);

/* A dense row-major array; `rank` extents are read from `shape`, at most 5. Of another rank it is one that every call refuses.
 */
FLEXJIT_API flexjit_packed_tensor flexjit_dense_packed_tensor(void* data, flexjit_dtype dtype, int32_t rank,
                                                              const int64_t* shape);

/* `stats` may be NULL in all of these. */
FLEXJIT_API flexjit_status flexjit_flash_attn_func(flexjit_engine* engine, const flexjit_tensor* q, const flexjit_tensor* k,
                                                   const flexjit_tensor* v, const flexjit_flash_attn_options* options,
                                                   flexjit_run_stats* stats, flexjit_error** error);
FLEXJIT_API flexjit_status flexjit_flash_attn_qkvpacked_func(flexjit_engine* engine, const flexjit_packed_tensor* qkv,
                                                             const flexjit_flash_attn_options* options,
                                                             flexjit_run_stats* stats, flexjit_error** error);
FLEXJIT_API flexjit_status flexjit_flash_attn_kvpacked_func(flexjit_engine* engine, const flexjit_tensor* q,
                                                            const flexjit_packed_tensor* kv,
                                                            const flexjit_flash_attn_options* options, flexjit_run_stats* stats,
                                                            flexjit_error** error);
FLEXJIT_API flexjit_status flexjit_flash_attn_varlen_func(flexjit_engine* engine, const flexjit_tensor* q,
                                                          const flexjit_tensor* k, const flexjit_tensor* v,
                                                          const flexjit_flash_attn_varlen_options* options,
                                                          flexjit_run_stats* stats, flexjit_error** error);
FLEXJIT_API flexjit_status flexjit_flash_attn_varlen_qkvpacked_func(flexjit_engine* engine, const flexjit_packed_tensor* qkv,
                                                                    const flexjit_flash_attn_varlen_options* options,
                                                                    flexjit_run_stats* stats, flexjit_error** error);
FLEXJIT_API flexjit_status flexjit_flash_attn_varlen_kvpacked_func(flexjit_engine* engine, const flexjit_tensor* q,
                                                                   const flexjit_packed_tensor* kv,
                                                                   const flexjit_flash_attn_varlen_options* options,
                                                                   flexjit_run_stats* stats, flexjit_error** error);
/* k_cache and v_cache are written where options.k and options.v are given. */
FLEXJIT_API flexjit_status flexjit_flash_attn_with_kvcache(flexjit_engine* engine, const flexjit_tensor* q,
                                                           const flexjit_tensor* k_cache, const flexjit_tensor* v_cache,
                                                           const flexjit_flash_attn_kvcache_options* options,
                                                           flexjit_run_stats* stats, flexjit_error** error);
FLEXJIT_API flexjit_status flexjit_flash_attn_combine(const flexjit_flash_attn_combine_args* args, flexjit_error** error);

/* `page_size` and `max_pages` are written; each may be NULL. */
FLEXJIT_API flexjit_status flexjit_validate_paged_kv_params(const flexjit_tensor* block_table, int64_t batch_size,
                                                            const flexjit_tensor* k_cache, const flexjit_tensor* v_cache,
                                                            int32_t* page_size, int32_t* max_pages, flexjit_error** error);
/* `total_len` has room for a number a sequence, or is NULL. */
FLEXJIT_API flexjit_status flexjit_update_paged_kv_cache(const flexjit_tensor* k_cache, const flexjit_tensor* v_cache,
                                                         const flexjit_tensor* new_k, const flexjit_tensor* new_v,
                                                         const flexjit_tensor* block_table, const flexjit_tensor* cache_seqlens,
                                                         int32_t* total_len, flexjit_error** error);

#ifdef __cplusplus
}
#endif

#endif /* FLEXJIT_C_FLASH_ATTENTION_H */
