/* FlashAttention's calls through the C interface. Keys are 0 and a value is the number of its row, so that a query gives the
 * mean of the rows that it sees. Dense arrays are (length, heads, dim). */
#include "c_checks.h"

static float values[LENGTH * HEADS * DIM], zeros[LENGTH * HEADS * DIM], result[LENGTH * HEADS * DIM];
static const int64_t batch_shape[4] = {1, LENGTH, HEADS, DIM}, packed_shape[3] = {LENGTH, HEADS, DIM};

static flexjit_tensor ints(int32_t* data, int64_t count) { return flexjit_dense_tensor(data, FLEXJIT_I32, 1, &count); }
static float at(int row) { return result[row * HEADS * DIM + DIM]; }
static int is_near(float seen, double expected) { return fabs(seen - expected) < 1e-4; }
static void clear(void) {
  int i;
  for (i = 0; i < LENGTH * HEADS * DIM; ++i) result[i] = -1;
}

/* Q, K and V side by side, or K and V. */
static void pack(float* packed, int parts) {
  int row, part, e;
  for (row = 0; row < LENGTH; ++row)
    for (part = 0; part < parts; ++part)
      for (e = 0; e < HEADS * DIM; ++e)
        packed[(row * parts + part) * HEADS * DIM + e] = part == parts - 1 ? values[row * HEADS * DIM + e] : 0;
}

static void expect_causal(void) {
  int row;
  for (row = 0; row < LENGTH; ++row) CHECK(is_near(at(row), row / 2.0));
  clear();
}

/* Longer than 40 lines: the three calls of a batch, of the same rows, each resting on the options that the one before was
 * given. */
static void test_batch(void) {
  static float packed[3 * LENGTH * HEADS * DIM];
  const int64_t of_three[5] = {1, LENGTH, 3, HEADS, DIM}, of_two[5] = {1, LENGTH, 2, HEADS, DIM};
  flexjit_tensor of_q = flexjit_dense_tensor(zeros, FLEXJIT_F32, 4, batch_shape);
  flexjit_tensor of_v = flexjit_dense_tensor(values, FLEXJIT_F32, 4, batch_shape);
  flexjit_packed_tensor qkv = flexjit_dense_packed_tensor(packed, FLEXJIT_F32, 5, of_three);
  flexjit_packed_tensor kv = flexjit_dense_packed_tensor(packed, FLEXJIT_F32, 5, of_two);
  flexjit_flash_attn_options options;
  flexjit_run_stats stats;
  flexjit_blob* weights = NULL;
  flexjit_flash_attn_options_init(&options);
  flexjit_run_stats_init(&stats);
  CHECK(options.struct_size == sizeof(options) && options.window_size[0] == -1 && options.window_size[1] == -1);
  options.out = flexjit_dense_tensor(result, FLEXJIT_F32, 4, batch_shape);
  options.causal = 1;
  OK(flexjit_flash_attn_func(engine, &of_q, &of_q, &of_v, &options, &stats, &error));
  CHECK(stats.scores_visited > 0);
  expect_causal();
  pack(packed, 3);
  OK(flexjit_flash_attn_qkvpacked_func(engine, &qkv, &options, NULL, &error));
  expect_causal();
  pack(packed, 2);
  OK(flexjit_flash_attn_kvpacked_func(engine, &of_q, &kv, &options, NULL, &error));
  expect_causal();
  options.causal = 0;
  options.window_size[0] = 4;
  options.window_size[1] = 2;
  options.return_attn_probs = &weights;
  OK(flexjit_flash_attn_func(engine, &of_q, &of_q, &of_v, &options, NULL, &error));
  CHECK(is_near(at(10), 9) && is_near(at(0), 1) && is_near(at(LENGTH - 1), LENGTH - 3));
  CHECK(flexjit_blob_size(weights) == HEADS * LENGTH * LENGTH * sizeof(float));
  CHECK(is_near(((const float*)flexjit_blob_data(weights))[10 * LENGTH + 6], 1.0 / 7));
  flexjit_blob_destroy(weights);
  options.window_size[0] = options.window_size[1] = -1;
  options.return_attn_probs = NULL;
  options.mask_mod = "kv_idx == from";
  window.name = "from";
  window.value.value.i = 7;
  options.bindings.params = &window;
  options.bindings.param_count = 1;
  OK(flexjit_flash_attn_func(engine, &of_q, &of_q, &of_v, &options, NULL, &error));
  CHECK(is_near(at(0), 7));
}

static void test_varlen(void) {
  static float packed[3 * LENGTH * HEADS * DIM];
  const int64_t of_three[4] = {LENGTH, 3, HEADS, DIM}, of_two[4] = {LENGTH, 2, HEADS, DIM};
  int32_t begins[3] = {0, 5, LENGTH}, used[2] = {5, 3};
  flexjit_tensor of_q = flexjit_dense_tensor(zeros, FLEXJIT_F32, 3, packed_shape);
  flexjit_tensor of_v = flexjit_dense_tensor(values, FLEXJIT_F32, 3, packed_shape);
  flexjit_packed_tensor qkv = flexjit_dense_packed_tensor(packed, FLEXJIT_F32, 4, of_three);
  flexjit_packed_tensor kv = flexjit_dense_packed_tensor(packed, FLEXJIT_F32, 4, of_two);
  flexjit_flash_attn_varlen_options options;
  flexjit_flash_attn_varlen_options_init(&options);
  options.cu_seqlens_q = options.cu_seqlens_k = ints(begins, 3);
  options.out = flexjit_dense_tensor(result, FLEXJIT_F32, 3, packed_shape);
  options.causal = 1;
  OK(flexjit_flash_attn_varlen_func(engine, &of_q, &of_q, &of_v, &options, NULL, &error));
  CHECK(is_near(at(4), 2) && is_near(at(5), 5) && is_near(at(LENGTH - 1), (5 + LENGTH - 1) / 2.0));
  clear();
  pack(packed, 3);
  OK(flexjit_flash_attn_varlen_qkvpacked_func(engine, &qkv, &options, NULL, &error));
  CHECK(is_near(at(4), 2) && is_near(at(5), 5) && is_near(at(LENGTH - 1), (5 + LENGTH - 1) / 2.0));
  clear();
  pack(packed, 2);
  options.causal = 0;
  options.seqused_k = ints(used, 2);
  OK(flexjit_flash_attn_varlen_kvpacked_func(engine, &of_q, &kv, &options, NULL, &error));
  CHECK(is_near(at(0), 2) && is_near(at(5), 6));
  options.max_seqlen_q = 4;
  EXPECT(flexjit_flash_attn_varlen_kvpacked_func(engine, &of_q, &kv, &options, NULL, &error), FLEXJIT_INVALID, "bad-option");
  begins[1] = -3;
  EXPECT(flexjit_flash_attn_varlen_func(engine, &of_q, &of_q, &of_v, &options, NULL, &error), FLEXJIT_INVALID,
         "sequence-index");
}

/* Longer than 40 lines, as each step rests on the one before. Pages of 4 keys, of which 6 are in use; then one more comes by
 * the call, and one by update_paged_kv_cache. */
static void test_cache(void) {
  static float k_pages[4 * 4 * HEADS * DIM], v_pages[4 * 4 * HEADS * DIM], key[HEADS * DIM], value[HEADS * DIM];
  const int64_t pages[4] = {4, 4, HEADS, DIM}, one[4] = {1, 1, HEADS, DIM}, table_shape[2] = {1, 2};
  int32_t table[2] = {3, 1}, length = 6, after = 0, page_size = 0, max_pages = 0;
  flexjit_tensor k_cache = flexjit_dense_tensor(k_pages, FLEXJIT_F32, 4, pages);
  flexjit_tensor v_cache = flexjit_dense_tensor(v_pages, FLEXJIT_F32, 4, pages);
  flexjit_tensor query = flexjit_dense_tensor(zeros, FLEXJIT_F32, 4, one);
  flexjit_tensor of_table = flexjit_dense_tensor(table, FLEXJIT_I32, 2, table_shape), lengths = ints(&length, 1);
  flexjit_tensor new_v = flexjit_dense_tensor(value, FLEXJIT_F32, 4, one);
  flexjit_flash_attn_kvcache_options options;
  int i;
  for (i = 0; i < 8 * HEADS * DIM; ++i) v_pages[table[i / (4 * HEADS * DIM)] * 4 * HEADS * DIM + i % (4 * HEADS * DIM)] = 1;
  for (i = 0; i < HEADS * DIM; ++i) value[i] = 8;
  OK(flexjit_validate_paged_kv_params(&of_table, 1, &k_cache, &v_cache, &page_size, &max_pages, &error));
  CHECK(page_size == 4 && max_pages == 2);
  flexjit_flash_attn_kvcache_options_init(&options);
  CHECK(options.rotary_interleaved == 1 && options.window_size[1] == -1);
  options.out = flexjit_dense_tensor(result, FLEXJIT_F32, 4, one);
  options.k = flexjit_dense_tensor(key, FLEXJIT_F32, 4, one);
  options.v = new_v;
  options.cache_seqlens = lengths;
  options.block_table = of_table;
  options.return_cache_seqlens = ints(&after, 1);
  options.causal = 1;
  OK(flexjit_flash_attn_with_kvcache(engine, &query, &k_cache, &v_cache, &options, NULL, &error));
  CHECK(is_near(result[0], 2) && after == 7 && v_pages[(1 * 4 + 2) * HEADS * DIM] == 8);
  OK(flexjit_update_paged_kv_cache(&k_cache, &v_cache, &query, &new_v, &of_table, &options.return_cache_seqlens, &length,
                                   &error));
  CHECK(length == 8 && v_pages[(1 * 4 + 3) * HEADS * DIM] == 8);
  EXPECT(flexjit_update_paged_kv_cache(&k_cache, &v_cache, &query, &new_v, &of_table, &lengths, NULL, &error), FLEXJIT_INVALID,
         "cache-capacity");
  options.has_cache_seqlens_of_all = 1;
  options.cache_seqlens_of_all = 5;
  EXPECT(flexjit_flash_attn_with_kvcache(engine, &query, &k_cache, &v_cache, &options, NULL, &error), FLEXJIT_INVALID,
         "bad-option");
  options.cache_seqlens.data = NULL;
  options.cache_seqlens.rank = 0;
  options.k.data = options.v.data = NULL;
  options.k.rank = options.v.rank = 0;
  OK(flexjit_flash_attn_with_kvcache(engine, &query, &k_cache, &v_cache, &options, NULL, &error));
  CHECK(is_near(result[0], 1) && after == 5);
  options.out.data = v_pages;
  EXPECT(flexjit_flash_attn_with_kvcache(engine, &query, &k_cache, &v_cache, &options, NULL, &error), FLEXJIT_INVALID,
         "shared-memory");
  table[1] = 4;
  EXPECT(flexjit_validate_paged_kv_params(&of_table, 1, &k_cache, &v_cache, NULL, NULL, &error), FLEXJIT_INVALID,
         "sequence-index");
}

static void test_combine(void) {
  float parts[2 * DIM], both[DIM], part_lse[2] = {0, 0}, both_lse;
  const int64_t of_parts[5] = {2, 1, 1, 1, DIM};
  flexjit_flash_attn_combine_args combine;
  int d;
  for (d = 0; d < DIM; ++d) parts[d] = 1, parts[DIM + d] = 4;
  part_lse[1] = (float)log(2);
  flexjit_flash_attn_combine_args_init(&combine);
  combine.out_partial = flexjit_dense_packed_tensor(parts, FLEXJIT_F32, 5, of_parts);
  combine.lse_partial = flexjit_dense_tensor(part_lse, FLEXJIT_F32, 4, of_parts);
  combine.out = flexjit_dense_tensor(both, FLEXJIT_F32, 4, of_parts + 1);
  combine.softmax_lse = flexjit_dense_tensor(&both_lse, FLEXJIT_F32, 3, of_parts + 1);
  OK(flexjit_flash_attn_combine(&combine, &error));
  CHECK(is_near(both[DIM - 1], 3) && is_near(both_lse, log(3)));
  combine.out_partial.rank = 3;
  EXPECT(flexjit_flash_attn_combine(&combine, &error), FLEXJIT_INVALID, "tensor-rank");
}

/* Every argument of every call. */
static void test_nulls(void) {
  flexjit_tensor t = flexjit_dense_tensor(zeros, FLEXJIT_F32, 4, batch_shape);
  flexjit_packed_tensor p = flexjit_dense_packed_tensor(zeros, FLEXJIT_F32, 7, batch_shape);
  flexjit_flash_attn_options o;
  flexjit_flash_attn_varlen_options vo;
  flexjit_flash_attn_kvcache_options ko;
  CHECK(p.rank == 0 && flexjit_dense_packed_tensor(zeros, FLEXJIT_F32, 4, NULL).rank == 0);
  flexjit_flash_attn_options_init(NULL);
  flexjit_flash_attn_varlen_options_init(NULL);
  flexjit_flash_attn_kvcache_options_init(NULL);
  flexjit_flash_attn_combine_args_init(NULL);
  flexjit_flash_attn_options_init(&o);
  flexjit_flash_attn_varlen_options_init(&vo);
  flexjit_flash_attn_kvcache_options_init(&ko);
  IS_NULL(flexjit_flash_attn_func(NULL, &t, &t, &t, &o, NULL, &error));
  IS_NULL(flexjit_flash_attn_func(engine, NULL, &t, &t, &o, NULL, &error));
  IS_NULL(flexjit_flash_attn_func(engine, &t, NULL, &t, &o, NULL, &error));
  IS_NULL(flexjit_flash_attn_func(engine, &t, &t, NULL, &o, NULL, &error));
  IS_NULL(flexjit_flash_attn_func(engine, &t, &t, &t, NULL, NULL, &error));
  IS_NULL(flexjit_flash_attn_qkvpacked_func(engine, NULL, &o, NULL, &error));
  IS_NULL(flexjit_flash_attn_kvpacked_func(engine, &t, NULL, &o, NULL, &error));
  IS_NULL(flexjit_flash_attn_varlen_func(engine, &t, &t, &t, NULL, NULL, &error));
  IS_NULL(flexjit_flash_attn_varlen_func(engine, NULL, &t, &t, &vo, NULL, &error));
  IS_NULL(flexjit_flash_attn_varlen_qkvpacked_func(engine, NULL, &vo, NULL, &error));
  IS_NULL(flexjit_flash_attn_varlen_kvpacked_func(NULL, &t, &p, &vo, NULL, &error));
  IS_NULL(flexjit_flash_attn_with_kvcache(engine, &t, NULL, &t, &ko, NULL, &error));
  IS_NULL(flexjit_flash_attn_with_kvcache(engine, &t, &t, &t, NULL, NULL, &error));
  IS_NULL(flexjit_flash_attn_combine(NULL, &error));
  IS_NULL(flexjit_validate_paged_kv_params(NULL, 1, &t, &t, NULL, NULL, &error));
  IS_NULL(flexjit_update_paged_kv_cache(&t, &t, &t, &t, &t, NULL, NULL, &error));
  EXPECT(flexjit_flash_attn_qkvpacked_func(engine, &p, &o, NULL, &error), FLEXJIT_INVALID, "tensor-rank");
  EXPECT(flexjit_flash_attn_func(engine, &t, &t, &t, &o, NULL, &error), FLEXJIT_INVALID, "tensor-rank"); /* no out */
  o.struct_size = 1;
  EXPECT(flexjit_flash_attn_func(engine, &t, &t, &t, &o, NULL, &error), FLEXJIT_INVALID, "struct-size");
  t.dtype = (flexjit_dtype)99;
  EXPECT(flexjit_flash_attn_with_kvcache(engine, &t, &t, &t, &ko, NULL, &error), FLEXJIT_INVALID, "bad-enum");
}

int main(void) {
  int i;
  for (i = 0; i < LENGTH * HEADS * DIM; ++i) values[i] = (float)(i / (HEADS * DIM));
  make_attention();
  test_batch();
  test_varlen();
  test_cache();
  test_combine();
  test_nulls();
  finish();
  return failures != 0;
}
