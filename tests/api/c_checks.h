/* What the C tests share: checks, and a causal pattern of 20 x 20 with its arguments. Compiled as C99. */
#ifndef C_CHECKS_H
#define C_CHECKS_H

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "flexjit/c_api.h"

enum { HEADS = 2, LENGTH = 20, DIM = 8, COUNT = HEADS * LENGTH * DIM, BLOCK = 5, SIDE = LENGTH / BLOCK };

static int failures = 0;
static flexjit_error* error = NULL;

#define CHECK(condition)                                                     \
  do {                                                                       \
    if (!(condition)) {                                                      \
      fprintf(stderr, "%s:%d: CHECK(%s)\n", __FILE__, __LINE__, #condition); \
      ++failures;                                                            \
    }                                                                        \
  } while (0)

/* The call's status and the kind of its first finding, NULL for none. */
#define EXPECT(call, status, kind) expect((call), (status), (kind), __FILE__, __LINE__)
#define OK(call) EXPECT(call, FLEXJIT_OK, NULL)
#define IS_NULL(call) EXPECT(call, FLEXJIT_INVALID, "null-argument")

static inline void expect(flexjit_status seen, flexjit_status status, const char* kind, const char* file, int line) {
  const char* found = flexjit_error_kind(error, 0);
  if (seen != status || (kind == NULL) != (found == NULL) || (kind != NULL && found != NULL && strcmp(kind, found) != 0)) {
    fprintf(stderr, "%s:%d: status %d, expected %s: %s", file, line, (int)seen, kind != NULL ? kind : "no error",
            flexjit_error_message(error));
    ++failures;
  }
  flexjit_error_free(error);
  error = NULL;
}

static inline int same(const char* a, const char* b) { return a != NULL && b != NULL && strcmp(a, b) == 0; }

static float q[COUNT], v[COUNT], out[COUNT], lse[HEADS * LENGTH];
static flexjit_engine* engine = NULL;
static flexjit_attention* attention = NULL;
static flexjit_run_args args;
static flexjit_buffer bias;
static flexjit_param window;
static float bias_values[HEADS];
static flexjit_block_mask_options sizes;

static inline void bind_names(void) {
  const int64_t shape[2] = {HEADS, 1};
  bias.name = "bias";
  bias.tensor = flexjit_dense_tensor(bias_values, FLEXJIT_F32, 2, shape);
  window.name = "window";
  window.value.type = FLEXJIT_INT;
  window.value.value.i = 50;
  args.bindings.buffers = &bias;
  args.bindings.buffer_count = 1;
  args.bindings.params = &window;
  args.bindings.param_count = 1;
}

/* Scores are 0; v is the row's number, so that a row gives the mean of the keys that it sees. */
static inline void make_attention(void) {
  const int64_t shape[4] = {1, HEADS, LENGTH, DIM};
  flexjit_engine_options options;
  flexjit_spec spec;
  int i;
  for (i = 0; i < COUNT; ++i) v[i] = (float)(i / DIM % LENGTH);
  flexjit_engine_options_init(&options);
  options.cache_dir = "";
  OK(flexjit_engine_create(&options, &engine, &error));
  flexjit_spec_init(&spec);
  spec.program =
      "param window : int = 100\nbuffer bias : f32[?, 1]\nscore = score + 0 * bias[h, 0]\n"
      "mask = q_idx >= kv_idx && q_idx - kv_idx < window";
  spec.program_name = "test.flex";
  spec.head_dim = DIM;
  OK(flexjit_compile(engine, &spec, &attention, &error));
  flexjit_run_args_init(&args);
  args.q = args.k = flexjit_dense_tensor(q, FLEXJIT_F32, 4, shape);
  args.v = flexjit_dense_tensor(v, FLEXJIT_F32, 4, shape);
  args.out = flexjit_dense_tensor(out, FLEXJIT_F32, 4, shape);
  args.lse = flexjit_dense_tensor(lse, FLEXJIT_F32, 3, shape);
  flexjit_block_mask_options_init(&sizes);
  sizes.q_len = sizes.kv_len = LENGTH;
  sizes.q_block = sizes.kv_block = BLOCK;
  bind_names();
}

static inline flexjit_block_mask* made_mask(void) {
  flexjit_block_mask* mask = NULL;
  flexjit_block_mask_report report;
  flexjit_block_mask_report_init(&report);
  OK(flexjit_block_mask_create_reported(attention, &sizes, &args.bindings, &report, &mask, &error));
  CHECK(report.proved + report.evaluated == SIDE * SIDE && report.build_ms >= 0);
  return mask;
}

static inline void finish(void) {
  flexjit_attention_destroy(attention);
  flexjit_engine_destroy(engine);
  if (failures == 0) puts("ok");
}

#endif
