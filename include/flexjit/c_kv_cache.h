/* The part of c_api.h about caches of keys that grow: appending, rotary embeddings, pools of pages. What each tensor means is
 * said in flexjit/kv_cache.h, flexjit/rotary.h and flexjit/page_pool.h. */
#ifndef FLEXJIT_C_API_H
#include "flexjit/c_api.h" /* which includes this */
#elif !defined(FLEXJIT_C_KV_CACHE_H)
#define FLEXJIT_C_KV_CACHE_H

#ifdef __cplusplus
extern "C" {
#endif

/* Which dims rotate together; none is assumed. */
typedef enum flexjit_rotary_pairing { FLEXJIT_ROTARY_INTERLEAVED = 1, FLEXJIT_ROTARY_HALVES = 2 } flexjit_rotary_pairing;

/* cos and sin (positions, rotary_dim / 2). */
struct flexjit_rotary {
  flexjit_tensor cos, sin;
  flexjit_rotary_pairing pairing;
};

/* k and v are written; those of FLEXJIT_I32 are absent with data == NULL and rank == 0. */
typedef struct flexjit_kv_cache {
  size_t struct_size;
  flexjit_tensor k, v;
  flexjit_tensor past_len; /* (batch) */
  flexjit_tensor cache_batch_idx, cache_leftpad;
  flexjit_tensor block_table;               /* (batch, max_pages) */
  flexjit_tensor page_indptr, page_indices; /* the same in one list */
} flexjit_kv_cache;

typedef struct flexjit_new_keys {
  size_t struct_size;
  flexjit_tensor k, v;
  flexjit_tensor cu_seqlens_k_new; /* (batch + 1); absent: not packed */
  const flexjit_rotary* rotary;    /* NULL: none */
  int32_t threads;                 /* 0: all cores */
} flexjit_new_keys;

typedef struct flexjit_positioned_keys {
  size_t struct_size;
  flexjit_tensor k, v;
  flexjit_tensor batch_indices, positions; /* (tokens) */
  flexjit_tensor last_page_len;            /* (batch) */
  const flexjit_rotary* rotary;
  int32_t threads;
} flexjit_positioned_keys;

FLEXJIT_API void flexjit_kv_cache_init(flexjit_kv_cache* cache);
FLEXJIT_API void flexjit_new_keys_init(flexjit_new_keys* keys);
FLEXJIT_API void flexjit_positioned_keys_init(flexjit_positioned_keys* keys);

/* All or nothing. `total_len` has room for a number a sequence, or is NULL: past_len of the next call. */
FLEXJIT_API flexjit_status flexjit_append_kv(const flexjit_kv_cache* cache, const flexjit_new_keys* fresh, int32_t* total_len,
                                             flexjit_error** error);
FLEXJIT_API flexjit_status flexjit_append_kv_at(const flexjit_kv_cache* cache, const flexjit_positioned_keys* fresh,
                                                int32_t* total_len, flexjit_error** error);
/* `append_indptr` has batch + 1 numbers, of which the last is the number of tokens that the other two have room for. */
FLEXJIT_API flexjit_status flexjit_get_batch_indices_positions(const int32_t* append_indptr, const int32_t* total_len,
                                                               size_t batch, int32_t* batch_indices, int32_t* positions,
                                                               flexjit_error** error);

/* Not thread-safe, unlike other handles. */
typedef struct flexjit_page_pool flexjit_page_pool;

typedef struct flexjit_page_pool_options {
  size_t struct_size;
  int32_t pages, kv_heads, head_dim;
  int32_t v_head_dim; /* 0: head_dim */
  flexjit_dtype dtype;
  int32_t page_size; /* 64 */
} flexjit_page_pool_options;

FLEXJIT_API void flexjit_page_pool_options_init(flexjit_page_pool_options* options);
FLEXJIT_API flexjit_status flexjit_page_pool_create(const flexjit_page_pool_options* options, flexjit_page_pool** pool,
                                                    flexjit_error** error);
/* (pages, kv_heads, page_size, dim). No tensor, and 0, for NULL. */
FLEXJIT_API flexjit_tensor flexjit_page_pool_k(const flexjit_page_pool* pool);
FLEXJIT_API flexjit_tensor flexjit_page_pool_v(const flexjit_page_pool* pool);
FLEXJIT_API int32_t flexjit_page_pool_free_pages(const flexjit_page_pool* pool);
FLEXJIT_API int32_t flexjit_page_pool_owners(const flexjit_page_pool* pool, int32_t page);
/* The pages of a sequence are an array of the caller's: `count` of them, with room for `capacity`. */
FLEXJIT_API flexjit_status flexjit_page_pool_make_room(flexjit_page_pool* pool, int32_t* pages, size_t* count, size_t capacity,
                                                       int64_t past_len, int64_t new_len, flexjit_error** error);
/* The first pages of `pages`, as many as `prefix_len` keys have, have one owner more; `shared_count` is how many. */
FLEXJIT_API flexjit_status flexjit_page_pool_share(flexjit_page_pool* pool, const int32_t* pages, size_t count,
                                                   int64_t prefix_len, size_t* shared_count, flexjit_error** error);
FLEXJIT_API flexjit_status flexjit_page_pool_release(flexjit_page_pool* pool, const int32_t* pages, size_t count,
                                                     flexjit_error** error);
FLEXJIT_API void flexjit_page_pool_destroy(flexjit_page_pool* pool);

#ifdef __cplusplus
}
#endif

#endif /* FLEXJIT_C_KV_CACHE_H */
