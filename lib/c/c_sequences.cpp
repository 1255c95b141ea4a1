// flexjit_sequences -> Sequences, and the view of packed rows.
#include "flexjit/c_sequences.h"

#include <fmt/format.h>

#include <algorithm>

#include "c/c_convert.h"
#include "c/c_handles.h"

namespace flexjit::engine {

std::optional<OwnedSequences> to_sequences(const flexjit_sequences* given, Report& report) {
  const auto full = complete(given, "flexjit_sequences", flexjit_sequences_init, report);
  if (!full) return std::nullopt;
  OwnedSequences owned;
  set_given(full->cu_seqlens_q, owned.sequences.cu_seqlens_q, "cu_seqlens_q", report);
  set_given(full->seqused_q, owned.sequences.seqused_q, "seqused_q", report);
  set_given(full->cu_seqlens_k, owned.sequences.cu_seqlens_k, "cu_seqlens_k", report);
  set_given(full->total_len, owned.sequences.total_len, "total_len", report);
  set_given(full->cache_batch_idx, owned.sequences.cache_batch_idx, "cache_batch_idx", report);
  set_given(full->cache_leftpad, owned.sequences.cache_leftpad, "cache_leftpad", report);
  set_given(full->block_table, owned.sequences.block_table, "block_table", report);
  set_given(full->page_indptr, owned.sequences.page_indptr, "page_indptr", report);
  set_given(full->page_indices, owned.sequences.page_indices, "page_indices", report);
  for (const flexjit_block_mask* mask : elements(full->block_masks, full->block_mask_count, "sequences.block_masks", report)) {
    if (mask == nullptr) report.add(Finding::kNullArgument, fmt::format("sequences.block_masks[{}]", owned.masks.size()));
    owned.masks.push_back(mask != nullptr ? mask->mask : BlockMask{});
  }
  return owned;
}

}  // namespace flexjit::engine

void flexjit_sequences_init(flexjit_sequences* sequences) { flexjit::engine::init_struct(sequences); }

flexjit_tensor flexjit_thd_tensor(void* data, flexjit_dtype dtype, const int64_t* shape_thd) {
  if (shape_thd == nullptr) return flexjit_bshd_tensor(data, dtype, nullptr);
  const int64_t shape_bshd[4] = {1, shape_thd[0], shape_thd[1], shape_thd[2]};
  return flexjit_bshd_tensor(data, dtype, shape_bshd);
}
