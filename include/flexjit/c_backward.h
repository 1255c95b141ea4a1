/* The part of c_api.h for training. What each gradient means is said in flexjit/backward.h. */
#ifndef FLEXJIT_C_API_H
#include "flexjit/c_api.h" /* which includes this */
#elif !defined(FLEXJIT_C_BACKWARD_H)
#define FLEXJIT_C_BACKWARD_H

#ifdef __cplusplus
extern "C" {
#endif

/* data == NULL: counts as 0 where it is given, is not computed where it is wanted. */
typedef struct flexjit_gradients {
  size_t struct_size;
  flexjit_tensor out, lse;       /* given: of the loss by what the forward call wrote */
  flexjit_tensor q, k, v, sinks; /* wanted */
  const flexjit_buffer* buffers; /* wanted, by the names of captured buffers */
  size_t buffer_count;
} flexjit_gradients;

FLEXJIT_API void flexjit_gradients_init(flexjit_gradients* gradients);

/* `forward` is what flexjit_attention_run() was called with; its `out` and `lse` hold what that wrote. `stats` may be NULL. */
FLEXJIT_API flexjit_status flexjit_run_backward(const flexjit_attention* attention, const flexjit_run_args* forward,
                                                const flexjit_gradients* gradients, flexjit_run_stats* stats,
                                                flexjit_error** error);
FLEXJIT_API flexjit_status flexjit_run_backward_reference(const flexjit_attention* attention, const flexjit_run_args* forward,
                                                          const flexjit_gradients* gradients, flexjit_run_stats* stats,
                                                          flexjit_error** error);

#ifdef __cplusplus
}
#endif

#endif /* FLEXJIT_C_BACKWARD_H */
