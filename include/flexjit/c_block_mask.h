/* The part of c_api.h about block masks: made from a pattern or from lists, combined, kept in files, looked at. What each
 * function means is said in flexjit/attention.h and flexjit/block_mask.h. */
#ifndef FLEXJIT_C_API_H
#include "flexjit/c_api.h" /* which includes this */
#elif !defined(FLEXJIT_C_BLOCK_MASK_H)
#define FLEXJIT_C_BLOCK_MASK_H

#ifdef __cplusplus
extern "C" {
#endif

typedef enum flexjit_block_kind { FLEXJIT_EMPTY = 0, FLEXJIT_PARTIAL = 1, FLEXJIT_FULL = 2 } flexjit_block_kind;

typedef struct flexjit_block_mask_options {
  size_t struct_size;
  int32_t batch, heads, kv_heads; /* kv_heads 0 = heads */
  int32_t q_len, kv_len, q_block, kv_block;
} flexjit_block_mask_options;

typedef struct flexjit_block_mask_info {
  size_t struct_size;
  int32_t batch, heads, q_len, kv_len, q_block, kv_block;
  int64_t empty_blocks, partial_blocks, full_blocks;
  double sparsity; /* percent of the blocks that are empty */
  size_t bytes;    /* of the lists as stored */
} flexjit_block_mask_info;

/* How a mask was found. */
typedef struct flexjit_block_mask_report {
  size_t struct_size;
  double build_ms;
  int64_t proved, evaluated; /* blocks decided by interval analysis; blocks of which elements were evaluated */
} flexjit_block_mask_report;

/* The positions [q_begin, q_end) x [kv_begin, kv_end) of batch entry b and head h. */
typedef struct flexjit_mask_region {
  size_t struct_size;
  int32_t b, h;
  int32_t q_begin, q_end, kv_begin, kv_end;
} flexjit_mask_region;

/* FlexAttention's lists: num_blocks (batch, heads, q_blocks), and `width` indices for each of those rows. Both NULL: none. */
typedef struct flexjit_block_lists {
  size_t struct_size;
  const int32_t* num_blocks;
  size_t num_blocks_count;
  const int32_t* indices;
  size_t index_count;
  int32_t width;
} flexjit_block_lists;

/* A block compressed sparse row matrix; `data` is (indices, q_block, kv_block), NULL allows all. */
typedef struct flexjit_bsr_matrix {
  size_t struct_size;
  const int32_t* indptr;
  size_t indptr_count;
  const int32_t* indices;
  size_t index_count;
  const uint8_t* data;
  size_t data_count;
} flexjit_bsr_matrix;

FLEXJIT_API void flexjit_block_mask_options_init(flexjit_block_mask_options* options);
FLEXJIT_API void flexjit_block_mask_info_init(flexjit_block_mask_info* info);
FLEXJIT_API void flexjit_block_mask_report_init(flexjit_block_mask_report* report);
FLEXJIT_API void flexjit_mask_region_init(flexjit_mask_region* region);
FLEXJIT_API void flexjit_block_lists_init(flexjit_block_lists* lists);
FLEXJIT_API void flexjit_bsr_matrix_init(flexjit_bsr_matrix* matrix);

/* The exact block mask of the pattern's mask at these lengths. `bindings` may be NULL. */
FLEXJIT_API flexjit_status flexjit_block_mask_create(const flexjit_attention* attention,
                                                     const flexjit_block_mask_options* options,
                                                     const flexjit_bindings* bindings, flexjit_block_mask** mask,
                                                     flexjit_error** error);
/* The same with a report, which is filled. */
FLEXJIT_API flexjit_status flexjit_block_mask_create_reported(const flexjit_attention* attention,
                                                              const flexjit_block_mask_options* options,
                                                              const flexjit_bindings* bindings,
                                                              flexjit_block_mask_report* report, flexjit_block_mask** mask,
                                                              flexjit_error** error);
/* From `known`, which the pattern made for shorter lengths, or whose partial blocks are only undecided. */
FLEXJIT_API flexjit_status flexjit_block_mask_extend(const flexjit_attention* attention, const flexjit_block_mask* known,
                                                     const flexjit_block_mask_options* options,
                                                     const flexjit_bindings* bindings, flexjit_block_mask** mask,
                                                     flexjit_error** error);
FLEXJIT_API flexjit_status flexjit_block_mask_decide(const flexjit_attention* attention, const flexjit_block_mask* known,
                                                     const flexjit_block_mask_options* options,
                                                     const flexjit_bindings* bindings, flexjit_block_mask** mask,
                                                     flexjit_error** error);
/* How many pairs the mask allows; the mask of each pair of a region, one byte a pair, row by row, `element_count` in all. */
FLEXJIT_API flexjit_status flexjit_count_allowed(const flexjit_attention* attention, const flexjit_block_mask_options* options,
                                                 const flexjit_bindings* bindings, int64_t* count, flexjit_error** error);
FLEXJIT_API flexjit_status flexjit_mask_elements(const flexjit_attention* attention, const flexjit_block_mask_options* options,
                                                 const flexjit_mask_region* region, const flexjit_bindings* bindings,
                                                 uint8_t* elements, size_t element_count, flexjit_error** error);

/* Batch, heads, lengths and block sizes of `options` are the mask's. `kinds`: one flexjit_block_kind a block, in a byte,
 * ordered (batch, heads, q_blocks, kv_blocks). */
FLEXJIT_API flexjit_status flexjit_block_mask_from_kinds(const flexjit_block_mask_options* options, const uint8_t* kinds,
                                                         size_t kind_count, flexjit_block_mask** mask, flexjit_error** error);
/* `full` may be NULL. */
FLEXJIT_API flexjit_status flexjit_block_mask_from_lists(const flexjit_block_mask_options* options,
                                                         const flexjit_block_lists* partial, const flexjit_block_lists* full,
                                                         flexjit_block_mask** mask, flexjit_error** error);
FLEXJIT_API flexjit_status flexjit_block_mask_from_bsr(const flexjit_block_mask_options* options,
                                                       const flexjit_bsr_matrix* matrix, flexjit_block_mask** mask,
                                                       flexjit_error** error);
/* (q_blocks, kv_blocks): the place of each block in the matrix's indices, -1 for none; what the preset `bsr` reads. */
FLEXJIT_API flexjit_status flexjit_bsr_slots(const flexjit_block_mask_options* options, const flexjit_bsr_matrix* matrix,
                                             int32_t* slots, size_t slot_count, flexjit_error** error);

/* New masks from masks. */
FLEXJIT_API flexjit_status flexjit_block_mask_slice(const flexjit_block_mask* mask, const flexjit_mask_region* region,
                                                    flexjit_block_mask** slice, flexjit_error** error);
FLEXJIT_API flexjit_status flexjit_block_mask_transpose(const flexjit_block_mask* mask, flexjit_block_mask** transposed,
                                                        flexjit_error** error);
FLEXJIT_API flexjit_status flexjit_block_mask_intersect(const flexjit_block_mask* a, const flexjit_block_mask* b,
                                                        flexjit_block_mask** both, flexjit_error** error);
FLEXJIT_API flexjit_status flexjit_block_mask_unite(const flexjit_block_mask* a, const flexjit_block_mask* b,
                                                    flexjit_block_mask** either, flexjit_error** error);
FLEXJIT_API flexjit_status flexjit_block_mask_complement(const flexjit_block_mask* mask, flexjit_block_mask** complement,
                                                         flexjit_error** error);

/* A form for files: the same bytes on every machine. */
FLEXJIT_API flexjit_status flexjit_block_mask_to_bytes(const flexjit_block_mask* mask, flexjit_blob** bytes,
                                                       flexjit_error** error);
FLEXJIT_API flexjit_status flexjit_block_mask_from_bytes(const void* bytes, size_t size, flexjit_block_mask** mask,
                                                         flexjit_error** error);

FLEXJIT_API flexjit_status flexjit_block_mask_get_info(const flexjit_block_mask* mask, flexjit_block_mask_info* info,
                                                       flexjit_error** error);
/* FLEXJIT_EMPTY for a block that does not exist, and of NULL. */
FLEXJIT_API flexjit_block_kind flexjit_block_mask_kind(const flexjit_block_mask* mask, int32_t b, int32_t h, int32_t q_block,
                                                       int32_t kv_block);
/* The kv blocks of one kind, FLEXJIT_PARTIAL or FLEXJIT_FULL, of a row, ascending; `blocks` lives as long as the mask. */
FLEXJIT_API flexjit_status flexjit_block_mask_row(const flexjit_block_mask* mask, flexjit_block_kind kind, int32_t b, int32_t h,
                                                  int32_t q_block, const int32_t** blocks, size_t* block_count,
                                                  flexjit_error** error);
/* How many each row has: (batch, heads, q_blocks). */
FLEXJIT_API flexjit_status flexjit_block_mask_num_blocks(const flexjit_block_mask* mask, flexjit_block_kind kind,
                                                         const int32_t** counts, size_t* row_count, flexjit_error** error);
/* As from_kinds takes them. */
FLEXJIT_API flexjit_status flexjit_block_mask_to_dense(const flexjit_block_mask* mask, uint8_t* kinds, size_t kind_count,
                                                       flexjit_error** error);
/* A picture of a plane, one character a block, at most `max_side` a side. */
FLEXJIT_API flexjit_status flexjit_block_mask_to_string(const flexjit_block_mask* mask, int32_t b, int32_t h, int32_t max_side,
                                                        flexjit_blob** text, flexjit_error** error);
FLEXJIT_API void flexjit_block_mask_destroy(flexjit_block_mask* mask);

#ifdef __cplusplus
}
#endif

#endif
