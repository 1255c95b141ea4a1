/* The C interface of flexjit: C99, opaque handles, status codes. The same core and the same meaning as the C++ headers.
 *
 *   flexjit_engine* engine = NULL;
 *   flexjit_attention* attention = NULL;
 *   flexjit_error* error = NULL;
 *   flexjit_spec spec;
 *   flexjit_spec_init(&spec);
 *   spec.mask_mod = "q_idx >= kv_idx";
 *   if (flexjit_engine_create(NULL, &engine, &error) != FLEXJIT_OK ||
 *       flexjit_compile(engine, &spec, &attention, &error) != FLEXJIT_OK) {
 *     fputs(flexjit_error_message(error), stderr);
 *   }
 *
 * Errors. Every function that can fail takes a `flexjit_error**`, which may be NULL. It is set to NULL on success and to a
 * new error otherwise, which the caller frees with flexjit_error_free(). Output handles are set only on success.
 * Structs. Those that begin with `struct_size` are made by their *_init() function, so that later versions can append fields.
 * Threads. Engines, attentions and block masks may be used from several threads at once, except while they are destroyed.
 * Lifetime. Strings and arrays are read during the call only. Handles are independent: an attention outlives its engine. Every
 * *_destroy() and flexjit_error_free() accepts NULL. */
#ifndef FLEXJIT_C_API_H
#define FLEXJIT_C_API_H

#include <stddef.h>
#include <stdint.h>

#include "flexjit/export.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct flexjit_engine flexjit_engine;
typedef struct flexjit_attention flexjit_attention;
typedef struct flexjit_block_mask flexjit_block_mask;
typedef struct flexjit_error flexjit_error;

typedef enum flexjit_status {
  FLEXJIT_OK = 0,
  FLEXJIT_INVALID = 1, /* the text, a tensor, a binding or an argument is at fault */
  FLEXJIT_FAILED = 2   /* the machine or the installation is: no compiler library, no memory, a defect of flexjit */
} flexjit_status;

typedef enum flexjit_dtype {
  FLEXJIT_F32 = 0,
  FLEXJIT_F64 = 1,
  FLEXJIT_F16 = 2,
  FLEXJIT_BF16 = 3,
  FLEXJIT_I64 = 4,
  FLEXJIT_I32 = 5,
  FLEXJIT_I8 = 6,
  FLEXJIT_U8 = 7,
  FLEXJIT_BOOL = 8
} flexjit_dtype;

typedef enum flexjit_scalar_type { FLEXJIT_INT = 0, FLEXJIT_FLOAT = 1, FLEXJIT_TRUTH = 2 } flexjit_scalar_type;

typedef enum flexjit_backend {
  FLEXJIT_BACKEND_DEFAULT = 0,              /* compiled, unless the environment variable FLEXJIT_REFERENCE says otherwise */
  FLEXJIT_BACKEND_COMPILED = 1,             /* the compiled kernel */
  FLEXJIT_BACKEND_REFERENCE = 2,            /* naive fp64; no compiler needed */
  FLEXJIT_BACKEND_COMPILED_OR_REFERENCE = 3 /* naive fp64 for patterns in no cache where the compiler cannot be opened */
} flexjit_backend;

typedef enum flexjit_kernel_source {
  FLEXJIT_SOURCE_COMPILED = 0,
  FLEXJIT_SOURCE_MEMORY = 1,
  FLEXJIT_SOURCE_DISK = 2,
  FLEXJIT_SOURCE_REFERENCE = 3,
  FLEXJIT_SOURCE_BUILT = 4 /* compiled ahead of time, in a built library */
} flexjit_kernel_source;

/* A strided view of the caller's memory; strides in elements. Inputs are not written. */
typedef struct flexjit_tensor {
  void* data;
  flexjit_dtype dtype;
  int32_t rank; /* at most 4 */
  int64_t shape[4];
  int64_t strides[4];
} flexjit_tensor;

typedef struct flexjit_scalar {
  flexjit_scalar_type type;
  union {
    int32_t i; /* FLEXJIT_INT */
    double f;  /* FLEXJIT_FLOAT */
    int32_t b; /* FLEXJIT_TRUTH: 0 or not */
  } value;
} flexjit_scalar;

typedef struct flexjit_buffer_declaration {
  const char* name;
  flexjit_dtype dtype;
  int32_t rank;
} flexjit_buffer_declaration;

/* A captured tensor, bound for one call. */
typedef struct flexjit_buffer {
  const char* name;
  flexjit_tensor tensor;
} flexjit_buffer;

/* A runtime scalar: in a spec its type and default, in a call its value. */
typedef struct flexjit_param {
  const char* name;
  flexjit_scalar value;
} flexjit_param;

typedef struct flexjit_bindings {
  const flexjit_buffer* buffers;
  size_t buffer_count;
  const flexjit_param* params;
  size_t param_count;
} flexjit_bindings;

typedef struct flexjit_engine_options {
  size_t struct_size;
  int32_t threads; /* 0: all cores */
  flexjit_backend backend;
  const char* target; /* "host" */
  size_t cache_bytes;
  const char* compiler_path; /* "": beside libflexjit */
  const char* cache_dir;     /* of kernels on disk; NULL: the default, "": none */
  size_t disk_cache_bytes;
  const char* perf; /* "map", "jitdump" or "", see flexjit/engine.h; NULL: the default */
} flexjit_engine_options;

typedef enum flexjit_weights { FLEXJIT_SOFTMAX = 0, FLEXJIT_SIGMOID = 1 } flexjit_weights;

/* The text: either `program` or score_mod and mask_mod with their declarations. NULL is as "". */
typedef struct flexjit_spec {
  size_t struct_size;
  const char* program;
  const char* program_name;
  const char* score_mod;
  const char* mask_mod;
  const flexjit_buffer_declaration* buffers;
  size_t buffer_count;
  const flexjit_param* params;
  size_t param_count;
  flexjit_dtype dtype;
  int32_t head_dim;
  int32_t v_head_dim; /* 0 = head_dim */
  int32_t has_scale;  /* 0: 1 / sqrt(head_dim) */
  double scale;
  int32_t has_kv_dtype; /* 0: dtype */
  flexjit_dtype kv_dtype;
  int32_t has_out_dtype; /* 0: dtype */
  flexjit_dtype out_dtype;
  /* The flags of flexjit/attention.h; their tensors and numbers are bound by the names that it gives them. */
  int32_t causal;
  int32_t has_window;
  int32_t window_left, window_right; /* -1: unbounded */
  int32_t has_softcap;
  double softcap;
  int32_t alibi;
  int32_t key_lengths;
  int32_t key_mask;
  int32_t attention_mask_rank; /* 0: no mask tensor; else 2 to 4 */
  flexjit_dtype attention_mask_dtype;
  flexjit_weights weights;
} flexjit_spec;

/* Shapes as in flexjit/attention.h: q (batch, q_heads, q_len, head_dim), k, v, out likewise, lse (batch, q_heads, q_len). */
typedef struct flexjit_run_args {
  size_t struct_size;
  flexjit_tensor q, k, v, out;
  flexjit_tensor lse; /* data == NULL: not wanted */
  flexjit_bindings bindings;
  const flexjit_block_mask* block_mask; /* NULL: derived from the mask's text */
  flexjit_tensor max_scores;            /* as lse; data == NULL: not wanted */
  flexjit_tensor sinks;                 /* (q_heads); data == NULL: none */
} flexjit_run_args;

typedef struct flexjit_run_stats {
  int64_t empty_blocks, partial_blocks, full_blocks;
  int64_t scores_visited;
} flexjit_run_stats;

typedef struct flexjit_engine_stats {
  int64_t compiles, memory_hits;
  size_t cached_kernels, cached_bytes;
  int64_t disk_hits;
} flexjit_engine_stats;

typedef struct flexjit_block_mask_options {
  size_t struct_size;
  int32_t batch, heads, kv_heads; /* kv_heads 0 = heads */
  int32_t q_len, kv_len, q_block, kv_block;
} flexjit_block_mask_options;

typedef struct flexjit_block_mask_info {
  int32_t batch, heads, q_len, kv_len, q_block, kv_block;
  int64_t empty_blocks, partial_blocks, full_blocks;
  double sparsity; /* percent of the blocks that are empty */
} flexjit_block_mask_info;

/* Libraries that `flexjit build` made. The header of such a library declares typed functions for each of its patterns; those
 * functions call the two at the end of this file with the library's own flexjit_built, and nothing else needs to. */
enum { FLEXJIT_BUILT_VERSION = 2 }; /* of these two structs, and of what the functions do with them */

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
} flexjit_built_args;

/* "0.1.0" */
FLEXJIT_API const char* flexjit_version(void);

/* The text of a preset of flexjit/presets.h, for flexjit_spec.program; NULL when there is none of that name. */
FLEXJIT_API const char* flexjit_preset_text(const char* name);

FLEXJIT_API void flexjit_engine_options_init(flexjit_engine_options* options);
FLEXJIT_API void flexjit_spec_init(flexjit_spec* spec);
FLEXJIT_API void flexjit_run_args_init(flexjit_run_args* args);
FLEXJIT_API void flexjit_block_mask_options_init(flexjit_block_mask_options* options);
/* A dense row-major view; `rank` (at most 4) extents are read from `shape`. */
FLEXJIT_API flexjit_tensor flexjit_dense_tensor(void* data, flexjit_dtype dtype, int32_t rank, const int64_t* shape);

/* All diagnostics, rendered with their source lines; valid until the error is freed. */
FLEXJIT_API const char* flexjit_error_message(const flexjit_error* error);
/* The diagnostics one by one: how many, and the stable kind of each ("unknown-name"); NULL past the last. */
FLEXJIT_API size_t flexjit_error_count(const flexjit_error* error);
FLEXJIT_API const char* flexjit_error_kind(const flexjit_error* error, size_t index);
FLEXJIT_API void flexjit_error_free(flexjit_error* error);

/* `options` NULL: the defaults. */
FLEXJIT_API flexjit_status flexjit_engine_create(const flexjit_engine_options* options, flexjit_engine** engine,
                                                 flexjit_error** error);
FLEXJIT_API flexjit_status flexjit_engine_get_stats(const flexjit_engine* engine, flexjit_engine_stats* stats,
                                                    flexjit_error** error);
FLEXJIT_API void flexjit_engine_destroy(flexjit_engine* engine);

FLEXJIT_API flexjit_status flexjit_compile(flexjit_engine* engine, const flexjit_spec* spec, flexjit_attention** attention,
                                           flexjit_error** error);
/* `stats` may be NULL. */
FLEXJIT_API flexjit_status flexjit_attention_run(const flexjit_attention* attention, const flexjit_run_args* args,
                                                 flexjit_run_stats* stats, flexjit_error** error);
FLEXJIT_API flexjit_status flexjit_attention_run_reference(const flexjit_attention* attention, const flexjit_run_args* args,
                                                           flexjit_run_stats* stats, flexjit_error** error);
FLEXJIT_API flexjit_kernel_source flexjit_attention_kernel_source(const flexjit_attention* attention);
FLEXJIT_API double flexjit_attention_compile_ms(const flexjit_attention* attention);
/* The instruction set of its kernel, "x86-64-v3"; "" for the reference. Valid until the attention is destroyed. */
FLEXJIT_API const char* flexjit_attention_target(const flexjit_attention* attention);
/* What is to be said about its text though it is no error, rendered with source lines; "" for nothing. Valid as above. */
FLEXJIT_API const char* flexjit_attention_warnings(const flexjit_attention* attention);
FLEXJIT_API void flexjit_attention_destroy(flexjit_attention* attention);

/* The exact block mask of the pattern's mask at these lengths. `bindings` may be NULL. */
FLEXJIT_API flexjit_status flexjit_block_mask_create(const flexjit_attention* attention,
                                                     const flexjit_block_mask_options* options,
                                                     const flexjit_bindings* bindings, flexjit_block_mask** mask,
                                                     flexjit_error** error);
FLEXJIT_API flexjit_status flexjit_block_mask_get_info(const flexjit_block_mask* mask, flexjit_block_mask_info* info,
                                                       flexjit_error** error);
FLEXJIT_API void flexjit_block_mask_destroy(flexjit_block_mask* mask);

/* Behind NAME_run() and NAME_attention() of a built library. `args` begins with a flexjit_built_args. What the first call loads
 * stays until the process ends. FLEXJIT_FAILED: the library was built by another version, is damaged, or has no code that this
 * machine executes. */
FLEXJIT_API flexjit_status flexjit_built_run(flexjit_built* pattern, const void* args, flexjit_error** error);
FLEXJIT_API flexjit_status flexjit_built_attention(flexjit_built* pattern, flexjit_attention** attention,
                                                   flexjit_error** error);

#ifdef __cplusplus
}
#endif

#endif /* FLEXJIT_C_API_H */
