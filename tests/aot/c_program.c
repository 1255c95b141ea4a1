/* A C99 program that calls patterns from an archive and compares with the naive fp64 reference, which the handle of the same
 * pattern computes. Everything is declared by the archive's header. */
#include "patterns.f32.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { BATCH = 2, HEADS = 4, KV_HEADS = 2, KV_LEN = 90, MAX_Q = 70, DIM = 40, VALUE_DIM = 24, TABLE = 8 };
enum { OUTPUTS = BATCH * HEADS * MAX_Q * VALUE_DIM };

static float q[BATCH * HEADS * MAX_Q * DIM], k[BATCH * KV_HEADS * KV_LEN * DIM], v[BATCH * KV_HEADS * KV_LEN * VALUE_DIM];
static float out[OUTPUTS], expected[OUTPUTS], slope[HEADS], table[HEADS * TABLE];
static int32_t q_doc[MAX_Q], kv_doc[KV_LEN];
static int failures = 0;

static void expect_ok(flexjit_status status, flexjit_error** error, const char* what) {
  if (status == FLEXJIT_OK) return;
  fprintf(stderr, "%s: %s", what, flexjit_error_message(*error));
  flexjit_error_free(*error);
  ++failures;
}

static flexjit_tensor tensor(float* data, int64_t heads, int64_t length, int64_t dim) {
  const int64_t shape[4] = {BATCH, 0, 0, 0};
  int64_t extents[4];
  memcpy(extents, shape, sizeof(extents));
  extents[1] = heads;
  extents[2] = length;
  extents[3] = dim;
  return flexjit_dense_tensor(data, FLEXJIT_F32, 4, extents);
}

/* `out` beside what the handle's reference computes with the same tensors and these bindings. */
static void compare(flexjit_attention* attention, int64_t q_len, const flexjit_bindings* bindings, const char* what) {
  flexjit_error* error = NULL;
  flexjit_run_args args;
  int64_t i;
  flexjit_run_args_init(&args);
  args.q = tensor(q, HEADS, q_len, DIM);
  args.k = tensor(k, KV_HEADS, KV_LEN, DIM);
  args.v = tensor(v, KV_HEADS, KV_LEN, VALUE_DIM);
  args.out = tensor(expected, HEADS, q_len, VALUE_DIM);
  args.bindings = *bindings;
  expect_ok(flexjit_attention_run_reference(attention, &args, NULL, &error), &error, what);
  for (i = 0; i < BATCH * HEADS * q_len * VALUE_DIM; ++i) {
    if (!(fabsf(out[i] - expected[i]) <= 1e-5f * (1 + fabsf(expected[i])))) {
      fprintf(stderr, "%s, %d queries: element %d is %g, not %g\n", what, (int)q_len, (int)i, out[i], expected[i]);
      ++failures;
      break;
    }
  }
  flexjit_attention_destroy(attention);
}

static void run_biased(int64_t q_len) {
  const int64_t heads[2] = {HEADS, TABLE};
  flexjit_buffer buffers[2];
  flexjit_param params[2] = {{"strength", {FLEXJIT_FLOAT, {0}}}, {"two_sided", {FLEXJIT_TRUTH, {1}}}};
  flexjit_bindings bindings = {NULL, 2, NULL, 2};
  flexjit_attention* attention = NULL;
  flexjit_error* error = NULL;
  biased_args args;
  biased_args_init(&args);
  args.q = tensor(q, HEADS, q_len, DIM);
  args.k = tensor(k, KV_HEADS, KV_LEN, DIM);
  args.v = tensor(v, KV_HEADS, KV_LEN, VALUE_DIM);
  args.out = tensor(out, HEADS, q_len, VALUE_DIM);
  args.buffer_slope = flexjit_dense_tensor(slope, FLEXJIT_F32, 1, heads);
  args.buffer_table = flexjit_dense_tensor(table, FLEXJIT_F32, 2, heads);
  args.param_strength = 0.75f;
  args.has_param_strength = 1;
  args.param_two_sided = 1;
  expect_ok(biased_run(&args, &error), &error, "biased");

  buffers[0].name = "slope";
  buffers[0].tensor = args.buffer_slope;
  buffers[1].name = "table";
  buffers[1].tensor = args.buffer_table;
  params[0].value.value.f = args.param_strength;
  bindings.buffers = buffers;
  bindings.params = params;
  expect_ok(biased_attention(&attention, &error), &error, "biased");
  compare(attention, q_len, &bindings, "biased");
}

static void run_documents(int64_t q_len) {
  const int64_t kv_len = KV_LEN;
  flexjit_buffer buffers[2];
  flexjit_bindings bindings = {NULL, 2, NULL, 0};
  flexjit_attention* attention = NULL;
  flexjit_error* error = NULL;
  documents_args args;
  documents_args_init(&args);
  args.q = tensor(q, HEADS, q_len, DIM);
  args.k = tensor(k, KV_HEADS, KV_LEN, DIM);
  args.v = tensor(v, KV_HEADS, KV_LEN, VALUE_DIM);
  args.out = tensor(out, HEADS, q_len, VALUE_DIM);
  args.buffer_q_doc = flexjit_dense_tensor(q_doc, FLEXJIT_I32, 1, &q_len);
  args.buffer_kv_doc = flexjit_dense_tensor(kv_doc, FLEXJIT_I32, 1, &kv_len);
  expect_ok(documents_run(&args, &error), &error, "documents");

  buffers[0].name = "q_doc";
  buffers[0].tensor = args.buffer_q_doc;
  buffers[1].name = "kv_doc";
  buffers[1].tensor = args.buffer_kv_doc;
  bindings.buffers = buffers;
  expect_ok(documents_attention(&attention, &error), &error, "documents");
  compare(attention, q_len, &bindings, "documents");
}

int main(void) {
  int i;
  for (i = 0; i < BATCH * HEADS * MAX_Q * DIM; ++i) q[i] = (float)(i * 7 % 23 - 11) * 0.1f;
  for (i = 0; i < BATCH * KV_HEADS * KV_LEN * DIM; ++i) k[i] = (float)(i * 11 % 29 - 14) * 0.1f;
  for (i = 0; i < BATCH * KV_HEADS * KV_LEN * VALUE_DIM; ++i) v[i] = (float)(i * 13 % 31 - 15) * 0.1f;
  for (i = 0; i < HEADS; ++i) slope[i] = 0.1f * (float)i;
  for (i = 0; i < HEADS * TABLE; ++i) table[i] = (float)(i % 5) * 0.3f;
  for (i = 0; i < MAX_Q; ++i) q_doc[i] = i / 9 % 3;
  for (i = 0; i < KV_LEN; ++i) kv_doc[i] = i / 7 % 3;
  run_biased(MAX_Q);
  run_biased(1);
  run_documents(MAX_Q);
  run_documents(2);
  if (failures == 0) puts("ok");
  return failures != 0;
}
