/* The parts of the C interface beside compiling and running: what a pattern is, its scores and states, texts, traces, the
 * inspector. */
#include "c_checks.h"

static void test_introspection(void) {
  flexjit_buffer_info info;
  flexjit_param param;
  CHECK(flexjit_attention_buffer_count(attention) == 1 && flexjit_attention_param_count(attention) == 1);
  flexjit_buffer_info_init(&info);
  OK(flexjit_attention_buffer(attention, 0, &info, &error));
  CHECK(same(info.name, "bias") && info.dtype == FLEXJIT_F32 && info.rank == 2);
  CHECK(same(info.extents[0], "?") && same(info.extents[1], "1") && info.extents[2] == NULL);
  OK(flexjit_attention_param(attention, 0, &param, &error));
  CHECK(same(param.name, "window") && param.value.type == FLEXJIT_INT && param.value.value.i == 100);
  EXPECT(flexjit_attention_buffer(attention, 1, &info, &error), FLEXJIT_INVALID, "bad-option");
  EXPECT(flexjit_attention_param(attention, 1, &param, &error), FLEXJIT_INVALID, "bad-option");
  CHECK(flexjit_dtype_size(FLEXJIT_BF16) == 2 && same(flexjit_dtype_name(FLEXJIT_BF16), "bf16"));
  CHECK(flexjit_dtype_size((flexjit_dtype)9) == 0 && flexjit_dtype_name((flexjit_dtype)-1) == NULL);
  CHECK(same(flexjit_kernel_source_name(FLEXJIT_SOURCE_BUILT), "built") &&
        flexjit_kernel_source_name(FLEXJIT_SOURCE_NONE) == NULL);
}

/* Two mistakes on two lines. */
static void test_places_of_findings(void) {
  flexjit_spec spec;
  flexjit_attention* none = NULL;
  flexjit_diagnostic found;
  flexjit_spec_init(&spec);
  spec.program = "let a = kv_ix\nscore = score + qq\n";
  spec.program_name = "bad.flex";
  CHECK(flexjit_compile(engine, &spec, &none, &error) == FLEXJIT_INVALID && none == NULL);
  CHECK(flexjit_error_count(error) == 2);
  flexjit_diagnostic_init(&found);
  CHECK(flexjit_error_diagnostic(error, 1, &found) == FLEXJIT_OK);
  CHECK(same(found.kind, "unknown-name") && same(found.source_name, "bad.flex") && !found.is_warning);
  CHECK(found.line == 2 && found.column == 17 && found.length == 2 && same(found.snippet, "score = score + qq"));
  CHECK(strstr(found.message, "qq") != NULL);
  CHECK(flexjit_error_diagnostic(error, 2, &found) == FLEXJIT_INVALID &&
        flexjit_error_diagnostic(NULL, 0, &found) != FLEXJIT_OK);
  CHECK(flexjit_error_diagnostic(error, 0, NULL) == FLEXJIT_INVALID);
  flexjit_error_free(error);
  error = NULL;
}

static void test_check(void) {
  flexjit_spec spec;
  flexjit_error* findings = NULL;
  flexjit_spec_init(&spec);
  spec.program = "mask = q_idx >= kv_idx";
  OK(flexjit_check(&spec, &findings, &error));
  CHECK(findings == NULL);
  spec.program = "mask = q_idx >= kv_ix";
  OK(flexjit_check(&spec, &findings, &error));
  CHECK(flexjit_error_count(findings) == 1 && same(flexjit_error_kind(findings, 0), "unknown-name"));
  flexjit_error_free(findings);
  CHECK(same(flexjit_attention_warnings(attention), ""));
}

static void test_runs(void) {
  flexjit_reference_rows rows;
  flexjit_score_rows score_rows;
  flexjit_run_stats stats;
  float scores[2 * LENGTH];
  int i;
  flexjit_run_stats_init(&stats);
  OK(flexjit_attention_run(attention, &args, &stats, &error));
  CHECK(stats.struct_size == sizeof(stats) && stats.scores_visited > 0);
  for (i = 0; i < LENGTH; ++i) CHECK(fabs(out[i * DIM] - i / 2.0) < 1e-4);
  for (i = 0; i < COUNT; ++i) out[i] = -1;
  flexjit_reference_rows_init(&rows);
  CHECK(rows.q_count == -1);
  rows.q_begin = 4;
  rows.q_count = 2;
  OK(flexjit_attention_run_reference_rows(attention, &args, &rows, NULL, &error));
  for (i = 0; i < LENGTH; ++i) CHECK(fabs(out[i * DIM] - (i == 4 || i == 5 ? i / 2.0 : -1)) < 1e-4);

  flexjit_score_rows_init(&score_rows);
  score_rows.q_begin = 2;
  score_rows.q_end = 4;
  score_rows.h = 1;
  EXPECT(flexjit_attention_scores(attention, &args, &score_rows, scores, LENGTH, &error), FLEXJIT_INVALID, "bad-option");
  OK(flexjit_attention_scores(attention, &args, &score_rows, scores, 2 * LENGTH, &error));
  for (i = 0; i < 2 * LENGTH; ++i) CHECK(i % LENGTH <= 2 + i / LENGTH ? scores[i] == 0 : isinf(scores[i]) && scores[i] < 0);
  OK(flexjit_attention_weights(attention, &args, &score_rows, scores, 2 * LENGTH, &error));
  for (i = 0; i < 2 * LENGTH; ++i) CHECK(fabs(scores[i] - (i % LENGTH <= 2 + i / LENGTH ? 1.0 / (3 + i / LENGTH) : 0)) < 1e-6);
}

/* Halves of the keys, merged. */
static void test_merge(void) {
  static float parts[2][COUNT], lses[2][HEADS * LENGTH], merged[COUNT], merged_lse[HEADS * LENGTH];
  const int64_t shape[4] = {1, HEADS, LENGTH, DIM};
  flexjit_spec spec;
  flexjit_attention* plain = NULL;
  flexjit_state states[2];
  flexjit_merge_args merge;
  int part, i;
  flexjit_spec_init(&spec);
  spec.head_dim = DIM;
  OK(flexjit_compile(engine, &spec, &plain, &error));
  for (part = 0; part < 2; ++part) {
    flexjit_run_args half = args;
    half.bindings.buffer_count = half.bindings.param_count = 0;
    half.k.shape[2] = half.v.shape[2] = LENGTH / 2;
    half.v.data = v + part * (LENGTH / 2) * DIM;
    half.out = flexjit_dense_tensor(parts[part], FLEXJIT_F32, 4, shape);
    half.lse = flexjit_dense_tensor(lses[part], FLEXJIT_F32, 3, shape);
    OK(flexjit_attention_run(plain, &half, NULL, &error));
    states[part].v = half.out;
    states[part].lse = half.lse;
  }
  flexjit_merge_args_init(&merge);
  merge.states = states;
  merge.state_count = 2;
  merge.out = flexjit_dense_tensor(merged, FLEXJIT_F32, 4, shape);
  merge.lse = flexjit_dense_tensor(merged_lse, FLEXJIT_F32, 3, shape);
  OK(flexjit_merge_states(&merge, &error));
  for (i = 0; i < COUNT; ++i) CHECK(fabs(merged[i] - (LENGTH - 1) / 2.0) < 1e-4);
  for (i = 0; i < HEADS * LENGTH; ++i) CHECK(fabs(merged_lse[i] - log(LENGTH)) < 1e-5);
  merge.state_count = 0;
  EXPECT(flexjit_merge_states(&merge, &error), FLEXJIT_INVALID, "no-state");
  flexjit_attention_destroy(plain);
}

/* The gradient of the sum of all results: each value counts as often as rows look at it, and keys cancel. Scores are 0. */
static void test_backward(void) {
  static float dq[COUNT], dv[COUNT], d_bias[HEADS], d_out = 1;
  const int64_t shape[4] = {1, HEADS, LENGTH, DIM}, bias_shape[2] = {HEADS, 1};
  flexjit_gradients gradients;
  flexjit_run_stats stats;
  flexjit_buffer d_buffer;
  flexjit_run_args forward = args;
  double seen, sum = 0;
  int i, row, reference;
  OK(flexjit_attention_run(attention, &forward, NULL, &error));
  flexjit_gradients_init(&gradients);
  gradients.out = flexjit_dense_tensor(&d_out, FLEXJIT_F32, 4, shape);
  memset(gradients.out.strides, 0, sizeof(gradients.out.strides));
  gradients.q = flexjit_dense_tensor(dq, FLEXJIT_F32, 4, shape);
  gradients.v = flexjit_dense_tensor(dv, FLEXJIT_F32, 4, shape);
  d_buffer.name = "bias";
  d_buffer.tensor = flexjit_dense_tensor(d_bias, FLEXJIT_F32, 2, bias_shape);
  gradients.buffers = &d_buffer;
  gradients.buffer_count = 1;
  flexjit_run_stats_init(&stats);
  for (reference = 0; reference < 2; ++reference) {
    memset(dv, 0, sizeof(dv));
    d_bias[0] = d_bias[1] = 1;
    if (reference) {
      OK(flexjit_run_backward_reference(attention, &forward, &gradients, &stats, &error));
    } else {
      OK(flexjit_run_backward(attention, &forward, &gradients, &stats, &error));
    }
    CHECK(stats.scores_visited > 0 && d_bias[0] == 0 && d_bias[1] == 0);
    for (i = 0; i < LENGTH; ++i) {
      for (seen = 0, row = i; row < LENGTH; ++row) seen += 1.0 / (row + 1);
      CHECK(fabs(dv[i * DIM] - seen) < 1e-5);
      sum += fabs(dq[i * DIM]);
    }
  }
  CHECK(sum < 1e-4); /* keys are all alike */
  forward.lse.data = NULL;
  EXPECT(flexjit_run_backward(attention, &forward, &gradients, NULL, &error), FLEXJIT_INVALID, "missing-lse");
  gradients.buffers = NULL;
  EXPECT(flexjit_run_backward(attention, &args, &gradients, NULL, &error), FLEXJIT_INVALID, "null-argument");
}

static void test_attend(void) {
  flexjit_run_args plain = args;
  int i;
  plain.bindings.buffer_count = plain.bindings.param_count = 0;
  OK(flexjit_attend("mask = q_idx >= kv_idx", &plain, NULL, &error));
  for (i = 0; i < LENGTH; ++i) CHECK(fabs(out[i * DIM] - i / 2.0) < 1e-4);
  OK(flexjit_attend(NULL, &plain, NULL, &error));
  CHECK(fabs(out[0] - (LENGTH - 1) / 2.0) < 1e-4);
  EXPECT(flexjit_attend("mask = qq >= kv_idx", &plain, NULL, &error), FLEXJIT_INVALID, "unknown-name");
}

/* A dense (length, heads, dim) array as (heads, length, dim). */
static void test_layouts(void) {
  const int64_t shape[4] = {1, LENGTH, HEADS, DIM};
  const flexjit_tensor view = flexjit_bshd_tensor(v, FLEXJIT_F32, shape);
  CHECK(view.shape[1] == HEADS && view.shape[2] == LENGTH && view.strides[1] == DIM && view.strides[2] == HEADS * DIM);
  CHECK(flexjit_bshd_tensor(v, FLEXJIT_F32, NULL).rank == 0);
}

static void test_texts(void) {
  const char* masks[2] = {"q_idx >= kv_idx", "kv_idx < 4"};
  flexjit_blob* text = NULL;
  flexjit_preset preset;
  flexjit_preset_init(&preset);
  OK(flexjit_preset_find("window", &preset, &error));
  CHECK(same(preset.name, "window") && strstr(preset.text, preset.declarations) != NULL && *preset.mask_mod != '\0');
  EXPECT(flexjit_preset_find("widow", &preset, &error), FLEXJIT_INVALID, "unknown-preset");
  CHECK(flexjit_preset_count() > 10);
  OK(flexjit_preset_get(0, &preset, &error));
  CHECK(same(flexjit_preset_text(preset.name), preset.text));
  EXPECT(flexjit_preset_get(1000, &preset, &error), FLEXJIT_INVALID, "bad-option");
#define COMBINED(call, expected)                      \
  do {                                                \
    OK(call);                                         \
    CHECK(same(flexjit_blob_data(text), (expected))); \
    flexjit_blob_destroy(text);                       \
    text = NULL;                                      \
  } while (0)
  COMBINED(flexjit_and_masks(masks, 2, &text, &error), "(q_idx >= kv_idx) && (kv_idx < 4)");
  COMBINED(flexjit_or_masks(masks, 2, &text, &error), "(q_idx >= kv_idx) || (kv_idx < 4)");
  COMBINED(flexjit_or_masks(NULL, 0, &text, &error), "false");
  COMBINED(flexjit_not_mask(masks[0], &text, &error), "!(q_idx >= kv_idx)");
  COMBINED(flexjit_choose_by_head(masks, 2, &text, &error), "(h == 0 ? (q_idx >= kv_idx) : (kv_idx < 4))");
  OK(flexjit_offset_queries(masks[0], "past", &text, &error));
  CHECK(strstr(flexjit_blob_data(text), "past") != NULL && flexjit_blob_size(text) == strlen(flexjit_blob_data(text)));
  flexjit_blob_destroy(text);
  text = NULL;
  EXPECT(flexjit_not_mask("(", &text, &error), FLEXJIT_INVALID, "unbalanced-bracket");
  OK(flexjit_describe_host(&text, &error));
  CHECK(flexjit_blob_size(text) > 0);
  flexjit_blob_destroy(text);
}

static void test_trace(void) {
  flexjit_trace* trace = NULL;
  flexjit_trace_event events[64];
  flexjit_run_args traced = args;
  flexjit_spec spec;
  flexjit_attention* compiled = NULL;
  size_t count = 0, i, items = 0, phases = 0;
  OK(flexjit_trace_create(64, &trace, &error));
  flexjit_spec_init(&spec);
  spec.mask_mod = "q_idx > kv_idx";
  spec.head_dim = DIM;
  OK(flexjit_compile_traced(engine, &spec, trace, &compiled, &error));
  traced.trace = trace;
  OK(flexjit_attention_run(attention, &traced, NULL, &error));
  OK(flexjit_trace_events(trace, NULL, 0, &count, &error));
  CHECK(count > 2 && count <= 64 && flexjit_trace_dropped(trace) == 0);
  EXPECT(flexjit_trace_events(trace, events, 1, &count, &error), FLEXJIT_INVALID, "bad-option");
  OK(flexjit_trace_events(trace, events, 64, &count, &error));
  for (i = 0; i < count; ++i) {
    CHECK(events[i].end_ns >= events[i].begin_ns && flexjit_trace_kind_name(events[i].kind) != NULL);
    items += (size_t)same(flexjit_trace_kind_name(events[i].kind), "split"); /* of the kernel for few query rows */
    phases += (size_t)same(flexjit_trace_kind_name(events[i].kind), "front end");
  }
  if (getenv("FLEXJIT_REFERENCE") == NULL) CHECK(items > 0);
  CHECK(phases == 1 && flexjit_trace_kind_name(-1) == NULL && flexjit_trace_kind_name(999) == NULL);
  flexjit_attention_destroy(compiled);
  flexjit_trace_destroy(trace);
}

static void test_inspect(void) {
  const char* views[2] = {"ast", "mask"};
  flexjit_inspect_request request;
  flexjit_inspection* inspection = NULL;
  flexjit_spec spec;
  flexjit_spec_init(&spec);
  spec.mask_mod = "q_idx >= kv_idx";
  flexjit_inspect_request_init(&request);
  request.views = views;
  request.view_count = 2;
  request.sizes = &sizes;
  OK(flexjit_inspect(&spec, NULL, &request, &inspection, &error));
  CHECK(flexjit_inspection_count(inspection) == 2);
  CHECK(strstr(flexjit_inspection_text(inspection, 0), "q_idx >= kv_idx") != NULL);
  CHECK(flexjit_inspection_json(inspection, 1)[0] == '{' && flexjit_inspection_json(inspection, 2) == NULL);
  flexjit_inspection_destroy(inspection);
  views[0] = "nest";
  request.view_count = 1;
  request.kernel = FLEXJIT_KERNEL_BACKWARD;
  OK(flexjit_inspect(&spec, NULL, &request, &inspection, &error));
  CHECK(strstr(flexjit_inspection_text(inspection, 0), "dQ[") != NULL);
  flexjit_inspection_destroy(inspection);
  request.gradients = views; /* names of no buffers */
  request.gradient_count = 1;
  EXPECT(flexjit_inspect(&spec, NULL, &request, &inspection, &error), FLEXJIT_INVALID, "unknown-binding");
  request.gradients = NULL;
  request.view_count = 2;
  views[1] = "nothing";
  EXPECT(flexjit_inspect(&spec, NULL, &request, &inspection, &error), FLEXJIT_INVALID, "bad-option");
  CHECK(same(flexjit_inspect_view_name(0), "source") && flexjit_inspect_view_description(0) != NULL);
  CHECK(flexjit_inspect_view_name(1000) == NULL && flexjit_inspect_view_description(1000) == NULL);
}

static void test_build(void) {
  flexjit_spec spec;
  flexjit_build_pattern pattern;
  flexjit_build_options options;
  flexjit_library* library = NULL;
  const char* targets[1] = {"x86-64"};
  size_t size = 0;
  flexjit_spec_init(&spec);
  spec.mask_mod = "q_idx >= kv_idx";
  spec.head_dim = DIM;
  pattern.name = "causal";
  pattern.spec = &spec;
  flexjit_build_options_init(&options);
  options.kind = FLEXJIT_OBJECT;
  options.targets = targets;
  options.target_count = 1;
  OK(flexjit_build_library(&pattern, 1, &options, &library, &error));
  CHECK(flexjit_library_bytes(library, &size) != NULL && size > 1000 &&
        memcmp(flexjit_library_bytes(library, NULL), "\177ELF", 4) == 0);
  CHECK(strstr(flexjit_library_header(library), "causal_run") != NULL && flexjit_library_kernels(library) == 2);
  CHECK(same(flexjit_library_target(library, 0), "x86-64") && flexjit_library_target(library, 1) == NULL);
  flexjit_library_destroy(library);
  pattern.name = "1causal";
  EXPECT(flexjit_build_library(&pattern, 1, &options, &library, &error), FLEXJIT_INVALID, "build-name");
}

static void test_kernel_files(void) {
  flexjit_blob* problem = NULL;
  int64_t removed = -1;
  OK(flexjit_kernel_files_problem("/nowhere/at/all", &problem, &error));
  CHECK(flexjit_blob_size(problem) == 0);
  flexjit_blob_destroy(problem);
  OK(flexjit_remove_damaged_kernel_files("/nowhere/at/all", &removed, &error));
  CHECK(removed == 0);
  OK(flexjit_prune_kernel_files("/nowhere/at/all", 0, &removed, &error));
  CHECK(removed == 0);
}

/* A struct that the caller did not initialise gets the fields of version 0.1, and no byte more. */
static void test_filled_structs(void) {
  struct {
    flexjit_engine_stats stats;
    char guard[64];
  } answer;
  size_t garbage[] = {0, 1, (size_t)-1, sizeof(flexjit_engine_stats), sizeof(answer)}, i, j;
  for (i = 0; i < sizeof(garbage) / sizeof(garbage[0]); ++i) {
    memset(&answer, 0x5a, sizeof(answer));
    answer.stats.struct_size = garbage[i];
    OK(flexjit_engine_get_stats(engine, &answer.stats, &error));
    CHECK(answer.stats.cached_kernels < 100 && answer.stats.disk_hits == 0);
    for (j = 0; j < sizeof(answer.guard); ++j) CHECK(answer.guard[j] == 0x5a);
  }
  OK(flexjit_engine_clear_cache(engine, &error));
  OK(flexjit_engine_get_stats(engine, &answer.stats, &error));
  CHECK(answer.stats.cached_kernels == 0);
}

int main(void) {
  make_attention();
  test_introspection();
  test_places_of_findings();
  test_check();
  test_runs();
  test_merge();
  test_backward();
  test_attend();
  test_layouts();
  test_texts();
  test_trace();
  test_inspect();
  test_build();
  test_kernel_files();
  test_filled_structs();
  finish();
  return failures != 0;
}
