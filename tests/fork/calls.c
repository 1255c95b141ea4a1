/* Keys are 0, so that the output of a row is the mean of the values that it sees, and value j is j: with the mask
 * `kv_idx <= q_idx + kv_len - q_len` and n keys fewer for a seed n, known without any attention. */
#include "calls.h"

#include <flexjit/c_api.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { HEADS = 4, KV_HEADS = 2, Q_LEN = 150, KV_LEN = 700, DIM = 8 };

static float q[HEADS * Q_LEN * DIM], k[KV_HEADS * KV_LEN * DIM], v[KV_HEADS * KV_LEN * DIM], out[HEADS * Q_LEN * DIM];

static flexjit_attention* compile(int threads, int seed) {
  flexjit_engine_options options;
  flexjit_engine* engine = NULL;
  flexjit_attention* attention = NULL;
  flexjit_spec spec;
  flexjit_error* error = NULL;
  char mask[100];
  flexjit_engine_options_init(&options);
  options.threads = threads;
  options.cache_dir = "";
  sprintf(mask, "kv_idx + %d <= q_idx + kv_len - q_len", seed);
  flexjit_spec_init(&spec);
  spec.mask_mod = mask;
  spec.head_dim = DIM;
  if (flexjit_engine_create(&options, &engine, &error) != FLEXJIT_OK ||
      flexjit_compile(engine, &spec, &attention, &error) != FLEXJIT_OK) {
    fputs(flexjit_error_message(error), stderr);
  }
  flexjit_engine_destroy(engine);
  return attention;
}

static int run(const flexjit_attention* attention, int q_len, int seed, const flexjit_block_mask* mask) {
  const int64_t q_shape[4] = {1, HEADS, q_len, DIM}, kv_shape[4] = {1, KV_HEADS, KV_LEN, DIM};
  flexjit_run_args args;
  flexjit_error* error = NULL;
  int i;
  for (i = 0; i < KV_HEADS * KV_LEN * DIM; ++i) v[i] = (float)(i / DIM % KV_LEN);
  for (i = 0; i < HEADS * Q_LEN * DIM; ++i) out[i] = -1;
  flexjit_run_args_init(&args);
  args.q = flexjit_dense_tensor(q, FLEXJIT_F32, 4, q_shape);
  args.k = flexjit_dense_tensor(k, FLEXJIT_F32, 4, kv_shape);
  args.v = flexjit_dense_tensor(v, FLEXJIT_F32, 4, kv_shape);
  args.out = flexjit_dense_tensor(out, FLEXJIT_F32, 4, q_shape);
  args.block_mask = mask;
  if (flexjit_attention_run(attention, &args, NULL, &error) != FLEXJIT_OK) {
    fputs(flexjit_error_message(error), stderr);
    return 1;
  }
  for (i = 0; i < HEADS * q_len; ++i) {
    const double last = i % q_len + KV_LEN - q_len - seed; /* keys 0 to last */
    if (fabs(out[i * DIM] - last / 2) > 1e-3) return 1;
  }
  return 0;
}

static flexjit_block_mask* make_mask(const flexjit_attention* attention, int q_len) {
  flexjit_block_mask_options options;
  flexjit_block_mask* mask = NULL;
  flexjit_block_mask_options_init(&options);
  options.heads = HEADS;
  options.kv_heads = KV_HEADS;
  options.q_len = q_len;
  options.kv_len = KV_LEN;
  options.q_block = options.kv_block = 32;
  flexjit_block_mask_create(attention, &options, NULL, &mask, NULL);
  return mask;
}

int fork_calls_all(int threads, int seed) {
  flexjit_attention* attention = compile(threads, seed);
  flexjit_block_mask* mask = attention != NULL ? make_mask(attention, Q_LEN) : NULL;
  int failed = 0;
  if (attention == NULL)
    failed = 1;
  else if (run(attention, Q_LEN, seed, NULL) != 0)
    failed = 2;
  else if (run(attention, 1, seed, NULL) != 0)
    failed = 3;
  else if (mask == NULL || run(attention, Q_LEN, seed, mask) != 0)
    failed = 4;
  flexjit_block_mask_destroy(mask);
  flexjit_attention_destroy(attention);
  return failed;
}

int fork_calls_kept(int threads) {
  static flexjit_attention* kept[16];
  if (kept[threads] == NULL) kept[threads] = compile(threads, 0);
  if (kept[threads] == NULL) return 11;
  if (run(kept[threads], Q_LEN, 0, NULL) != 0) return 12;
  return run(kept[threads], 1, 0, NULL) != 0 ? 13 : 0;
}
