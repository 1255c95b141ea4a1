/* What every function of the C interface makes of NULL. */
#include "c_checks.h"

static void test_inits(void) {
  flexjit_engine_options_init(NULL);
  ;
  flexjit_spec_init(NULL);
  ;
  flexjit_run_args_init(NULL);
  ;
  flexjit_reference_rows_init(NULL);
  ;
  flexjit_score_rows_init(NULL);
  ;
  flexjit_merge_args_init(NULL);
  ;
  flexjit_gradients_init(NULL);
  ;
  flexjit_run_stats_init(NULL);
  ;
  flexjit_engine_stats_init(NULL);
  ;
  flexjit_diagnostic_init(NULL);
  ;
  flexjit_buffer_info_init(NULL);
  ;
  flexjit_block_mask_options_init(NULL);
  ;
  flexjit_block_mask_info_init(NULL);
  ;
  flexjit_block_mask_report_init(NULL);
  ;
  flexjit_mask_region_init(NULL);
  ;
  flexjit_block_lists_init(NULL);
  ;
  flexjit_bsr_matrix_init(NULL);
  ;
  flexjit_preset_init(NULL);
  ;
  flexjit_inspect_request_init(NULL);
  ;
  flexjit_build_options_init(NULL);
  ;
}

/* Those without a status. */
static void test_questions(void) {
  size_t count = 7;
  CHECK(flexjit_attention_target(NULL) == NULL && flexjit_attention_compile_ms(NULL) < 0);
  CHECK(flexjit_attention_warnings(NULL) == NULL);
  CHECK(flexjit_attention_kernel_source(NULL) == FLEXJIT_SOURCE_NONE);
  CHECK(flexjit_attention_buffer_count(NULL) == 0 && flexjit_attention_param_count(NULL) == 0);
  CHECK(flexjit_blob_data(NULL) == NULL && flexjit_blob_size(NULL) == 0);
  CHECK(flexjit_block_mask_kind(NULL, 0, 0, 0, 0) == FLEXJIT_EMPTY);
  CHECK(flexjit_library_bytes(NULL, &count) == NULL && flexjit_library_bytes(NULL, NULL) == NULL && count == 0);
  CHECK(flexjit_library_header(NULL) == NULL && flexjit_library_target(NULL, 0) == NULL && flexjit_library_kernels(NULL) == 0);
  CHECK(flexjit_trace_dropped(NULL) == 0);
  CHECK(flexjit_error_message(NULL) != NULL && flexjit_error_count(NULL) == 0 && flexjit_error_kind(NULL, 0) == NULL);
  CHECK(flexjit_dense_tensor(q, FLEXJIT_F32, 4, NULL).rank == 0 && flexjit_preset_text(NULL) == NULL);
}

static void test_destroys(void) {
  flexjit_error_free(NULL);
  flexjit_blob_destroy(NULL);
  flexjit_engine_destroy(NULL);
  flexjit_attention_destroy(NULL);
  flexjit_block_mask_destroy(NULL);
  flexjit_trace_destroy(NULL);
  flexjit_inspection_destroy(NULL);
  flexjit_library_destroy(NULL);
}

static void test_backward(void) {
  flexjit_gradients gradients;
  IS_NULL(flexjit_run_backward(attention, &args, NULL, NULL, &error));
  IS_NULL(flexjit_run_backward_reference(attention, &args, NULL, NULL, &error));
  flexjit_gradients_init(&gradients);
  IS_NULL(flexjit_run_backward(NULL, &args, &gradients, NULL, &error));
  IS_NULL(flexjit_run_backward_reference(NULL, &args, &gradients, NULL, &error));
  IS_NULL(flexjit_run_backward(attention, NULL, &gradients, NULL, &error));
  gradients.buffer_count = 1;
  IS_NULL(flexjit_run_backward(attention, &args, &gradients, NULL, &error));
}

static void test_attentions(void) {
  flexjit_spec spec;
  flexjit_attention* handle = NULL;
  flexjit_buffer_info buffer;
  flexjit_param param;
  flexjit_score_rows rows;
  flexjit_engine_stats stats;
  flexjit_error* findings = NULL;
  float score = 0;
  flexjit_spec_init(&spec);
  flexjit_score_rows_init(&rows);
  IS_NULL(flexjit_describe_host(NULL, &error));
  IS_NULL(flexjit_engine_create(NULL, NULL, &error));
  IS_NULL(flexjit_engine_get_stats(NULL, &stats, &error));
  IS_NULL(flexjit_engine_get_stats(engine, NULL, &error));
  IS_NULL(flexjit_engine_clear_cache(NULL, &error));
  IS_NULL(flexjit_attend("mask = true", NULL, NULL, &error));
  IS_NULL(flexjit_check(NULL, &findings, &error));
  IS_NULL(flexjit_check(&spec, NULL, &error));
  IS_NULL(flexjit_compile(NULL, &spec, &handle, &error));
  IS_NULL(flexjit_compile(engine, NULL, &handle, &error));
  IS_NULL(flexjit_compile(engine, &spec, NULL, &error));
  IS_NULL(flexjit_compile_traced(NULL, &spec, NULL, &handle, &error));
  IS_NULL(flexjit_attention_run(NULL, &args, NULL, &error));
  IS_NULL(flexjit_attention_run(attention, NULL, NULL, &error));
  IS_NULL(flexjit_attention_run_reference(NULL, &args, NULL, &error));
  IS_NULL(flexjit_attention_run_reference(attention, NULL, NULL, &error));
  IS_NULL(flexjit_attention_run_reference_rows(attention, &args, NULL, NULL, &error));
  IS_NULL(flexjit_attention_scores(NULL, &args, &rows, &score, 0, &error));
  IS_NULL(flexjit_attention_scores(attention, &args, NULL, &score, 0, &error));
  IS_NULL(flexjit_attention_scores(attention, &args, &rows, NULL, 0, &error));
  IS_NULL(flexjit_attention_weights(NULL, &args, &rows, &score, 0, &error));
  IS_NULL(flexjit_attention_weights(attention, &args, NULL, &score, 0, &error));
  IS_NULL(flexjit_attention_weights(attention, &args, &rows, NULL, 0, &error));
  IS_NULL(flexjit_attention_buffer(NULL, 0, &buffer, &error));
  IS_NULL(flexjit_attention_buffer(attention, 0, NULL, &error));
  IS_NULL(flexjit_attention_param(NULL, 0, &param, &error));
  IS_NULL(flexjit_attention_param(attention, 0, NULL, &error));
  IS_NULL(flexjit_merge_states(NULL, &error));
  CHECK(handle == NULL);
}

/* Longer than 40 lines:
 * one for each argument. */
static void test_block_masks(void) {
  flexjit_block_mask *mask = made_mask(), *made = NULL;
  flexjit_block_mask_info info;
  flexjit_block_mask_report report;
  flexjit_block_lists lists;
  flexjit_bsr_matrix bsr;
  flexjit_mask_region region;
  flexjit_blob* blob = NULL;
  int64_t number = 0;
  size_t count = 0;
  const int32_t* list = NULL;
  int32_t slot = 0;
  uint8_t byte = 0;
  flexjit_mask_region_init(&region);
  flexjit_block_lists_init(&lists);
  flexjit_bsr_matrix_init(&bsr);
  IS_NULL(flexjit_block_mask_create(NULL, &sizes, NULL, &made, &error));
  IS_NULL(flexjit_block_mask_create(attention, NULL, NULL, &made, &error));
  IS_NULL(flexjit_block_mask_create(attention, &sizes, NULL, NULL, &error));
  IS_NULL(flexjit_block_mask_create_reported(attention, &sizes, NULL, NULL, &made, &error));
  IS_NULL(flexjit_block_mask_create_reported(attention, &sizes, NULL, &report, NULL, &error));
  IS_NULL(flexjit_block_mask_extend(attention, NULL, &sizes, NULL, &made, &error));
  IS_NULL(flexjit_block_mask_decide(attention, NULL, &sizes, NULL, &made, &error));
  IS_NULL(flexjit_count_allowed(attention, &sizes, NULL, NULL, &error));
  IS_NULL(flexjit_count_allowed(NULL, &sizes, NULL, &number, &error));
  IS_NULL(flexjit_mask_elements(attention, &sizes, &region, NULL, NULL, 0, &error));
  IS_NULL(flexjit_mask_elements(attention, &sizes, NULL, &args.bindings, &byte, 1, &error));
  IS_NULL(flexjit_block_mask_from_kinds(NULL, &byte, 1, &made, &error));
  IS_NULL(flexjit_block_mask_from_kinds(&sizes, NULL, 1, &made, &error));
  IS_NULL(flexjit_block_mask_from_kinds(&sizes, &byte, 1, NULL, &error));
  IS_NULL(flexjit_block_mask_from_lists(&sizes, NULL, NULL, &made, &error));
  IS_NULL(flexjit_block_mask_from_lists(&sizes, &lists, NULL, NULL, &error));
  IS_NULL(flexjit_block_mask_from_bsr(&sizes, NULL, &made, &error));
  IS_NULL(flexjit_bsr_slots(&sizes, NULL, &slot, 1, &error));
  IS_NULL(flexjit_bsr_slots(&sizes, &bsr, NULL, 1, &error));
  IS_NULL(flexjit_block_mask_slice(NULL, &region, &made, &error));
  IS_NULL(flexjit_block_mask_slice(mask, NULL, &made, &error));
  IS_NULL(flexjit_block_mask_slice(mask, &region, NULL, &error));
  IS_NULL(flexjit_block_mask_transpose(NULL, &made, &error));
  IS_NULL(flexjit_block_mask_transpose(mask, NULL, &error));
  IS_NULL(flexjit_block_mask_intersect(mask, NULL, &made, &error));
  IS_NULL(flexjit_block_mask_intersect(NULL, mask, &made, &error));
  IS_NULL(flexjit_block_mask_unite(mask, NULL, &made, &error));
  IS_NULL(flexjit_block_mask_complement(NULL, &made, &error));
  IS_NULL(flexjit_block_mask_to_bytes(NULL, &blob, &error));
  IS_NULL(flexjit_block_mask_to_bytes(mask, NULL, &error));
  IS_NULL(flexjit_block_mask_from_bytes(NULL, 0, &made, &error));
  IS_NULL(flexjit_block_mask_from_bytes("", 0, NULL, &error));
  IS_NULL(flexjit_block_mask_get_info(NULL, &info, &error));
  IS_NULL(flexjit_block_mask_get_info(mask, NULL, &error));
  IS_NULL(flexjit_block_mask_row(mask, FLEXJIT_FULL, 0, 0, 0, NULL, &count, &error));
  IS_NULL(flexjit_block_mask_row(mask, FLEXJIT_FULL, 0, 0, 0, &list, NULL, &error));
  IS_NULL(flexjit_block_mask_num_blocks(NULL, FLEXJIT_FULL, &list, &count, &error));
  IS_NULL(flexjit_block_mask_to_dense(mask, NULL, 0, &error));
  IS_NULL(flexjit_block_mask_to_string(mask, 0, 0, 64, NULL, &error));
  CHECK(made == NULL && blob == NULL);
  flexjit_block_mask_destroy(mask);
}

/* Longer than 40 lines:
 * one for each argument. */
static void test_tools(void) {
  const char* text = "true";
  flexjit_spec spec;
  flexjit_preset preset;
  flexjit_inspect_request request;
  flexjit_build_pattern pattern = {NULL, NULL};
  flexjit_built built;
  flexjit_attention* handle = NULL;
  flexjit_blob* blob = NULL;
  flexjit_trace* trace = NULL;
  flexjit_library* library = NULL;
  flexjit_inspection* inspection = NULL;
  int64_t number = 0;
  size_t count = 0;
  memset(&built, 0, sizeof(built));
  flexjit_spec_init(&spec);
  flexjit_inspect_request_init(&request);
  IS_NULL(flexjit_preset_get(0, NULL, &error));
  IS_NULL(flexjit_preset_find(NULL, &preset, &error));
  IS_NULL(flexjit_and_masks(NULL, 2, &blob, &error));
  IS_NULL(flexjit_or_masks(&text, 1, NULL, &error));
  IS_NULL(flexjit_choose_by_head(NULL, 1, &blob, &error));
  IS_NULL(flexjit_not_mask(NULL, &blob, &error));
  IS_NULL(flexjit_offset_queries(text, NULL, &blob, &error));
  IS_NULL(flexjit_trace_create(1, NULL, &error));
  IS_NULL(flexjit_trace_events(NULL, NULL, 0, &count, &error));
  OK(flexjit_trace_create(1, &trace, &error));
  IS_NULL(flexjit_trace_events(trace, NULL, 0, NULL, &error));
  IS_NULL(flexjit_inspect(NULL, NULL, &request, &inspection, &error));
  IS_NULL(flexjit_inspect(&spec, NULL, NULL, &inspection, &error));
  IS_NULL(flexjit_inspect(&spec, NULL, &request, NULL, &error));
  IS_NULL(flexjit_build_library(NULL, 1, NULL, &library, &error));
  IS_NULL(flexjit_build_library(&pattern, 1, NULL, &library, &error));
  IS_NULL(flexjit_build_library(&pattern, 1, NULL, NULL, &error));
  IS_NULL(flexjit_kernel_files_problem(NULL, &blob, &error));
  IS_NULL(flexjit_remove_damaged_kernel_files(NULL, &number, &error));
  IS_NULL(flexjit_prune_kernel_files("/nowhere", 0, NULL, &error));
  IS_NULL(flexjit_built_run(NULL, &args, &error));
  IS_NULL(flexjit_built_run(&built, NULL, &error));
  IS_NULL(flexjit_built_attention(NULL, &handle, &error));
  IS_NULL(flexjit_built_attention(&built, NULL, &error));
  EXPECT(flexjit_built_attention(&built, &handle, &error), FLEXJIT_FAILED, "built-version");
  CHECK(handle == NULL && blob == NULL && library == NULL && inspection == NULL);
  flexjit_trace_destroy(trace);
}

int main(void) {
  make_attention();
  test_inits();
  test_questions();
  test_destroys();
  test_attentions();
  test_backward();
  test_block_masks();
  test_tools();
  finish();
  return failures != 0;
}
