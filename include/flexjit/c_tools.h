/* The part of c_api.h around patterns: presets and masks as texts, traces, the inspector, libraries compiled ahead of time.
 * What each function means is said in flexjit/presets.h, trace.h, inspect.h and build.h. */
#ifndef FLEXJIT_C_API_H
#include "flexjit/c_api.h" /* which includes this */
#elif !defined(FLEXJIT_C_TOOLS_H)
#define FLEXJIT_C_TOOLS_H

#ifdef __cplusplus
extern "C" {
#endif

/* All strings live as long as the library. */
typedef struct flexjit_preset {
  size_t struct_size;
  const char *name, *summary, *declarations, *score_mod, *mask_mod, *text;
} flexjit_preset;

FLEXJIT_API void flexjit_preset_init(flexjit_preset* preset);
FLEXJIT_API size_t flexjit_preset_count(void);
FLEXJIT_API flexjit_status flexjit_preset_get(size_t index, flexjit_preset* preset, flexjit_error** error);
FLEXJIT_API flexjit_status flexjit_preset_find(const char* name, flexjit_preset* preset, flexjit_error** error);

/* One mask expression from several. */
FLEXJIT_API flexjit_status flexjit_and_masks(const char* const* masks, size_t count, flexjit_blob** text,
                                             flexjit_error** error);
FLEXJIT_API flexjit_status flexjit_or_masks(const char* const* masks, size_t count, flexjit_blob** text, flexjit_error** error);
FLEXJIT_API flexjit_status flexjit_not_mask(const char* mask, flexjit_blob** text, flexjit_error** error);
FLEXJIT_API flexjit_status flexjit_offset_queries(const char* mask, const char* offset, flexjit_blob** text,
                                                  flexjit_error** error);
FLEXJIT_API flexjit_status flexjit_choose_by_head(const char* const* masks, size_t count, flexjit_blob** text,
                                                  flexjit_error** error);

/* What was done and when; times are those of a steady clock. */
typedef struct flexjit_trace_event {
  int32_t kind; /* see flexjit_trace_kind_name */
  int32_t thread;
  int64_t begin_ns, end_ns;
  int32_t b, head; /* -1: of none */
  int32_t q_begin, q_end, kv_begin, kv_end;
  int32_t full_spans, masked_spans;
  int64_t scores;
} flexjit_trace_event;

/* Room for `capacity` events; 0: the default. What comes later is dropped. */
FLEXJIT_API flexjit_status flexjit_trace_create(size_t capacity, flexjit_trace** trace, flexjit_error** error);
/* The events, by begin. With `events` NULL their number alone; else `capacity` is how many there is room for. Not while a call
 * that is traced is under way. */
FLEXJIT_API flexjit_status flexjit_trace_events(const flexjit_trace* trace, flexjit_trace_event* events, size_t capacity,
                                                size_t* count, flexjit_error** error);
FLEXJIT_API int64_t flexjit_trace_dropped(const flexjit_trace* trace);
FLEXJIT_API const char* flexjit_trace_kind_name(int32_t kind); /* "front end", "tile", ...; NULL for no kind */
FLEXJIT_API void flexjit_trace_destroy(flexjit_trace* trace);

typedef enum flexjit_inspect_kernel {
  FLEXJIT_KERNEL_OF_CALL = 0, /* the one that a call of the request's sizes takes */
  FLEXJIT_KERNEL_PREFILL = 1,
  FLEXJIT_KERNEL_DECODE = 2,
  FLEXJIT_KERNEL_BACKWARD = 3
} flexjit_inspect_kernel;

typedef struct flexjit_inspect_request {
  size_t struct_size;
  const char* const* views; /* their names; none: "simplified" */
  size_t view_count;
  flexjit_inspect_kernel kernel;
  const flexjit_block_mask_options* sizes; /* NULL: 1024 x 1024 */
  const flexjit_bindings* bindings;        /* NULL: none */
  const char* const* samples;              /* buffers whose contents stand in for real ones */
  size_t sample_count;
  const flexjit_run_args* run; /* for "roofline"; NULL: none */
  double gflops, read_gbps;    /* what the machine can do, for "roofline" */
  /* Of FLEXJIT_KERNEL_BACKWARD: captured buffers whose gradients it adds up. NULL: all of floats that the score reads. */
  const char* const* gradients;
  size_t gradient_count;
} flexjit_inspect_request;

typedef struct flexjit_inspection flexjit_inspection;

FLEXJIT_API void flexjit_inspect_request_init(flexjit_inspect_request* request);
/* Every view, in the order of the compilation; NULL past the last. */
FLEXJIT_API const char* flexjit_inspect_view_name(size_t index);
FLEXJIT_API const char* flexjit_inspect_view_description(size_t index);
/* `options` NULL: the defaults. */
FLEXJIT_API flexjit_status flexjit_inspect(const flexjit_spec* spec, const flexjit_engine_options* options,
                                           const flexjit_inspect_request* request, flexjit_inspection** inspection,
                                           flexjit_error** error);
/* A text for people and a JSON object for each view that was asked for; NULL past the last. */
FLEXJIT_API size_t flexjit_inspection_count(const flexjit_inspection* inspection);
FLEXJIT_API const char* flexjit_inspection_text(const flexjit_inspection* inspection, size_t index);
FLEXJIT_API const char* flexjit_inspection_json(const flexjit_inspection* inspection, size_t index);
FLEXJIT_API void flexjit_inspection_destroy(flexjit_inspection* inspection);

typedef enum flexjit_library_kind { FLEXJIT_OBJECT = 0, FLEXJIT_ARCHIVE = 1, FLEXJIT_SHARED = 2 } flexjit_library_kind;

typedef struct flexjit_build_pattern {
  const char* name; /* a C identifier */
  const flexjit_spec* spec;
} flexjit_build_pattern;

typedef struct flexjit_build_options {
  size_t struct_size;
  const char* const* targets; /* none: "host" */
  size_t target_count;
  flexjit_library_kind kind;
  const char* soname;
  const char* compiler_path; /* "": beside libflexjit */
  int32_t backward;          /* not 0: with kernels of gradients */
} flexjit_build_options;

typedef struct flexjit_library flexjit_library;

FLEXJIT_API void flexjit_build_options_init(flexjit_build_options* options);
/* `options` NULL: the defaults. */
FLEXJIT_API flexjit_status flexjit_build_library(const flexjit_build_pattern* patterns, size_t pattern_count,
                                                 const flexjit_build_options* options, flexjit_library** library,
                                                 flexjit_error** error);
/* Its file, its C header, what it holds code for (the best last, NULL past that), and how many kernels. */
FLEXJIT_API const void* flexjit_library_bytes(const flexjit_library* library, size_t* size);
FLEXJIT_API const char* flexjit_library_header(const flexjit_library* library);
FLEXJIT_API const char* flexjit_library_target(const flexjit_library* library, size_t index);
FLEXJIT_API size_t flexjit_library_kernels(const flexjit_library* library);
FLEXJIT_API void flexjit_library_destroy(flexjit_library* library);

/* What lies in a cache directory, and its upkeep; see flexjit/kernel_files.h. `problem`: why no engine would use it, or "". */
FLEXJIT_API flexjit_status flexjit_kernel_files_problem(const char* directory, flexjit_blob** problem, flexjit_error** error);
FLEXJIT_API flexjit_status flexjit_remove_damaged_kernel_files(const char* directory, int64_t* removed, flexjit_error** error);
FLEXJIT_API flexjit_status flexjit_prune_kernel_files(const char* directory, int64_t bytes, int64_t* removed,
                                                      flexjit_error** error);

#ifdef __cplusplus
}
#endif

#endif
