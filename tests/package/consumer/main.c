/* The same through the C interface, on plain attention: equal scores average all values. */
#include <flexjit/c_api.h>
#include <math.h>
#include <stdio.h>

enum { LENGTH = 33, DIM = 8 };

static int report(flexjit_error* error) {
  fputs(flexjit_error_message(error), stderr);
  flexjit_error_free(error);
  return 1;
}

int main(void) {
  static float q[LENGTH * DIM], k[LENGTH * DIM], v[LENGTH * DIM], out[LENGTH * DIM];
  const int64_t shape[4] = {1, 1, LENGTH, DIM};
  flexjit_engine* engine = NULL;
  flexjit_attention* attention = NULL;
  flexjit_error* error = NULL;
  flexjit_spec spec;
  flexjit_run_args args;
  int i, wrong = 0;

  for (i = 0; i < LENGTH * DIM; ++i) v[i] = (float)(i / DIM);
  flexjit_spec_init(&spec);
  spec.head_dim = DIM;
  if (flexjit_engine_create(NULL, &engine, &error) != FLEXJIT_OK) return report(error);
  if (flexjit_compile(engine, &spec, &attention, &error) != FLEXJIT_OK) return report(error);

  flexjit_run_args_init(&args);
  args.q = flexjit_dense_tensor(q, FLEXJIT_F32, 4, shape);
  args.k = flexjit_dense_tensor(k, FLEXJIT_F32, 4, shape);
  args.v = flexjit_dense_tensor(v, FLEXJIT_F32, 4, shape);
  args.out = flexjit_dense_tensor(out, FLEXJIT_F32, 4, shape);
  if (flexjit_attention_run(attention, &args, NULL, &error) != FLEXJIT_OK) return report(error);
  for (i = 0; i < LENGTH * DIM; ++i) wrong += fabsf(out[i] - (LENGTH - 1) / 2.0f) > 1e-4f;

  flexjit_attention_destroy(attention);
  flexjit_engine_destroy(engine);
  if (wrong != 0) fprintf(stderr, "%d elements are wrong\n", wrong);
  return wrong != 0;
}
