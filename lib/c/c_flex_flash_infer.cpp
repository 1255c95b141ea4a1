// c_flex_flash_infer.h over FlexFlashInfer. A plan of C is a handle that was prepared once, so that nothing is asked of an
// engine that may be gone.
#include "flexjit/c_flex_flash_infer.h"

#include <optional>
#include <utility>

#include "c/c_convert.h"
#include "c/c_handles.h"

struct flexjit_flex_plan {
  flexjit::FlexFlashInfer prepared;
};
struct flexjit_bsr_blocks {
  flexjit::BsrBlocks blocks;
};

namespace {

using flexjit::Result;
using flexjit::Status;
using flexjit::Unit;
using flexjit::engine::c_call;
using flexjit::engine::complete;
using flexjit::engine::Finding;
using flexjit::engine::hand_over;
using flexjit::engine::init_struct;
using flexjit::engine::Report;
using flexjit::engine::require;
using flexjit::engine::set_given;
using flexjit::engine::text_of;

static_assert(FLEXJIT_LSE_BASE_TWO == static_cast<int>(flexjit::LseBase::kTwo));
static_assert(FLEXJIT_LSE_BASE_NATURAL == static_cast<int>(flexjit::LseBase::kNatural));

// flexjit_mask_sizes, or the same fields of flexjit_flex_prepare_args.
template <typename Sizes>
flexjit::MaskSizes sizes_of(const Sizes& given) {
  flexjit::MaskSizes sizes;
  if (given.has_window_size != 0) sizes.window_size = given.window_size;
  if (given.has_chunk_size != 0) sizes.chunk_size = given.chunk_size;
  return sizes;
}

// `bindings` are left null.
flexjit::FlexPrepareArgs to_prepare_args(const flexjit_flex_prepare_args& given, Report& report) {
  const flexjit::MaskSizes sizes = sizes_of(given);
  flexjit::FlexPrepareArgs args{.mask = text_of(given.mask),
                                .score_mod = text_of(given.score_mod),
                                .q_len = given.q_len,
                                .kv_len = given.kv_len,
                                .num_qo_heads = given.num_qo_heads,
                                .num_kv_heads = given.num_kv_heads,
                                .head_dim = given.head_dim,
                                .block_size_row = given.block_size_row,
                                .block_size_col = given.block_size_col,
                                .dtype = flexjit::engine::to_dtype(given.dtype, "the plan", report),
                                .window_size = sizes.window_size,
                                .chunk_size = sizes.chunk_size,
                                .whole_blocks = given.whole_blocks != 0};
  if (given.has_sm_scale != 0) args.sm_scale = given.sm_scale;
  if (given.bsr == nullptr) return args;
  if (const auto full = complete(given.bsr, "flexjit_bsr_matrix", flexjit_bsr_matrix_init, report))
    args.bsr = flexjit::engine::to_matrix(*full, report);
  return args;
}

}  // namespace

void flexjit_mask_sizes_init(flexjit_mask_sizes* sizes) { init_struct(sizes); }

void flexjit_flex_prepare_args_init(flexjit_flex_prepare_args* args) {
  const flexjit::FlexPrepareArgs defaults;
  flexjit_flex_prepare_args values{};
  values.block_size_row = defaults.block_size_row;
  values.block_size_col = defaults.block_size_col;
  values.dtype = static_cast<flexjit_dtype>(defaults.dtype);
  init_struct(args, values);
}

void flexjit_flex_run_args_init(flexjit_flex_run_args* args) { init_struct(args); }

flexjit_status flexjit_get_mask_fn(const char* mask_type, const flexjit_mask_sizes* sizes, flexjit_blob** text,
                                   flexjit_error** error) {
  return c_call("flexjit_get_mask_fn", error, [&](Report& report) -> Status {
    require(mask_type, "mask_type", report);
    require(text, "text", report);
    flexjit_mask_sizes none;
    flexjit_mask_sizes_init(&none);
    const auto full = complete(sizes != nullptr ? sizes : &none, "flexjit_mask_sizes", flexjit_mask_sizes_init, report);
    if (!report.empty()) return report.take();
    return hand_over(flexjit::get_mask_fn(mask_type, sizes_of(*full)), text);
  });
}

flexjit_status flexjit_flex_prepare(flexjit_engine* engine, const flexjit_flex_prepare_args* args, flexjit_flex_plan** plan,
                                    flexjit_error** error) {
  return c_call("flexjit_flex_prepare", error, [&](Report& report) -> Status {
    require(engine, "engine", report);
    require(plan, "plan", report);
    const auto full = complete(args, "flexjit_flex_prepare_args", flexjit_flex_prepare_args_init, report);
    if (!report.empty()) return report.take();
    flexjit::FlexPrepareArgs converted = to_prepare_args(*full, report);
    const flexjit::Bindings bindings = flexjit::engine::to_bindings(full->bindings, report);
    if (!report.empty()) return report.take();
    converted.bindings = &bindings;
    flexjit::FlexFlashInfer prepared(engine->engine);
    Status status = prepared.prepare(converted);
    if (status) *plan = new flexjit_flex_plan{std::move(prepared)};
    return status;
  });
}

flexjit_status flexjit_flex_run(const flexjit_flex_plan* plan, const flexjit_flex_run_args* args, flexjit_run_stats* stats,
                                flexjit_error** error) {
  return c_call("flexjit_flex_run", error, [&](Report& report) -> Status {
    require(plan, "plan", report);
    const auto full = complete(args, "flexjit_flex_run_args", flexjit_flex_run_args_init, report);
    if (!report.empty()) return report.take();
    flexjit::FlexRunArgs converted;
    set_given(full->q, converted.q, "q", report);
    set_given(full->k, converted.k, "k", report);
    set_given(full->v, converted.v, "v", report);
    set_given(full->out, converted.out, "out", report);
    set_given(full->lse, converted.lse, "lse", report);
    if (const auto base = flexjit::engine::enum_of<flexjit::LseBase>(full->lse_base, FLEXJIT_LSE_BASE_NATURAL))
      converted.lse_base = *base;
    else
      report.add(Finding::kBadEnum, "lse_base", flexjit::engine::number_of(full->lse_base), "flexjit_lse_base");
    if (!report.empty()) return report.take();
    const Result<flexjit::RunStats> result = plan->prepared.run(converted);
    if (!result) return result.diagnostics();
    flexjit::engine::fill_stats(*result, stats);
    return Unit{};
  });
}

flexjit_status flexjit_flex_block_mask(const flexjit_flex_plan* plan, flexjit_block_mask** mask, flexjit_error** error) {
  return c_call("flexjit_flex_block_mask", error, [&](Report& report) -> Status {
    require(plan, "plan", report);
    require(mask, "mask", report);
    if (!report.empty()) return report.take();
    return hand_over(plan->prepared.block_mask(), mask);
  });
}

flexjit_status flexjit_flex_bsr(const flexjit_flex_plan* plan, int32_t head, flexjit_bsr_blocks** blocks,
                                flexjit_error** error) {
  return c_call("flexjit_flex_bsr", error, [&](Report& report) -> Status {
    require(plan, "plan", report);
    require(blocks, "blocks", report);
    if (!report.empty()) return report.take();
    return hand_over(plan->prepared.bsr(head), blocks);
  });
}

void flexjit_flex_plan_destroy(flexjit_flex_plan* plan) { delete plan; }

flexjit_status flexjit_bsr_blocks_get(const flexjit_bsr_blocks* blocks, flexjit_bsr_matrix* matrix, flexjit_error** error) {
  return c_call("flexjit_bsr_blocks_get", error, [&](Report& report) -> Status {
    require(blocks, "blocks", report);
    require(matrix, "matrix", report);
    if (!report.empty()) return report.take();
    const flexjit::BsrBlocks& b = blocks->blocks;
    flexjit::engine::fill(
        matrix, {0, b.indptr.data(), b.indptr.size(), b.indices.data(), b.indices.size(), b.data.data(), b.data.size()},
        sizeof(*matrix));
    return Unit{};
  });
}

void flexjit_bsr_blocks_destroy(flexjit_bsr_blocks* blocks) { delete blocks; }
