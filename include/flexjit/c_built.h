/* The part of c_api.h behind libraries that `flexjit build` made; a program calls what the header of its library declares. */
#ifndef FLEXJIT_C_API_H
#include "flexjit/c_api.h" /* which includes this */
#elif !defined(FLEXJIT_C_BUILT_H)
#define FLEXJIT_C_BUILT_H

#ifdef __cplusplus
extern "C" {
#endif

/* Libraries that `flexjit build` made. The header of such a library declares typed functions for each of its patterns; those
 * functions call those below with the library's own flexjit_built, and nothing else needs to. */
enum { FLEXJIT_BUILT_VERSION = 4 }; /* of these structs, and of what the functions do with them */

/* The first three fields are the same in every version. */
typedef struct flexjit_built {
  uint32_t version;    /* FLEXJIT_BUILT_VERSION of the flexjit that built it */
  uint32_t reserved;   /* 0 */
  const char* made_by; /* its flexjit_version() */
  const void* bundle;  /* the pattern and its kernels; read only */
  size_t bundle_bytes;
  void* loaded; /* NULL until the first call, which sets it */
} flexjit_built;

/* How the arguments of every built pattern begin. Its captured buffers follow, a flexjit_tensor each; then an int32_t, the
 * number of threads; then its params, each a double or an int32_t, each param without a default followed by an int32_t that is
 * not 0 where it is given. Buffers and params are in the order of the pattern's declarations. */
typedef struct flexjit_built_args {
  size_t struct_size; /* of all of it */
  flexjit_tensor q, k, v, out;
  flexjit_tensor lse, max_scores, sinks; /* data == NULL: not wanted, none */
  const flexjit_block_mask* block_mask;  /* NULL: derived */
  const flexjit_sequences* sequences;    /* NULL: every batch entry is one */
} flexjit_built_args;

/* How the gradients of every built pattern begin; see c_backward.h. Those of its captured buffers of floats that the score
 * reads follow, a flexjit_tensor each, in the order of the pattern's declarations. */
typedef struct flexjit_built_gradients {
  size_t struct_size; /* of all of it */
  flexjit_tensor out, lse;
  flexjit_tensor q, k, v, sinks;
} flexjit_built_gradients;

/* Behind NAME_run(), NAME_run_backward() and NAME_attention() of a built library. `args` begins with a flexjit_built_args,
 * `gradients` with a flexjit_built_gradients. What the first call loads stays until the process ends. FLEXJIT_FAILED: the
 * library was built by another version, is damaged, or has no code that this machine executes. */
FLEXJIT_API flexjit_status flexjit_built_run(flexjit_built* pattern, const void* args, flexjit_error** error);
FLEXJIT_API flexjit_status flexjit_built_run_backward(flexjit_built* pattern, const void* args, const void* gradients,
                                                      flexjit_error** error);
FLEXJIT_API flexjit_status flexjit_built_attention(flexjit_built* pattern, flexjit_attention** attention,
                                                   flexjit_error** error);

#ifdef __cplusplus
}
#endif

#endif /* FLEXJIT_C_BUILT_H */
