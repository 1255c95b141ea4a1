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
 * new error otherwise, which the caller frees with flexjit_error_free(). Output handles are set only on success. A NULL that is
 * not allowed is the error `null-argument`; functions without a status answer it with NULL, 0, or what is said beside them.
 * Memory. A call that finds none is the error `out-of-memory`; nothing is lost, and a later call may succeed.
 * Structs. Those that begin with `struct_size` are made by their *_init() function, so that later versions can append fields.
 * In a struct that the library fills it may be left alone: then the fields of version 0.1 are filled.
 * Threads. Engines, attentions and block masks may be used from several threads at once, except while they are destroyed.
 * Lifetime. Strings and arrays are read during the call only. Handles are independent: an attention outlives its engine. Every
 * *_destroy() and flexjit_error_free() accepts NULL. Strings that are given back live as long as the handle that they belong
 * to. Further parts, which this header includes: c_backward.h, c_block_mask.h, c_built.h, c_flash_attention.h and
 * c_flex_flash_infer.h (calls by these names), c_kv_cache.h (appending, rotary embeddings), c_sequences.h (lengths of their
 * own, caches, pages), c_tools.h (presets, the inspector, traces, building of libraries).
 */
#ifndef FLEXJIT_C_API_H
#define FLEXJIT_C_API_H

#include <stddef.h>
#include <stdint.h>

#include "flexjit/export.h"
#include "flexjit/version.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct flexjit_engine flexjit_engine;
typedef struct flexjit_attention flexjit_attention;
typedef struct flexjit_block_mask flexjit_block_mask;
typedef struct flexjit_error flexjit_error;
typedef struct flexjit_trace flexjit_trace;         /* see c_tools.h */
typedef struct flexjit_sequences flexjit_sequences; /* see c_sequences.h */
typedef struct flexjit_rotary flexjit_rotary;       /* see c_kv_cache.h */

/* Where queries rotate, as flexjit/rotary.h says. */
typedef enum flexjit_rotary_positions {
  FLEXJIT_ROTARY_OF_EACH_QUERY = 0,
  FLEXJIT_ROTARY_PAST_LEN = 1
} flexjit_rotary_positions;

/* A text or bytes that the caller owns. */
typedef struct flexjit_blob flexjit_blob;

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
  FLEXJIT_BOOL = 8,
  FLEXJIT_E4M3 = 9,
  FLEXJIT_E5M2 = 10
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
  FLEXJIT_SOURCE_BUILT = 4, /* compiled ahead of time, in a built library */
  FLEXJIT_SOURCE_NONE = -1  /* of no attention */
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
typedef enum flexjit_dropout_generator { FLEXJIT_PHILOX = 0, FLEXJIT_PHILOX4 = 1 } flexjit_dropout_generator;
typedef enum flexjit_language { FLEXJIT_FLEX = 0, FLEXJIT_CXX = 1 } flexjit_language;
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
  int32_t has_dropout;
  double dropout_p; /* 0..1; a call may bind the params dropout_p, dropout_seed and dropout_offset */
  flexjit_dropout_generator dropout_generator;
  int32_t kv_scale_dims;     /* of i8, e4m3 and e5m2 keys: dims that share a scale, 32, 64 or 128; 0: all of a row */
  flexjit_language language; /* FLEXJIT_CXX: docs/cxx.md; the texts declare, and buffers and params are empty */
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
  flexjit_trace* trace;                 /* is told what each thread did; NULL: nobody is */
  flexjit_tensor k_scales, v_scales;    /* of i8, e4m3 and e5m2 keys, f32 (batch, kv_heads, kv_len, groups); data == NULL: 1 */
  const flexjit_sequences* sequences;   /* NULL: every batch entry is a sequence of q_len queries and kv_len keys */
  const flexjit_rotary* rotary;         /* of the queries; NULL: they are taken as they are */
  flexjit_rotary_positions rotary_positions;
} flexjit_run_args;

typedef struct flexjit_run_stats {
  size_t struct_size;
  int64_t empty_blocks, partial_blocks, full_blocks;
  int64_t scores_visited;
} flexjit_run_stats;

typedef struct flexjit_engine_stats {
  size_t struct_size;
  int64_t compiles, memory_hits;
  size_t cached_kernels, cached_bytes;
  int64_t disk_hits;
} flexjit_engine_stats;

/* Query rows [q_begin, q_begin + q_count) of every batch entry and head; q_count -1: all from q_begin on. */
typedef struct flexjit_reference_rows {
  size_t struct_size;
  int32_t q_begin, q_count;
} flexjit_reference_rows;

/* Query rows [q_begin, q_end) of every batch entry and head, or of the one that is named; -1: all. */
typedef struct flexjit_score_rows {
  size_t struct_size;
  int32_t q_begin, q_end;
  int32_t b, h;
} flexjit_score_rows;

/* What run() wrote for some of the keys: v = out, and lse. */
typedef struct flexjit_state {
  flexjit_tensor v, lse;
} flexjit_state;

typedef struct flexjit_merge_args {
  size_t struct_size;
  const flexjit_state* states; /* at least one, over disjoint keys */
  size_t state_count;
  flexjit_tensor out;
  flexjit_tensor lse; /* data == NULL: not wanted */
  int32_t threads;    /* 0: all cores */
} flexjit_merge_args;

/* Floats into i8, e4m3 or e5m2 and their scales, see flexjit/quantize.h. */
typedef struct flexjit_quantize_args {
  size_t struct_size;
  flexjit_tensor source, target, scales;
  int32_t scales_given; /* 0: computed and written */
} flexjit_quantize_args;

/* One finding of an error, as flexjit/diagnostic.h describes it. */
typedef struct flexjit_diagnostic {
  size_t struct_size;
  const char* kind; /* "unknown-name" */
  int32_t is_warning;
  const char* source_name; /* "score_mod", a file name, or the call */
  uint32_t line, column;   /* from 1; 0: the finding is not about a text */
  uint32_t length;         /* of the underlined text, in bytes */
  const char* snippet;     /* the source line */
  const char* message;
} flexjit_diagnostic;

/* A free name of a compiled pattern that a call must bind. */
typedef struct flexjit_buffer_info {
  size_t struct_size;
  const char* name;
  flexjit_dtype dtype;
  int32_t rank;
  const char* extents[4]; /* as declared: a number, a name, or "?"; NULL past `rank` */
} flexjit_buffer_info;

/* "0.1.0" */
FLEXJIT_API const char* flexjit_version(void);

/* The text of a preset of flexjit/presets.h, for flexjit_spec.program; NULL when there is none of that name. */
FLEXJIT_API const char* flexjit_preset_text(const char* name);

/* What the target "host" stands for here: "x86-64-v4-bf16, tuned for znver4". */
FLEXJIT_API flexjit_status flexjit_describe_host(flexjit_blob** text, flexjit_error** error);

/* `data` ends in a NUL behind its last byte. */
FLEXJIT_API const char* flexjit_blob_data(const flexjit_blob* blob);
FLEXJIT_API size_t flexjit_blob_size(const flexjit_blob* blob);
FLEXJIT_API void flexjit_blob_destroy(flexjit_blob* blob);

/* Bytes of an element, 0 for no dtype; its name in the language, NULL for no dtype. */
FLEXJIT_API size_t flexjit_dtype_size(flexjit_dtype dtype);
FLEXJIT_API const char* flexjit_dtype_name(flexjit_dtype dtype);

FLEXJIT_API void flexjit_engine_options_init(flexjit_engine_options* options);
FLEXJIT_API void flexjit_spec_init(flexjit_spec* spec);
FLEXJIT_API void flexjit_run_args_init(flexjit_run_args* args);
FLEXJIT_API void flexjit_reference_rows_init(flexjit_reference_rows* rows);
FLEXJIT_API void flexjit_score_rows_init(flexjit_score_rows* rows);
FLEXJIT_API void flexjit_merge_args_init(flexjit_merge_args* args);
FLEXJIT_API void flexjit_quantize_args_init(flexjit_quantize_args* args);
FLEXJIT_API void flexjit_run_stats_init(flexjit_run_stats* stats);
FLEXJIT_API void flexjit_engine_stats_init(flexjit_engine_stats* stats);
FLEXJIT_API void flexjit_diagnostic_init(flexjit_diagnostic* diagnostic);
FLEXJIT_API void flexjit_buffer_info_init(flexjit_buffer_info* info);

/* A dense row-major view; `rank` extents are read from `shape`, at most 4. A view of another rank, or of no shape, is one that
 * every call refuses. */
FLEXJIT_API flexjit_tensor flexjit_dense_tensor(void* data, flexjit_dtype dtype, int32_t rank, const int64_t* shape);
/* The (batch, heads, length, dim) view of a dense (batch, length, heads, dim) array; 4 extents are read from `shape_bshd`. */
FLEXJIT_API flexjit_tensor flexjit_bshd_tensor(void* data, flexjit_dtype dtype, const int64_t* shape_bshd);

/* All diagnostics, rendered with their source lines; valid until the error is freed. */
FLEXJIT_API const char* flexjit_error_message(const flexjit_error* error);
/* The diagnostics one by one: how many, and the stable kind of each ("unknown-name"); NULL past the last. */
FLEXJIT_API size_t flexjit_error_count(const flexjit_error* error);
FLEXJIT_API const char* flexjit_error_kind(const flexjit_error* error, size_t index);
/* All of one, with its place in the text. FLEXJIT_INVALID past the last. */
FLEXJIT_API flexjit_status flexjit_error_diagnostic(const flexjit_error* error, size_t index, flexjit_diagnostic* diagnostic);
FLEXJIT_API void flexjit_error_free(flexjit_error* error);

/* `options` NULL: the defaults. */
FLEXJIT_API flexjit_status flexjit_engine_create(const flexjit_engine_options* options, flexjit_engine** engine,
                                                 flexjit_error** error);
FLEXJIT_API flexjit_status flexjit_engine_get_stats(const flexjit_engine* engine, flexjit_engine_stats* stats,
                                                    flexjit_error** error);
/* Attentions that are alive keep their code. */
FLEXJIT_API flexjit_status flexjit_engine_clear_cache(flexjit_engine* engine, flexjit_error** error);
FLEXJIT_API void flexjit_engine_destroy(flexjit_engine* engine);

/* In one call: `program` is the text of a *.flex file; what else a spec says follows from the tensors of `args`. The engine is
 * one of default options that the process keeps. `stats` may be NULL. */
FLEXJIT_API flexjit_status flexjit_attend(const char* program, const flexjit_run_args* args, flexjit_run_stats* stats,
                                          flexjit_error** error);

FLEXJIT_API flexjit_status flexjit_compile(flexjit_engine* engine, const flexjit_spec* spec, flexjit_attention** attention,
                                           flexjit_error** error);
/* All that is to be said about a spec, without compiling it: what flexjit_compile() would refuse, and warnings. `findings` is
 * NULL for nothing, else freed with flexjit_error_free(). */
FLEXJIT_API flexjit_status flexjit_check(const flexjit_spec* spec, flexjit_error** findings, flexjit_error** error);
/* `trace` gets the phases; it may be NULL. */
FLEXJIT_API flexjit_status flexjit_compile_traced(flexjit_engine* engine, const flexjit_spec* spec, flexjit_trace* trace,
                                                  flexjit_attention** attention, flexjit_error** error);
/* `stats` may be NULL. */
FLEXJIT_API flexjit_status flexjit_attention_run(const flexjit_attention* attention, const flexjit_run_args* args,
                                                 flexjit_run_stats* stats, flexjit_error** error);
FLEXJIT_API flexjit_status flexjit_attention_run_reference(const flexjit_attention* attention, const flexjit_run_args* args,
                                                           flexjit_run_stats* stats, flexjit_error** error);
/* Of some query rows alone; the others are not written. */
FLEXJIT_API flexjit_status flexjit_attention_run_reference_rows(const flexjit_attention* attention,
                                                                const flexjit_run_args* args,
                                                                const flexjit_reference_rows* rows, flexjit_run_stats* stats,
                                                                flexjit_error** error);
/* What the softmax of some rows sees, as Attention::scores says: dense (batch, q_heads, rows, kv_len), without a dimension that
 * `rows` names. `score_count` is their number, which `scores` has room for. */
FLEXJIT_API flexjit_status flexjit_attention_scores(const flexjit_attention* attention, const flexjit_run_args* args,
                                                    const flexjit_score_rows* rows, float* scores, size_t score_count,
                                                    flexjit_error** error);
/* What it makes of them, as Attention::weights says, negative where dropout drops. */
FLEXJIT_API flexjit_status flexjit_attention_weights(const flexjit_attention* attention, const flexjit_run_args* args,
                                                     const flexjit_score_rows* rows, float* weights, size_t weight_count,
                                                     flexjit_error** error);
/* FLEXJIT_SOURCE_NONE, -1 and NULL for NULL. */
FLEXJIT_API flexjit_kernel_source flexjit_attention_kernel_source(const flexjit_attention* attention);
FLEXJIT_API double flexjit_attention_compile_ms(const flexjit_attention* attention);
/* The instruction set of its kernel, "x86-64-v3"; "" for the reference. */
FLEXJIT_API const char* flexjit_attention_target(const flexjit_attention* attention);
/* What is to be said about its text though it is no error, rendered with source lines; "" for nothing.  */
FLEXJIT_API const char* flexjit_attention_warnings(const flexjit_attention* attention);
/* "compiled", "memory", "disk", "reference", "built"; NULL for none of them. */
FLEXJIT_API const char* flexjit_kernel_source_name(flexjit_kernel_source source);

/* The free names that a call must or may bind, numbered from 0. A param comes with its default. */
FLEXJIT_API size_t flexjit_attention_buffer_count(const flexjit_attention* attention);
FLEXJIT_API flexjit_status flexjit_attention_buffer(const flexjit_attention* attention, size_t index, flexjit_buffer_info* info,
                                                    flexjit_error** error);
FLEXJIT_API size_t flexjit_attention_param_count(const flexjit_attention* attention);
FLEXJIT_API flexjit_status flexjit_attention_param(const flexjit_attention* attention, size_t index, flexjit_param* param,
                                                   flexjit_error** error);
FLEXJIT_API void flexjit_attention_destroy(flexjit_attention* attention);

/* Keys or values as a call with quantised keys takes them; see flexjit/quantize.h. */
FLEXJIT_API flexjit_status flexjit_quantize_kv(const flexjit_quantize_args* args, flexjit_error** error);

/* What run() gives over all keys at once, from what it gave over parts of them; see flexjit/merge_states.h. */
FLEXJIT_API flexjit_status flexjit_merge_states(const flexjit_merge_args* args, flexjit_error** error);

#ifdef __cplusplus
}
#endif

#include "flexjit/c_backward.h"
#include "flexjit/c_block_mask.h"
#include "flexjit/c_built.h"
#include "flexjit/c_flash_attention.h"
#include "flexjit/c_flex_flash_infer.h"
#include "flexjit/c_kv_cache.h"
#include "flexjit/c_sequences.h"
#include "flexjit/c_tools.h"

#endif /* FLEXJIT_C_API_H */
