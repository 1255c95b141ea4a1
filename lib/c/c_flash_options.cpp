// One function for the fields that the three structs have in common, one for those of the two that know dropout.
#include "c/c_flash_options.h"

#include <algorithm>

namespace flexjit::engine {

namespace {

template <typename Given, typename Options>
void set_common(const Given& given, OwnedOptions<Options>& owned, Report& report) {
  Options& options = owned.options;
  set_given(given.out, options.out, "out", report);
  if (given.has_softmax_scale != 0) options.softmax_scale = given.softmax_scale;
  options.causal = given.causal != 0;
  options.window_size = {given.window_size[0], given.window_size[1]};
  options.softcap = given.softcap;
  set_given(given.alibi_slopes, options.alibi_slopes, "alibi_slopes", report);
  set_given(given.softmax_lse, options.softmax_lse, "softmax_lse", report);
  set_given(given.learnable_sink, options.learnable_sink, "learnable_sink", report);
  options.score_mod = text_of(given.score_mod);
  options.mask_mod = text_of(given.mask_mod);
  owned.bindings = to_bindings(given.bindings, report);
}

template <typename Given, typename Options>
void set_training(const Given& given, Options& options) {
  options.dropout_p = given.dropout_p;
  options.rng_state = {given.rng_state[0], given.rng_state[1]};
  options.deterministic = given.deterministic != 0;
  options.return_attn_probs = given.return_attn_probs != nullptr;
}

void set_cache_seqlens(const flexjit_flash_attn_kvcache_options& given, CacheSeqlens& lengths, Report& report) {
  set_given(given.cache_seqlens, lengths.of_each, "cache_seqlens", report);
  if (given.has_cache_seqlens_of_all == 0) return;
  lengths.of_all = given.cache_seqlens_of_all;
  if (lengths.of_each.data != nullptr)
    report.add(Finding::kBadOption, "cache_seqlens_of_all", given.cache_seqlens_of_all,
               "cache_seqlens has a length of each sequence; give one of the two");
}

}  // namespace

std::optional<OwnedOptions<FlashAttnOptions>> to_flash_options(const flexjit_flash_attn_options* given, Report& report) {
  const auto full = complete(given, "flexjit_flash_attn_options", flexjit_flash_attn_options_init, report);
  if (!full) return std::nullopt;
  OwnedOptions<FlashAttnOptions> owned;
  set_common(*full, owned, report);
  set_training(*full, owned.options);
  return owned;
}

std::optional<OwnedOptions<FlashAttnVarlenOptions>> to_flash_options(const flexjit_flash_attn_varlen_options* given,
                                                                     Report& report) {
  const auto full = complete(given, "flexjit_flash_attn_varlen_options", flexjit_flash_attn_varlen_options_init, report);
  if (!full) return std::nullopt;
  OwnedOptions<FlashAttnVarlenOptions> owned;
  FlashAttnVarlenOptions& options = owned.options;
  set_common(*full, owned, report);
  set_training(*full, options);
  set_given(full->cu_seqlens_q, options.cu_seqlens_q, "cu_seqlens_q", report);
  set_given(full->cu_seqlens_k, options.cu_seqlens_k, "cu_seqlens_k", report);
  set_given(full->block_table, options.block_table, "block_table", report);
  set_given(full->seqused_q, options.seqused_q, "seqused_q", report);
  set_given(full->seqused_k, options.seqused_k, "seqused_k", report);
  set_given(full->leftpad_k, options.leftpad_k, "leftpad_k", report);
  options.max_seqlen_q = full->max_seqlen_q;
  options.max_seqlen_k = full->max_seqlen_k;
  return owned;
}

std::optional<OwnedOptions<FlashAttnKvcacheOptions>> to_flash_options(const flexjit_flash_attn_kvcache_options* given,
                                                                      Report& report) {
  const auto full = complete(given, "flexjit_flash_attn_kvcache_options", flexjit_flash_attn_kvcache_options_init, report);
  if (!full) return std::nullopt;
  OwnedOptions<FlashAttnKvcacheOptions> owned;
  FlashAttnKvcacheOptions& options = owned.options;
  set_common(*full, owned, report);
  set_given(full->k, options.k, "k", report);
  set_given(full->v, options.v, "v", report);
  set_given(full->rotary_cos, options.rotary_cos, "rotary_cos", report);
  set_given(full->rotary_sin, options.rotary_sin, "rotary_sin", report);
  set_cache_seqlens(*full, options.cache_seqlens, report);
  set_given(full->cache_batch_idx, options.cache_batch_idx, "cache_batch_idx", report);
  set_given(full->cache_leftpad, options.cache_leftpad, "cache_leftpad", report);
  set_given(full->block_table, options.block_table, "block_table", report);
  set_given(full->return_cache_seqlens, options.return_cache_seqlens, "return_cache_seqlens", report);
  options.rotary_interleaved = full->rotary_interleaved != 0;
  options.num_splits = full->num_splits;
  options.return_softmax_lse = full->return_softmax_lse != 0;
  return owned;
}

PackedView to_packed(const flexjit_packed_tensor& tensor, std::string_view what, Report& report) {
  PackedView view;
  view.data = tensor.data;
  view.dtype = to_dtype(tensor.dtype, what, report);
  view.rank = tensor.rank;
  std::ranges::copy(tensor.shape, view.shape.begin());
  std::ranges::copy(tensor.strides, view.strides.begin());
  return view;
}

}  // namespace flexjit::engine
