/* Two patterns from one archive, each called through its own function. The keys are 0, so that the weights are those of the
 * pattern alone and the result can be computed by hand: value j is the number j in every dimension, and the output of a row is
 * the mean of the positions that it sees, weighted by exp(-slope * distance). */
#include "patterns.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { HEADS = 4, LENGTH = 300, DIM = 32, COUNT = HEADS * LENGTH * DIM, WINDOW = 40 };

static float q[COUNT], k[COUNT], v[COUNT], out[COUNT];
static float slope[HEADS] = {0.5f, 0.25f, 0.125f, 0.0625f};
static const int64_t shape[4] = {1, HEADS, LENGTH, DIM};

/* Takes the error's address, because the call that sets it may be evaluated after the other argument. */
static void check(flexjit_status status, flexjit_error** error) {
  if (status == FLEXJIT_OK) return;
  fputs(flexjit_error_message(*error), stderr);
  flexjit_error_free(*error);
  exit(EXIT_FAILURE);
}

/* The largest difference between `out` and the mean over the last `window` positions. */
static double largest_error(const float* slopes, int window) {
  double largest = 0;
  int h, i, j;
  for (h = 0; h < HEADS; ++h) {
    for (i = 0; i < LENGTH; ++i) {
      double weights = 0, sum = 0, error;
      for (j = i; j >= 0 && i - j < window; --j) {
        const double weight = exp(-(double)slopes[h] * (i - j));
        weights += weight;
        sum += weight * j;
      }
      error = fabs(out[(h * LENGTH + i) * DIM] - sum / weights);
      if (error > largest) largest = error;
    }
  }
  return largest;
}

static double run_causal(void) {
  static const float flat[HEADS];
  flexjit_error* error = NULL;
  causal_args args;
  causal_args_init(&args);
  args.q = flexjit_dense_tensor(q, FLEXJIT_F32, 4, shape);
  args.k = flexjit_dense_tensor(k, FLEXJIT_F32, 4, shape);
  args.v = flexjit_dense_tensor(v, FLEXJIT_F32, 4, shape);
  args.out = flexjit_dense_tensor(out, FLEXJIT_F32, 4, shape);
  check(causal_run(&args, &error), &error);
  return largest_error(flat, LENGTH);
}

static double run_local_alibi(void) {
  flexjit_error* error = NULL;
  local_alibi_args args;
  local_alibi_args_init(&args);
  args.q = flexjit_dense_tensor(q, FLEXJIT_F32, 4, shape);
  args.k = flexjit_dense_tensor(k, FLEXJIT_F32, 4, shape);
  args.v = flexjit_dense_tensor(v, FLEXJIT_F32, 4, shape);
  args.out = flexjit_dense_tensor(out, FLEXJIT_F32, 4, shape);
  args.buffer_slope = flexjit_dense_tensor(slope, FLEXJIT_F32, 1, shape + 1);
  args.param_window = WINDOW;
  check(local_alibi_run(&args, &error), &error);
  return largest_error(slope, WINDOW);
}

int main(void) {
  flexjit_error* error = NULL;
  flexjit_attention* attention = NULL;
  double causal_error, alibi_error;
  int i;
  for (i = 0; i < COUNT; ++i) {
    q[i] = (float)(i % 13) * 0.1f;
    v[i] = (float)(i / DIM % LENGTH);
  }
  check(causal_attention(&attention, &error), &error);
  printf("code for %s\n", flexjit_attention_target(attention));
  flexjit_attention_destroy(attention);
  causal_error = run_causal();
  alibi_error = run_local_alibi();
  printf("causal: largest error %.1e\nlocal_alibi: largest error %.1e\n", causal_error, alibi_error);
  return causal_error < 1e-3 && alibi_error < 1e-3 ? EXIT_SUCCESS : EXIT_FAILURE;
}
