/* Caches that grow, through the C interface: a decode of one key a step from pages of a pool. */
#include "c_checks.h"

enum { KEYS = 10, PAGE = 4, PAGES = 6 };

static flexjit_tensor ints(int32_t* data, int64_t count) { return flexjit_dense_tensor(data, FLEXJIT_I32, 1, &count); }

static flexjit_page_pool* make_pool(void) {
  flexjit_page_pool_options options;
  flexjit_page_pool* pool = NULL;
  flexjit_page_pool_options_init(&options);
  CHECK(options.page_size == 64);
  options.pages = PAGES;
  options.kv_heads = 1;
  options.head_dim = DIM;
  options.page_size = PAGE;
  OK(flexjit_page_pool_create(&options, &pool, &error));
  return pool;
}

/* Every key is 0 and every value its number. Longer than 40 lines: steps of one decode, each resting on what the one before
 * left. */
static void test_decoding(flexjit_page_pool* pool) {
  float key[DIM] = {0}, value[DIM], cos[KEYS], sin[KEYS];
  const int64_t row[4] = {1, 1, 1, DIM}, table_shape[2] = {KEYS, 1};
  int32_t pages[4], past = 0, i, d;
  size_t count = 0, shared = 0;
  flexjit_kv_cache cache;
  flexjit_new_keys fresh;
  flexjit_rotary rotary;
  for (i = 0; i < KEYS; ++i) cos[i] = 1, sin[i] = 0;
  rotary.cos = flexjit_dense_tensor(cos, FLEXJIT_F32, 2, table_shape);
  rotary.sin = flexjit_dense_tensor(sin, FLEXJIT_F32, 2, table_shape);
  rotary.pairing = FLEXJIT_ROTARY_HALVES;
  flexjit_kv_cache_init(&cache);
  flexjit_new_keys_init(&fresh);
  cache.k = flexjit_page_pool_k(pool);
  cache.v = flexjit_page_pool_v(pool);
  cache.past_len = ints(&past, 1);
  fresh.k = flexjit_dense_tensor(key, FLEXJIT_F32, 4, row);
  fresh.v = flexjit_dense_tensor(value, FLEXJIT_F32, 4, row);
  fresh.rotary = &rotary;
  for (i = 0; i < KEYS; ++i) {
    const int64_t width[2] = {1, 4};
    OK(flexjit_page_pool_make_room(pool, pages, &count, 4, past, 1, &error));
    cache.block_table = flexjit_dense_tensor(pages, FLEXJIT_I32, 2, width);
    cache.block_table.shape[1] = (int64_t)count;
    for (d = 0; d < DIM; ++d) value[d] = (float)i;
    OK(flexjit_append_kv(&cache, &fresh, &past, &error));
    CHECK(past == i + 1);
  }
  CHECK(count == 3 && flexjit_page_pool_free_pages(pool) == PAGES - 3);
  for (i = 0; i < KEYS; ++i) {
    const float* values = (const float*)cache.v.data;
    CHECK(values[(pages[i / PAGE] * PAGE + i % PAGE) * DIM] == (float)i);
  }
  OK(flexjit_page_pool_share(pool, pages, count, 5, &shared, &error));
  CHECK(shared == 2 && flexjit_page_pool_owners(pool, pages[0]) == 2 && flexjit_page_pool_owners(pool, pages[2]) == 1);
  OK(flexjit_page_pool_release(pool, pages, shared, &error));
  EXPECT(flexjit_page_pool_make_room(pool, pages, &count, 3, past, 3, &error), FLEXJIT_INVALID, "bad-option");
  rotary.pairing = (flexjit_rotary_pairing)7;
  EXPECT(flexjit_append_kv(&cache, &fresh, &past, &error), FLEXJIT_INVALID, "bad-option");
  rotary.pairing = FLEXJIT_ROTARY_HALVES;
  cache.block_table.shape[1] = 2;
  EXPECT(flexjit_append_kv(&cache, &fresh, &past, &error), FLEXJIT_INVALID, "cache-capacity");
  CHECK(past == KEYS);
  OK(flexjit_page_pool_release(pool, pages, count, &error));
}

/* Two tokens at positions of their own. */
static void test_positions(flexjit_page_pool* pool) {
  float rows[2 * DIM];
  const int64_t shape[4] = {1, 1, 2, DIM};
  int32_t indptr[3] = {0, 1, 2}, indices[2] = {4, 2}, last[2] = {3, 1}, append_indptr[3] = {0, 1, 2}, total[2] = {3, 1};
  int32_t batch_indices[2], positions[2], seen[2], i;
  flexjit_kv_cache cache;
  flexjit_positioned_keys fresh;
  for (i = 0; i < 2 * DIM; ++i) rows[i] = (float)(i + 1);
  flexjit_kv_cache_init(&cache);
  flexjit_positioned_keys_init(&fresh);
  cache.k = flexjit_page_pool_k(pool);
  cache.v = flexjit_page_pool_v(pool);
  cache.page_indptr = ints(indptr, 3);
  cache.page_indices = ints(indices, 2);
  OK(flexjit_get_batch_indices_positions(append_indptr, total, 2, batch_indices, positions, &error));
  CHECK(batch_indices[1] == 1 && positions[0] == 2 && positions[1] == 0);
  fresh.k = fresh.v = flexjit_dense_tensor(rows, FLEXJIT_F32, 4, shape);
  fresh.batch_indices = ints(batch_indices, 2);
  fresh.positions = ints(positions, 2);
  fresh.last_page_len = ints(last, 2);
  OK(flexjit_append_kv_at(&cache, &fresh, seen, &error));
  CHECK(seen[0] == 3 && seen[1] == 1);
  CHECK(((const float*)cache.k.data)[(4 * PAGE + 2) * DIM] == 1 && ((const float*)cache.k.data)[2 * PAGE * DIM] == DIM + 1);
  total[0] = 0;
  EXPECT(flexjit_get_batch_indices_positions(append_indptr, total, 2, batch_indices, positions, &error), FLEXJIT_INVALID,
         "sequence-index");
}

static void test_queries(void) {
  float cos[LENGTH], sin[LENGTH];
  const int64_t table_shape[2] = {LENGTH, 1};
  int i;
  flexjit_rotary rotary;
  for (i = 0; i < LENGTH; ++i) cos[i] = 1, sin[i] = 0;
  rotary.cos = flexjit_dense_tensor(cos, FLEXJIT_F32, 2, table_shape);
  rotary.sin = flexjit_dense_tensor(sin, FLEXJIT_F32, 2, table_shape);
  rotary.pairing = FLEXJIT_ROTARY_INTERLEAVED;
  args.rotary = &rotary;
  OK(flexjit_attention_run(attention, &args, NULL, &error));
  CHECK(fabsf(out[5 * DIM] - 2.5F) < 1e-5F);
  args.rotary_positions = (flexjit_rotary_positions)9;
  EXPECT(flexjit_attention_run(attention, &args, NULL, &error), FLEXJIT_INVALID, "bad-enum");
  args.rotary_positions = FLEXJIT_ROTARY_PAST_LEN;
  OK(flexjit_attention_run(attention, &args, NULL, &error));
}

static void test_nulls(flexjit_page_pool* pool) {
  int32_t number = 0;
  size_t count = 0;
  flexjit_kv_cache cache;
  flexjit_new_keys fresh;
  flexjit_kv_cache_init(NULL);
  flexjit_new_keys_init(NULL);
  flexjit_positioned_keys_init(NULL);
  flexjit_page_pool_options_init(NULL);
  flexjit_kv_cache_init(&cache);
  flexjit_new_keys_init(&fresh);
  IS_NULL(flexjit_append_kv(NULL, &fresh, NULL, &error));
  IS_NULL(flexjit_append_kv(&cache, NULL, NULL, &error));
  IS_NULL(flexjit_append_kv_at(&cache, NULL, NULL, &error));
  IS_NULL(flexjit_get_batch_indices_positions(NULL, &number, 1, &number, &number, &error));
  IS_NULL(flexjit_page_pool_create(NULL, &pool, &error));
  IS_NULL(flexjit_page_pool_make_room(NULL, &number, &count, 1, 0, 1, &error));
  IS_NULL(flexjit_page_pool_make_room(pool, NULL, &count, 1, 0, 1, &error));
  IS_NULL(flexjit_page_pool_share(pool, &number, 0, 0, NULL, &error));
  IS_NULL(flexjit_page_pool_release(NULL, NULL, 0, &error));
  CHECK(flexjit_page_pool_k(NULL).data == NULL && flexjit_page_pool_v(NULL).data == NULL);
  CHECK(flexjit_page_pool_free_pages(NULL) == 0 && flexjit_page_pool_owners(NULL, 0) == 0);
  flexjit_page_pool_destroy(NULL);
}

int main(void) {
  flexjit_page_pool* pool = make_pool();
  make_attention();
  test_decoding(pool);
  test_positions(pool);
  test_queries();
  test_nulls(pool);
  flexjit_page_pool_destroy(pool);
  finish();
  return failures != 0;
}
