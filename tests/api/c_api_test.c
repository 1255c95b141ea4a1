/* The C interface, compiled as C99: a whole life of an engine, and what its errors say. */
#include "flexjit/c_api.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HEADS = 2, LENGTH = 20, DIM = 8, COUNT = HEADS * LENGTH * DIM };

static int failures = 0;

#define CHECK(condition)                                                     \
  do {                                                                       \
    if (!(condition)) {                                                      \
      fprintf(stderr, "%s:%d: CHECK(%s)\n", __FILE__, __LINE__, #condition); \
      ++failures;                                                            \
    }                                                                        \
  } while (0)

/* Checks the status, prints an unexpected error, and frees it. Takes the error's address: arguments are evaluated in any order.
 */
static void expect(flexjit_status expected, flexjit_status status, flexjit_error** error, const char* kind) {
  const char* seen = flexjit_error_kind(*error, 0);
  CHECK(status == expected);
  CHECK((*error == NULL) == (status == FLEXJIT_OK));
  if (*error != NULL && (kind == NULL || seen == NULL || strcmp(seen, kind) != 0)) {
    fprintf(stderr, "expected %s, got: %s", kind != NULL ? kind : "no error", flexjit_error_message(*error));
    ++failures;
  }
  flexjit_error_free(*error);
  *error = NULL;
}

static float q[COUNT], k[COUNT], v[COUNT], out[COUNT], lse[HEADS * LENGTH];
static const float slope[HEADS] = {0.0f, 0.5f};

static void fill_args(flexjit_run_args* args) {
  const int64_t shape[4] = {1, HEADS, LENGTH, DIM};
  flexjit_run_args_init(args);
  args->q = flexjit_dense_tensor(q, FLEXJIT_F32, 4, shape);
  args->k = flexjit_dense_tensor(k, FLEXJIT_F32, 4, shape);
  args->v = flexjit_dense_tensor(v, FLEXJIT_F32, 4, shape);
  args->out = flexjit_dense_tensor(out, FLEXJIT_F32, 4, shape);
  args->lse = flexjit_dense_tensor(lse, FLEXJIT_F32, 3, shape);
}

/* Keys are 0, so the score is the mod alone: weight of key j in row i is exp(slope * (j - i)) for j <= i, and v is j. */
static double expected_value(int h, int i) {
  double weights = 0, sum = 0;
  int j;
  for (j = 0; j <= i; ++j) {
    const double weight = exp(slope[h] * (j - i));
    weights += weight;
    sum += weight * j;
  }
  return sum / weights;
}

/* Blocks of 5 x 5 over a causal 20 x 20: 6 above the diagonal, 4 on it, 6 below. */
static void test_block_mask(const flexjit_attention* attention, flexjit_run_args* args) {
  flexjit_block_mask* mask = NULL;
  flexjit_block_mask_options options;
  flexjit_block_mask_info info;
  flexjit_run_stats stats;
  flexjit_error* error = NULL;

  flexjit_block_mask_options_init(&options);
  options.q_len = options.kv_len = LENGTH;
  options.q_block = options.kv_block = 5;
  expect(FLEXJIT_OK, flexjit_block_mask_create(attention, &options, &args->bindings, &mask, &error), &error, NULL);
  expect(FLEXJIT_OK, flexjit_block_mask_get_info(mask, &info, &error), &error, NULL);
  CHECK(info.empty_blocks == 6 && info.partial_blocks == 4 && info.full_blocks == 6);
  CHECK(fabs(info.sparsity - 37.5) < 1e-9);
  memset(out, 0, sizeof(out));
  args->block_mask = mask;
  expect(FLEXJIT_OK, flexjit_attention_run_reference(attention, args, &stats, &error), &error, NULL);
  CHECK(stats.partial_blocks == 4 && stats.scores_visited == HEADS * LENGTH * LENGTH);
  CHECK(fabs(out[(COUNT / DIM - 1) * DIM] - expected_value(HEADS - 1, LENGTH - 1)) < 1e-4);
  args->block_mask = NULL;
  flexjit_block_mask_destroy(mask);
}

static void test_alibi(flexjit_engine* engine) {
  const flexjit_buffer_declaration declaration = {"slope", FLEXJIT_F32, 1};
  const int64_t heads = HEADS;
  flexjit_buffer buffer;
  flexjit_spec spec;
  flexjit_attention* attention = NULL;
  flexjit_run_args args;
  flexjit_error* error = NULL;
  int i, h;

  flexjit_spec_init(&spec);
  spec.score_mod = "score + slope[h] * (kv_idx - q_idx)";
  spec.mask_mod = "kv_idx <= q_idx";
  spec.buffers = &declaration;
  spec.buffer_count = 1;
  spec.head_dim = DIM;
  expect(FLEXJIT_OK, flexjit_compile(engine, &spec, &attention, &error), &error, NULL);

  for (i = 0; i < COUNT; ++i) v[i] = (float)(i / DIM % LENGTH);
  buffer.name = "slope";
  buffer.tensor = flexjit_dense_tensor((void*)slope, FLEXJIT_F32, 1, &heads);
  fill_args(&args);
  args.bindings.buffers = &buffer;
  args.bindings.buffer_count = 1;
  expect(FLEXJIT_OK, flexjit_attention_run(attention, &args, NULL, &error), &error, NULL);
  for (h = 0; h < HEADS; ++h) {
    for (i = 0; i < LENGTH; ++i) CHECK(fabs(out[(h * LENGTH + i) * DIM] - expected_value(h, i)) < 1e-4);
  }
  test_block_mask(attention, &args);
  args.bindings.buffer_count = 0;
  expect(FLEXJIT_INVALID, flexjit_attention_run(attention, &args, NULL, &error), &error, "missing-binding");
  flexjit_attention_destroy(attention);
}

static void test_params(flexjit_engine* engine) {
  flexjit_param window;
  flexjit_spec spec;
  flexjit_attention* attention = NULL;
  flexjit_run_args args;
  flexjit_error* error = NULL;
  int i;

  window.name = "window";
  window.value.type = FLEXJIT_INT;
  window.value.value.i = 100;
  flexjit_spec_init(&spec);
  spec.mask_mod = "kv_idx <= q_idx && q_idx - kv_idx < window";
  spec.params = &window;
  spec.param_count = 1;
  spec.head_dim = DIM;
  expect(FLEXJIT_OK, flexjit_compile(engine, &spec, &attention, &error), &error, NULL);
  fill_args(&args);
  window.value.value.i = 1; /* each query sees its own key alone */
  args.bindings.params = &window;
  args.bindings.param_count = 1;
  expect(FLEXJIT_OK, flexjit_attention_run(attention, &args, NULL, &error), &error, NULL);
  for (i = 0; i < COUNT; ++i) CHECK(out[i] == v[i]);
  flexjit_attention_destroy(attention);
}

/* ALiBi and causal as flags: the pattern of test_alibi. */
static void test_flags(flexjit_engine* engine) {
  const int64_t heads = HEADS;
  flexjit_buffer buffer;
  flexjit_spec spec;
  flexjit_attention* attention = NULL;
  flexjit_run_args args;
  flexjit_error* error = NULL;
  int i, h;

  flexjit_spec_init(&spec);
  CHECK(spec.window_left == -1 && spec.window_right == -1);
  spec.alibi = spec.causal = 1;
  spec.head_dim = DIM;
  expect(FLEXJIT_OK, flexjit_compile(engine, &spec, &attention, &error), &error, NULL);
  fill_args(&args);
  buffer.name = "alibi_slopes";
  buffer.tensor = flexjit_dense_tensor((void*)slope, FLEXJIT_F32, 1, &heads);
  args.bindings.buffers = &buffer;
  args.bindings.buffer_count = 1;
  expect(FLEXJIT_OK, flexjit_attention_run(attention, &args, NULL, &error), &error, NULL);
  for (h = 0; h < HEADS; ++h) {
    for (i = 0; i < LENGTH; ++i) CHECK(fabs(out[(h * LENGTH + i) * DIM] - expected_value(h, i)) < 1e-4);
  }
  flexjit_attention_destroy(attention);
  attention = NULL;
  spec.has_window = 1;
  spec.window_left = -2;
  expect(FLEXJIT_INVALID, flexjit_compile(engine, &spec, &attention, &error), &error, "param-range");
  CHECK(strstr(flexjit_preset_text("causal"), "kv_len - q_len") != NULL);
  CHECK(flexjit_preset_text("casual") == NULL && flexjit_preset_text(NULL) == NULL);
}

/* f16 keys of 0 and values of 1: n allowed keys and a sink of 0 give n / (n + 1). */
static void test_sinks_of_small_keys(void) {
  static uint16_t zeros[COUNT], ones[COUNT];
  static float sinks[HEADS], max_scores[HEADS * LENGTH];
  const int64_t shape[4] = {1, HEADS, LENGTH, DIM};
  flexjit_engine_options options;
  flexjit_engine* engine = NULL;
  flexjit_spec spec;
  flexjit_attention* attention = NULL;
  flexjit_run_args args;
  flexjit_error* error = NULL;
  int i;

  for (i = 0; i < COUNT; ++i) ones[i] = 0x3c00;
  flexjit_engine_options_init(&options);
  options.backend = FLEXJIT_BACKEND_REFERENCE;
  expect(FLEXJIT_OK, flexjit_engine_create(&options, &engine, &error), &error, NULL);
  flexjit_spec_init(&spec);
  spec.causal = 1;
  spec.has_kv_dtype = 1;
  spec.kv_dtype = FLEXJIT_F16;
  spec.head_dim = DIM;
  expect(FLEXJIT_OK, flexjit_compile(engine, &spec, &attention, &error), &error, NULL);
  fill_args(&args);
  args.k = flexjit_dense_tensor(zeros, FLEXJIT_F16, 4, shape);
  args.v = flexjit_dense_tensor(ones, FLEXJIT_F16, 4, shape);
  args.sinks = flexjit_dense_tensor(sinks, FLEXJIT_F32, 1, shape + 1);
  args.max_scores = flexjit_dense_tensor(max_scores, FLEXJIT_F32, 3, shape);
  for (i = 0; i < HEADS * LENGTH; ++i) max_scores[i] = 7;
  expect(FLEXJIT_OK, flexjit_attention_run(attention, &args, NULL, &error), &error, NULL);
  for (i = 0; i < HEADS * LENGTH; ++i) {
    const double keys = i % LENGTH + 1;
    CHECK(fabs(out[i * DIM] - keys / (keys + 1)) < 1e-6);
    CHECK(fabs(lse[i] - log(keys + 1)) < 1e-6);
    CHECK(max_scores[i] == 0);
  }
  flexjit_attention_destroy(attention);
  spec.weights = FLEXJIT_SIGMOID;
  expect(FLEXJIT_OK, flexjit_compile(engine, &spec, &attention, &error), &error, NULL);
  expect(FLEXJIT_INVALID, flexjit_attention_run(attention, &args, NULL, &error), &error, "no-softmax");
  flexjit_attention_destroy(attention);
  flexjit_engine_destroy(engine);
}

/* What is kept counts twice. */
static void test_dropout(void) {
  flexjit_engine* engine = NULL;
  flexjit_spec spec;
  flexjit_attention* attention = NULL;
  flexjit_run_args args;
  flexjit_param params[2] = {{"dropout_seed", {FLEXJIT_INT, {7}}}, {"dropout_offset", {FLEXJIT_INT, {3}}}};
  static float weights[LENGTH * LENGTH];
  flexjit_score_rows rows;
  flexjit_error* error = NULL;
  int i, j;

  expect(FLEXJIT_OK, flexjit_engine_create(NULL, &engine, &error), &error, NULL);
  flexjit_spec_init(&spec);
  spec.head_dim = DIM;
  spec.has_dropout = 1;
  spec.dropout_p = 0.5;
  spec.dropout_generator = FLEXJIT_PHILOX4;
  expect(FLEXJIT_OK, flexjit_compile(engine, &spec, &attention, &error), &error, NULL);
  fill_args(&args);
  args.bindings.params = params;
  args.bindings.param_count = 2;
  expect(FLEXJIT_OK, flexjit_attention_run(attention, &args, NULL, &error), &error, NULL);
  flexjit_score_rows_init(&rows);
  rows.q_end = LENGTH;
  rows.b = rows.h = 0;
  expect(FLEXJIT_OK, flexjit_attention_weights(attention, &args, &rows, weights, LENGTH * LENGTH, &error), &error, NULL);
  for (i = 0; i < LENGTH; ++i) {
    double kept = 0;
    for (j = 0; j < LENGTH; ++j) kept += weights[i * LENGTH + j] > 0 ? 2 * weights[i * LENGTH + j] * v[j * DIM] : 0;
    CHECK(fabs(out[i * DIM] - kept) < 1e-4);
  }
  flexjit_attention_destroy(attention);
  spec.dropout_generator = (flexjit_dropout_generator)7;
  expect(FLEXJIT_INVALID, flexjit_compile(engine, &spec, &attention, &error), &error, "bad-enum");
  flexjit_engine_destroy(engine);
}

static void test_errors(flexjit_engine* engine) {
  flexjit_spec spec;
  flexjit_attention* attention = NULL;
  flexjit_engine* none = NULL;
  flexjit_engine_options options;
  flexjit_error* error = NULL;

  flexjit_spec_init(&spec);
  spec.score_mod = "score + kv_ix";
  CHECK(flexjit_compile(engine, &spec, &attention, &error) == FLEXJIT_INVALID);
  CHECK(attention == NULL);
  CHECK(strstr(flexjit_error_message(error), "did you mean `kv_idx`?") != NULL);
  CHECK(strstr(flexjit_error_message(error), "^~~~~") != NULL);
  CHECK(flexjit_error_kind(error, 1) == NULL);
  flexjit_error_free(error);
  CHECK(flexjit_compile(engine, &spec, &attention, NULL) == FLEXJIT_INVALID); /* errors may be ignored */

  expect(FLEXJIT_INVALID, flexjit_compile(NULL, &spec, &attention, &error), &error, "null-argument");
  spec.struct_size = 0;
  expect(FLEXJIT_INVALID, flexjit_compile(engine, &spec, &attention, &error), &error, "struct-size");

  flexjit_engine_options_init(&options);
  options.backend = FLEXJIT_BACKEND_COMPILED;
  options.compiler_path = "/nowhere/libflexjit-compiler.so";
  expect(FLEXJIT_OK, flexjit_engine_create(&options, &none, &error), &error, NULL);
  flexjit_spec_init(&spec);
  expect(FLEXJIT_FAILED, flexjit_compile(none, &spec, &attention, &error), &error, "no-compiler");
  flexjit_engine_destroy(none);
  options.backend = FLEXJIT_BACKEND_COMPILED_OR_REFERENCE;
  options.cache_dir = "";
  expect(FLEXJIT_OK, flexjit_engine_create(&options, &none, &error), &error, NULL);
  expect(FLEXJIT_OK, flexjit_compile(none, &spec, &attention, &error), &error, NULL);
  CHECK(flexjit_attention_kernel_source(attention) == FLEXJIT_SOURCE_REFERENCE);
  CHECK(strcmp(flexjit_attention_warnings(attention), "") == 0);
  flexjit_attention_destroy(attention);
  flexjit_engine_destroy(none);
}

/* A struct of an older version: the fields that it lacks keep their defaults. */
static void test_older_struct(flexjit_engine* engine) {
  flexjit_spec spec;
  flexjit_attention* attention = NULL;
  flexjit_error* error = NULL;
  flexjit_spec_init(&spec);
  spec.struct_size = offsetof(flexjit_spec, head_dim);
  spec.head_dim = -5;
  expect(FLEXJIT_OK, flexjit_compile(engine, &spec, &attention, &error), &error, NULL);
  flexjit_attention_destroy(attention);
}

int main(void) {
  flexjit_engine* engine = NULL;
  flexjit_engine_stats stats;
  flexjit_error* error = NULL;

  CHECK(strlen(flexjit_version()) >= 5);
  expect(FLEXJIT_OK, flexjit_engine_create(NULL, &engine, &error), &error, NULL);
  test_alibi(engine);
  test_params(engine);
  test_flags(engine);
  test_sinks_of_small_keys();
  test_dropout();
  test_errors(engine);
  test_older_struct(engine);
  expect(FLEXJIT_OK, flexjit_engine_get_stats(engine, &stats, &error), &error, NULL);
  /* 4 patterns and, of the 3 that ran, the kernel for few query rows. */
  if (getenv("FLEXJIT_REFERENCE") == NULL) CHECK(stats.compiles == 7);
  flexjit_engine_destroy(engine);
  flexjit_engine_destroy(NULL);
  flexjit_attention_destroy(NULL);
  flexjit_block_mask_destroy(NULL);
  if (failures == 0) puts("ok");
  return failures != 0;
}
