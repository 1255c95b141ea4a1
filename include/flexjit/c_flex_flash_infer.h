/* The part of c_api.h about masks that are prepared once and attended with many times: FlexFlashInfer. What every argument
 * means is said in flexjit/flex_flash_infer.h. */
#ifndef FLEXJIT_C_API_H
#include "flexjit/c_api.h" /* which includes this */
#elif !defined(FLEXJIT_C_FLEX_FLASH_INFER_H)
#define FLEXJIT_C_FLEX_FLASH_INFER_H

#ifdef __cplusplus
extern "C" {
#endif

/* A prepared mask, which may be run from several threads at once and outlives its engine; and a BSR matrix with its lists. */
typedef struct flexjit_flex_plan flexjit_flex_plan;
typedef struct flexjit_bsr_blocks flexjit_bsr_blocks;

typedef enum flexjit_lse_base { FLEXJIT_LSE_BASE_TWO = 0, FLEXJIT_LSE_BASE_NATURAL = 1 } flexjit_lse_base;

typedef struct flexjit_mask_sizes {
  size_t struct_size;
  int32_t has_window_size, window_size;
  int32_t has_chunk_size, chunk_size;
} flexjit_mask_sizes;

typedef struct flexjit_flex_prepare_args {
  size_t struct_size;
  const char* mask;              /* a name, a text, or NULL where `bsr` is given */
  const flexjit_bsr_matrix* bsr; /* copied */
  const char* score_mod;
  int32_t q_len, kv_len;
  int32_t num_qo_heads;
  int32_t num_kv_heads; /* 0: num_qo_heads */
  int32_t head_dim;
  int32_t block_size_row, block_size_col; /* 64 */
  flexjit_dtype dtype;                    /* FLEXJIT_F16 */
  int32_t has_sm_scale;                   /* 0: 1 / sqrt(head_dim) */
  double sm_scale;
  int32_t has_window_size, window_size;
  int32_t has_chunk_size, chunk_size;
  flexjit_bindings bindings; /* whose buffers live as long as the plan */
  int32_t whole_blocks;
} flexjit_flex_prepare_args;

/* (length, heads, head_dim); lse (q_len, num_qo_heads), data == NULL: not wanted. */
typedef struct flexjit_flex_run_args {
  size_t struct_size;
  flexjit_tensor q, k, v, out, lse;
  flexjit_lse_base lse_base;
} flexjit_flex_run_args;

FLEXJIT_API void flexjit_mask_sizes_init(flexjit_mask_sizes* sizes);
FLEXJIT_API void flexjit_flex_prepare_args_init(flexjit_flex_prepare_args* args);
FLEXJIT_API void flexjit_flex_run_args_init(flexjit_flex_run_args* args);

/* The text of a named mask; `sizes` may be NULL. */
FLEXJIT_API flexjit_status flexjit_get_mask_fn(const char* mask_type, const flexjit_mask_sizes* sizes, flexjit_blob** text,
                                               flexjit_error** error);

FLEXJIT_API flexjit_status flexjit_flex_prepare(flexjit_engine* engine, const flexjit_flex_prepare_args* args,
                                                flexjit_flex_plan** plan, flexjit_error** error);
/* `stats` may be NULL. */
FLEXJIT_API flexjit_status flexjit_flex_run(const flexjit_flex_plan* plan, const flexjit_flex_run_args* args,
                                            flexjit_run_stats* stats, flexjit_error** error);
FLEXJIT_API flexjit_status flexjit_flex_block_mask(const flexjit_flex_plan* plan, flexjit_block_mask** mask,
                                                   flexjit_error** error);
FLEXJIT_API flexjit_status flexjit_flex_bsr(const flexjit_flex_plan* plan, int32_t head, flexjit_bsr_blocks** blocks,
                                            flexjit_error** error);
FLEXJIT_API void flexjit_flex_plan_destroy(flexjit_flex_plan* plan);

/* Its lists, which live as long as `blocks`. */
FLEXJIT_API flexjit_status flexjit_bsr_blocks_get(const flexjit_bsr_blocks* blocks, flexjit_bsr_matrix* matrix,
                                                  flexjit_error** error);
FLEXJIT_API void flexjit_bsr_blocks_destroy(flexjit_bsr_blocks* blocks);

#ifdef __cplusplus
}
#endif

#endif /* FLEXJIT_C_FLEX_FLASH_INFER_H */
