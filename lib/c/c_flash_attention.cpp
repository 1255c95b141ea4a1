// c_flash_attention.h over flash_attention.h.
#include "flexjit/c_flash_attention.h"

#include <algorithm>
#include <utility>

#include "c/c_flash_options.h"
#include "c/c_handles.h"

namespace {

using flexjit::MutableTensorView;
using flexjit::PackedView;
using flexjit::Result;
using flexjit::RunStats;
using flexjit::Status;
using flexjit::TensorView;
using flexjit::Unit;
using flexjit::engine::c_call;
using flexjit::engine::complete;
using flexjit::engine::fill_stats;
using flexjit::engine::init_struct;
using flexjit::engine::Report;
using flexjit::engine::require;
using flexjit::engine::set_given;

template <typename View = TensorView>
View view_of(const flexjit_tensor* tensor, const char* name, Report& report) {
  require(tensor, name, report);
  return tensor != nullptr ? flexjit::engine::to_view<View>(*tensor, name, report) : View{};
}

PackedView packed_of(const flexjit_packed_tensor* tensor, const char* name, Report& report) {
  require(tensor, name, report);
  return tensor != nullptr ? flexjit::engine::to_packed(*tensor, name, report) : PackedView{};
}

// attend(engine, options) once nothing is found about the call's tensors, its engine and its options.
template <typename Options, typename Attend>
Status attend_with(flexjit_engine* engine, const Options* given, flexjit_run_stats* stats, Report& report,
                   const Attend& attend) {
  require(engine, "engine", report);
  auto options = flexjit::engine::to_flash_options(given, report);
  if (!report.empty()) return report.take();
  const auto result = attend(engine->engine, options->view());
  if (!result) return result.diagnostics();
  if constexpr (requires { result->s_dmask; }) {
    const auto& weights = result->s_dmask;
    if (options->options.return_attn_probs)
      *given->return_attn_probs =
          new flexjit_blob{{reinterpret_cast<const char*>(weights.data()), weights.size() * sizeof(float)}};
    fill_stats(result->stats, stats);
  } else {
    fill_stats(*result, stats);
  }
  return Unit{};
}

}  // namespace

void flexjit_flash_attn_options_init(flexjit_flash_attn_options* options) {
  flexjit_flash_attn_options defaults{};
  std::ranges::fill(defaults.window_size, -1);
  init_struct(options, defaults);
}

void flexjit_flash_attn_varlen_options_init(flexjit_flash_attn_varlen_options* options) {
  flexjit_flash_attn_varlen_options defaults{};
  std::ranges::fill(defaults.window_size, -1);
  init_struct(options, defaults);
}

void flexjit_flash_attn_kvcache_options_init(flexjit_flash_attn_kvcache_options* options) {
  flexjit_flash_attn_kvcache_options defaults{};
  std::ranges::fill(defaults.window_size, -1);
  defaults.rotary_interleaved = 1;
  init_struct(options, defaults);
}

void flexjit_flash_attn_combine_args_init(flexjit_flash_attn_combine_args* args) { init_struct(args); }

flexjit_packed_tensor flexjit_dense_packed_tensor(void* data, flexjit_dtype dtype, int32_t rank, const int64_t* shape) {
  flexjit_packed_tensor tensor{data, dtype, rank, {}, {}};
  if (shape == nullptr || rank < 0 || rank > 5) {
    tensor.rank = 0;
    return tensor;
  }
  std::uint64_t step = 1;  // wraps for extents that no memory can have, which calls refuse
  for (std::int32_t d = rank; d-- > 0;) {
    tensor.shape[d] = shape[d];
    tensor.strides[d] = static_cast<std::int64_t>(step);
    step *= static_cast<std::uint64_t>(shape[d]);
  }
  return tensor;
}

flexjit_status flexjit_flash_attn_func(flexjit_engine* engine, const flexjit_tensor* q, const flexjit_tensor* k,
                                       const flexjit_tensor* v, const flexjit_flash_attn_options* options,
                                       flexjit_run_stats* stats, flexjit_error** error) {
  return c_call("flexjit_flash_attn_func", error, [&](Report& report) {
    const TensorView of_q = view_of(q, "q", report), of_k = view_of(k, "k", report), of_v = view_of(v, "v", report);
    return attend_with(engine, options, stats, report, [&](flexjit::Engine& with, const flexjit::FlashAttnOptions& o) {
      return flexjit::flash_attn_func(with, of_q, of_k, of_v, o);
    });
  });
}

flexjit_status flexjit_flash_attn_qkvpacked_func(flexjit_engine* engine, const flexjit_packed_tensor* qkv,
                                                 const flexjit_flash_attn_options* options, flexjit_run_stats* stats,
                                                 flexjit_error** error) {
  return c_call("flexjit_flash_attn_qkvpacked_func", error, [&](Report& report) {
    const PackedView packed = packed_of(qkv, "qkv", report);
    return attend_with(engine, options, stats, report, [&](flexjit::Engine& with, const flexjit::FlashAttnOptions& o) {
      return flexjit::flash_attn_qkvpacked_func(with, packed, o);
    });
  });
}

flexjit_status flexjit_flash_attn_kvpacked_func(flexjit_engine* engine, const flexjit_tensor* q,
                                                const flexjit_packed_tensor* kv, const flexjit_flash_attn_options* options,
                                                flexjit_run_stats* stats, flexjit_error** error) {
  return c_call("flexjit_flash_attn_kvpacked_func", error, [&](Report& report) {
    const TensorView of_q = view_of(q, "q", report);
    const PackedView packed = packed_of(kv, "kv", report);
    return attend_with(engine, options, stats, report, [&](flexjit::Engine& with, const flexjit::FlashAttnOptions& o) {
      return flexjit::flash_attn_kvpacked_func(with, of_q, packed, o);
    });
  });
}

flexjit_status flexjit_flash_attn_varlen_func(flexjit_engine* engine, const flexjit_tensor* q, const flexjit_tensor* k,
                                              const flexjit_tensor* v, const flexjit_flash_attn_varlen_options* options,
                                              flexjit_run_stats* stats, flexjit_error** error) {
  return c_call("flexjit_flash_attn_varlen_func", error, [&](Report& report) {
    const TensorView of_q = view_of(q, "q", report), of_k = view_of(k, "k", report), of_v = view_of(v, "v", report);
    return attend_with(engine, options, stats, report, [&](flexjit::Engine& with, const flexjit::FlashAttnVarlenOptions& o) {
      return flexjit::flash_attn_varlen_func(with, of_q, of_k, of_v, o);
    });
  });
}

flexjit_status flexjit_flash_attn_varlen_qkvpacked_func(flexjit_engine* engine, const flexjit_packed_tensor* qkv,
                                                        const flexjit_flash_attn_varlen_options* options,
                                                        flexjit_run_stats* stats, flexjit_error** error) {
  return c_call("flexjit_flash_attn_varlen_qkvpacked_func", error, [&](Report& report) {
    const PackedView packed = packed_of(qkv, "qkv", report);
    return attend_with(engine, options, stats, report, [&](flexjit::Engine& with, const flexjit::FlashAttnVarlenOptions& o) {
      return flexjit::flash_attn_varlen_qkvpacked_func(with, packed, o);
    });
  });
}

flexjit_status flexjit_flash_attn_varlen_kvpacked_func(flexjit_engine* engine, const flexjit_tensor* q,
                                                       const flexjit_packed_tensor* kv,
                                                       const flexjit_flash_attn_varlen_options* options,
                                                       flexjit_run_stats* stats, flexjit_error** error) {
  return c_call("flexjit_flash_attn_varlen_kvpacked_func", error, [&](Report& report) {
    const TensorView of_q = view_of(q, "q", report);
    const PackedView packed = packed_of(kv, "kv", report);
    return attend_with(engine, options, stats, report, [&](flexjit::Engine& with, const flexjit::FlashAttnVarlenOptions& o) {
      return flexjit::flash_attn_varlen_kvpacked_func(with, of_q, packed, o);
    });
  });
}

flexjit_status flexjit_flash_attn_with_kvcache(flexjit_engine* engine, const flexjit_tensor* q, const flexjit_tensor* k_cache,
                                               const flexjit_tensor* v_cache, const flexjit_flash_attn_kvcache_options* options,
                                               flexjit_run_stats* stats, flexjit_error** error) {
  return c_call("flexjit_flash_attn_with_kvcache", error, [&](Report& report) {
    const TensorView of_q = view_of(q, "q", report);
    const auto k = view_of<MutableTensorView>(k_cache, "k_cache", report);
    const auto v = view_of<MutableTensorView>(v_cache, "v_cache", report);
    return attend_with(engine, options, stats, report, [&](flexjit::Engine& with, const flexjit::FlashAttnKvcacheOptions& o) {
      return flexjit::flash_attn_with_kvcache(with, of_q, k, v, o);
    });
  });
}

flexjit_status flexjit_flash_attn_combine(const flexjit_flash_attn_combine_args* args, flexjit_error** error) {
  return c_call("flexjit_flash_attn_combine", error, [&](Report& report) -> Status {
    const auto full = complete(args, "flexjit_flash_attn_combine_args", flexjit_flash_attn_combine_args_init, report);
    if (!full) return report.take();
    flexjit::FlashAttnCombineArgs converted{.out_partial =
                                                flexjit::engine::to_packed(full->out_partial, "out_partial", report)};
    set_given(full->lse_partial, converted.lse_partial, "lse_partial", report);
    set_given(full->out, converted.out, "out", report);
    set_given(full->softmax_lse, converted.softmax_lse, "softmax_lse", report);
    if (!report.empty()) return report.take();
    return flexjit::flash_attn_combine(converted);
  });
}

flexjit_status flexjit_validate_paged_kv_params(const flexjit_tensor* block_table, int64_t batch_size,
                                                const flexjit_tensor* k_cache, const flexjit_tensor* v_cache,
                                                int32_t* page_size, int32_t* max_pages, flexjit_error** error) {
  return c_call("flexjit_validate_paged_kv_params", error, [&](Report& report) -> Status {
    const TensorView table = view_of(block_table, "block_table", report);
    const TensorView k = view_of(k_cache, "k_cache", report), v = view_of(v_cache, "v_cache", report);
    if (!report.empty()) return report.take();
    const Result<flexjit::PagedKvParams> found = flexjit::validate_paged_kv_params(table, batch_size, k, v);
    if (!found) return found.diagnostics();
    if (page_size != nullptr) *page_size = found->page_size;
    if (max_pages != nullptr) *max_pages = found->max_pages;
    return Unit{};
  });
}

flexjit_status flexjit_update_paged_kv_cache(const flexjit_tensor* k_cache, const flexjit_tensor* v_cache,
                                             const flexjit_tensor* new_k, const flexjit_tensor* new_v,
                                             const flexjit_tensor* block_table, const flexjit_tensor* cache_seqlens,
                                             int32_t* total_len, flexjit_error** error) {
  return c_call("flexjit_update_paged_kv_cache", error, [&](Report& report) -> Status {
    const auto k = view_of<MutableTensorView>(k_cache, "k_cache", report);
    const auto v = view_of<MutableTensorView>(v_cache, "v_cache", report);
    const TensorView of_k = view_of(new_k, "new_k", report), of_v = view_of(new_v, "new_v", report);
    const TensorView table = view_of(block_table, "block_table", report);
    const TensorView lengths = view_of(cache_seqlens, "cache_seqlens", report);
    if (!report.empty()) return report.take();
    const Result<std::vector<std::int32_t>> total = flexjit::update_paged_kv_cache(k, v, of_k, of_v, table, lengths);
    if (!total) return total.diagnostics();
    if (total_len != nullptr) std::ranges::copy(*total, total_len);
    return Unit{};
  });
}
