/* A pattern that flexjit_add_patterns() compiled into the program: row i gives the mean of the values 0 to i. */
#include <math.h>
#include <stdio.h>

#include "consumer_built_patterns.h"

enum { LENGTH = 33, DIM = 16 };

int main(void) {
  static float q[LENGTH * DIM], v[LENGTH * DIM], out[LENGTH * DIM];
  const int64_t shape[4] = {1, 1, LENGTH, DIM};
  causal_args args;
  flexjit_error* error = NULL;
  int i;
  for (i = 0; i < LENGTH * DIM; ++i) v[i] = (float)(i / DIM);
  causal_args_init(&args);
  args.q = args.k = flexjit_dense_tensor(q, FLEXJIT_F32, 4, shape);
  args.v = flexjit_dense_tensor(v, FLEXJIT_F32, 4, shape);
  args.out = flexjit_dense_tensor(out, FLEXJIT_F32, 4, shape);
  if (causal_run(&args, &error) != FLEXJIT_OK) {
    fputs(flexjit_error_message(error), stderr);
    flexjit_error_free(error);
    return 1;
  }
  for (i = 0; i < LENGTH; ++i) {
    if (fabsf(out[i * DIM] - (float)i / 2) > 1e-4f) return 1;
  }
  return 0;
}
