/* The part of c_api.h about sequences with lengths of their own: packed, in caches, in pages. What each tensor means is said in
 * flexjit/sequences.h.
 *
 *   flexjit_sequences sequences;
 *   flexjit_sequences_init(&sequences);
 *   sequences.cu_seqlens_q = flexjit_dense_tensor(begins, FLEXJIT_I32, 1, &count);
 *   sequences.total_len = flexjit_dense_tensor(lengths, FLEXJIT_I32, 1, &batch);
 *   args.q = flexjit_thd_tensor(q, FLEXJIT_F32, total_heads_dim);
 *   args.sequences = &sequences;
 */
#ifndef FLEXJIT_C_API_H
#include "flexjit/c_api.h" /* which includes this */
#elif !defined(FLEXJIT_C_SEQUENCES_H)
#define FLEXJIT_C_SEQUENCES_H

#ifdef __cplusplus
extern "C" {
#endif

/* Every tensor is FLEXJIT_I32; data == NULL: absent. */
struct flexjit_sequences {
  size_t struct_size;
  flexjit_tensor cu_seqlens_q, seqused_q; /* (batch + 1), (batch) */
  flexjit_tensor cu_seqlens_k, total_len;
  flexjit_tensor cache_batch_idx, cache_leftpad;
  flexjit_tensor block_table;                   /* (batch, max_pages) */
  flexjit_tensor page_indptr, page_indices;     /* the same in one list */
  const flexjit_block_mask* const* block_masks; /* by sequence, in the place of flexjit_run_args.block_mask; */
  size_t block_mask_count;                      /* 0: derived */
};

FLEXJIT_API void flexjit_sequences_init(flexjit_sequences* sequences);

/* The (1, heads, total, dim) view of a dense (total, heads, dim) array of packed rows; 3 extents are read from `shape_thd`. */
FLEXJIT_API flexjit_tensor flexjit_thd_tensor(void* data, flexjit_dtype dtype, const int64_t* shape_thd);

#ifdef __cplusplus
}
#endif

#endif /* FLEXJIT_C_SEQUENCES_H */
