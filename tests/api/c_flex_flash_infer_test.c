/* Prepared masks through the C interface: named, as text, as a matrix. */
#include "c_checks.h"

static float values[LENGTH * HEADS * DIM], zeros[LENGTH * HEADS * DIM], result[LENGTH * HEADS * DIM], logs[LENGTH * HEADS];
static flexjit_flex_run_args run;

static flexjit_flex_prepare_args prepare_args(const char* mask) {
  flexjit_flex_prepare_args prepare;
  flexjit_flex_prepare_args_init(&prepare);
  CHECK(prepare.block_size_row == 64 && prepare.block_size_col == 64 && prepare.dtype == FLEXJIT_F16);
  prepare.mask = mask;
  prepare.q_len = prepare.kv_len = LENGTH;
  prepare.num_qo_heads = HEADS;
  prepare.head_dim = DIM;
  prepare.block_size_row = prepare.block_size_col = BLOCK;
  prepare.dtype = FLEXJIT_F32;
  return prepare;
}

/* Values are the numbers of their rows. */
static void make_run(void) {
  const int64_t shape[3] = {LENGTH, HEADS, DIM};
  int i;
  for (i = 0; i < LENGTH * HEADS * DIM; ++i) values[i] = (float)(i / (HEADS * DIM));
  flexjit_flex_run_args_init(&run);
  run.q = run.k = flexjit_dense_tensor(zeros, FLEXJIT_F32, 3, shape);
  run.v = flexjit_dense_tensor(values, FLEXJIT_F32, 3, shape);
  run.out = flexjit_dense_tensor(result, FLEXJIT_F32, 3, shape);
  run.lse = flexjit_dense_tensor(logs, FLEXJIT_F32, 2, shape);
}

static int is_near(float seen, double expected) { return fabs(seen - expected) < 1e-4; }

static void test_names(void) {
  flexjit_mask_sizes given;
  flexjit_blob* text = NULL;
  OK(flexjit_get_mask_fn("Causal", NULL, &text, &error));
  CHECK(same(flexjit_blob_data(text), "q_idx >= kv_idx"));
  flexjit_blob_destroy(text);
  flexjit_mask_sizes_init(&given);
  EXPECT(flexjit_get_mask_fn("sliding_window", &given, &text, &error), FLEXJIT_INVALID, "bad-option");
  given.has_window_size = 1;
  given.window_size = 3;
  OK(flexjit_get_mask_fn("sliding_window", &given, &text, &error));
  CHECK(strstr(flexjit_blob_data(text), "<= 3") != NULL);
  flexjit_blob_destroy(text);
}

static void test_plan(void) {
  flexjit_flex_prepare_args prepare = prepare_args("sliding_window");
  flexjit_flex_plan *plan = NULL, *by_matrix = NULL;
  flexjit_block_mask* mask = NULL;
  flexjit_bsr_blocks* blocks = NULL;
  flexjit_bsr_matrix matrix;
  flexjit_run_stats stats;
  EXPECT(flexjit_flex_prepare(engine, &prepare, &plan, &error), FLEXJIT_INVALID, "bad-option");
  prepare.has_window_size = 1;
  prepare.window_size = 3;
  OK(flexjit_flex_prepare(engine, &prepare, &plan, &error));
  flexjit_run_stats_init(&stats);
  OK(flexjit_flex_run(plan, &run, &stats, &error));
  CHECK(stats.scores_visited > 0 && is_near(result[10 * HEADS * DIM], 8.5) && is_near(logs[10 * HEADS], 2));
  run.lse_base = FLEXJIT_LSE_BASE_NATURAL;
  OK(flexjit_flex_run(plan, &run, NULL, &error));
  CHECK(is_near(logs[10 * HEADS], log(4)));
  OK(flexjit_flex_block_mask(plan, &mask, &error));
  CHECK(flexjit_block_mask_kind(mask, 0, 0, 1, 0) == FLEXJIT_PARTIAL);
  flexjit_block_mask_destroy(mask);
  OK(flexjit_flex_bsr(plan, 1, &blocks, &error));
  flexjit_bsr_matrix_init(&matrix);
  OK(flexjit_bsr_blocks_get(blocks, &matrix, &error));
  CHECK(matrix.indptr_count == SIDE + 1 && matrix.index_count == 2 * SIDE - 1);
  CHECK(matrix.data_count == matrix.index_count * BLOCK * BLOCK);
  CHECK(matrix.data[matrix.data_count - 1] == 1 && matrix.data[0] == 1 && matrix.data[1] == 0);
  prepare.mask = NULL;
  prepare.bsr = &matrix;
  OK(flexjit_flex_prepare(engine, &prepare, &by_matrix, &error));
  flexjit_bsr_blocks_destroy(blocks);
  flexjit_flex_plan_destroy(plan);
  result[10 * HEADS * DIM] = 0;
  OK(flexjit_flex_run(by_matrix, &run, NULL, &error));
  CHECK(is_near(result[10 * HEADS * DIM], 8.5));
  EXPECT(flexjit_flex_bsr(by_matrix, HEADS, &blocks, &error), FLEXJIT_INVALID, "mask-option");
  run.q.shape[0] = LENGTH - 1;
  EXPECT(flexjit_flex_run(by_matrix, &run, NULL, &error), FLEXJIT_INVALID, "tensor-shape");
  run.q.shape[0] = LENGTH;
  run.lse_base = (flexjit_lse_base)2;
  EXPECT(flexjit_flex_run(by_matrix, &run, NULL, &error), FLEXJIT_INVALID, "bad-enum");
  flexjit_flex_plan_destroy(by_matrix);
}

static void test_nulls(void) {
  flexjit_flex_prepare_args prepare = prepare_args("full");
  flexjit_flex_plan* plan = NULL;
  flexjit_block_mask* mask = NULL;
  flexjit_bsr_blocks* blocks = NULL;
  flexjit_bsr_matrix matrix;
  flexjit_blob* text = NULL;
  flexjit_mask_sizes_init(NULL);
  flexjit_flex_prepare_args_init(NULL);
  flexjit_flex_run_args_init(NULL);
  flexjit_flex_plan_destroy(NULL);
  flexjit_bsr_blocks_destroy(NULL);
  IS_NULL(flexjit_get_mask_fn(NULL, NULL, &text, &error));
  IS_NULL(flexjit_get_mask_fn("full", NULL, NULL, &error));
  IS_NULL(flexjit_flex_prepare(NULL, &prepare, &plan, &error));
  IS_NULL(flexjit_flex_prepare(engine, NULL, &plan, &error));
  IS_NULL(flexjit_flex_prepare(engine, &prepare, NULL, &error));
  IS_NULL(flexjit_flex_run(NULL, &run, NULL, &error));
  OK(flexjit_flex_prepare(engine, &prepare, &plan, &error));
  IS_NULL(flexjit_flex_run(plan, NULL, NULL, &error));
  IS_NULL(flexjit_flex_block_mask(NULL, &mask, &error));
  IS_NULL(flexjit_flex_block_mask(plan, NULL, &error));
  IS_NULL(flexjit_flex_bsr(NULL, 0, &blocks, &error));
  IS_NULL(flexjit_flex_bsr(plan, 0, NULL, &error));
  IS_NULL(flexjit_bsr_blocks_get(NULL, &matrix, &error));
  flexjit_flex_plan_destroy(plan);
}

int main(void) {
  make_attention();
  make_run();
  test_names();
  test_plan();
  test_nulls();
  finish();
  return failures != 0;
}
