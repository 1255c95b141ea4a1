/* The C call that bench/python-calls holds flex_attention against: a score with a captured buffer, a causal block mask. */
#include <flexjit/c_api.h>
#include <stdio.h>
#include <time.h>

static double seconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static double failed(flexjit_error* error) {
  fputs(flexjit_error_message(error), stderr);
  return -1;
}

/* Seconds of one of `calls` calls of (1, 1, length, 64) tensors; below 0 for an error. */
double seconds_of_c_call(float* q, float* k, float* v, float* out, float* slope, long length, long calls) {
  const int64_t shape[4] = {1, 1, length, 64}, one[1] = {1};
  flexjit_engine* engine = NULL;
  flexjit_attention* attention = NULL;
  flexjit_block_mask* mask = NULL;
  flexjit_error* error = NULL;
  flexjit_spec spec;
  flexjit_spec_init(&spec);
  const flexjit_buffer_declaration declared = {"slope", FLEXJIT_F32, 1};
  spec.score_mod = "score + 0.5 * slope[h] * (kv_idx - q_idx)";
  spec.mask_mod = "q_idx >= kv_idx";
  spec.buffers = &declared;
  spec.buffer_count = 1;
  flexjit_block_mask_options options;
  flexjit_block_mask_options_init(&options);
  options.q_len = options.kv_len = (int32_t)length;
  const flexjit_buffer bound = {"slope", flexjit_dense_tensor(slope, FLEXJIT_F32, 1, one)};
  const flexjit_bindings bindings = {&bound, 1, NULL, 0};
  if (flexjit_engine_create(NULL, &engine, &error) != FLEXJIT_OK ||
      flexjit_compile(engine, &spec, &attention, &error) != FLEXJIT_OK ||
      flexjit_block_mask_create(attention, &options, &bindings, &mask, &error) != FLEXJIT_OK)
    return failed(error);
  double begin = 0;
  for (long n = -calls / 10; n < calls; ++n) {
    if (n == 0) begin = seconds();
    flexjit_run_args args;
    flexjit_run_args_init(&args);
    args.q = flexjit_dense_tensor(q, FLEXJIT_F32, 4, shape);
    args.k = flexjit_dense_tensor(k, FLEXJIT_F32, 4, shape);
    args.v = flexjit_dense_tensor(v, FLEXJIT_F32, 4, shape);
    args.out = flexjit_dense_tensor(out, FLEXJIT_F32, 4, shape);
    args.bindings = bindings;
    args.block_mask = mask;
    if (flexjit_attention_run(attention, &args, NULL, &error) != FLEXJIT_OK) return failed(error);
  }
  const double took = (seconds() - begin) / (double)calls;
  flexjit_block_mask_destroy(mask);
  flexjit_attention_destroy(attention);
  flexjit_engine_destroy(engine);
  return took;
}
