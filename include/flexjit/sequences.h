// Sequences is how the sequences of one call lie in its tensors where each has lengths of its own: packed one behind the other,
// in caches that are longer than what is in them, or in pages.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "flexjit/block_mask.h"
#include "flexjit/tensor.h"

namespace flexjit {

// Of RunArgs::sequences; every tensor is i32 and may be absent (data == nullptr). A pattern sees lengths and positions of its
// own sequence: q_len, kv_len, q_idx and kv_idx count from the sequence's first query and key, and causal, window and alibi end
// in the bottom-right corner of each; q_global and kv_global are positions in packed tensors. A buffer whose extent is declared
// q_len or kv_len must be at least as long as the longest sequence. Rows of out, lse and max_scores that belong to no sequence
// are not written, and nothing is read that belongs to none. A sequence may have no query or no key.
//
// Queries: without cu_seqlens_q, sequence b is batch entry b, as in any call. Keys: without any of these, likewise.
struct Sequences {
  // Packed queries: q, out, lse and max_scores have a batch of 1 (flexjit::thd makes such a view), and the queries of sequence
  // b are rows [cu_seqlens_q[b], cu_seqlens_q[b + 1]). (batch + 1), from 0 or more, never falling.
  TensorView cu_seqlens_q{};
  // Only the first seqused_q[b] of them, or of batch entry b. (batch)
  TensorView seqused_q{};
  // Packed keys, likewise in k and v.
  TensorView cu_seqlens_k{};
  // How many keys are valid: with packed keys, in a cache or in pages. (batch). Absent: as many as there is room for.
  TensorView total_len{};
  // The batch entry of k and v that holds the keys of a sequence; absent: its own. (batch). Not with pages or packed keys.
  TensorView cache_batch_idx{};
  // The row of that entry that is key 0; absent: 0. (batch). Not with pages or packed keys.
  TensorView cache_leftpad{};
  // Pages: k and v are (num_pages, kv_heads, page_size, dim), whatever their order in memory, and key i of sequence b is row
  // i % page_size of page block_table[b, i / page_size]. (batch, max_pages), innermost stride 1. Below 0: no page; keys that
  // would lie there are masked. Two sequences may share a page.
  TensorView block_table{};
  // The same in one list: sequence b has the pages page_indices[page_indptr[b]] to page_indices[page_indptr[b + 1] - 1].
  TensorView page_indptr{}, page_indices{};
  // By sequence, in the place of RunArgs::block_mask: each of a batch of 1, of the lengths of its sequence. Empty: derived.
  std::span<const BlockMask> block_masks{};
};

// The (1, heads, total, dim) view of a dense (total, heads, dim) array of packed rows; `data` is a pointer to anything.
template <typename Pointer>
auto thd(Pointer data, DType dtype, const std::array<std::int64_t, 3>& shape_thd) {
  return bshd(data, dtype, {1, shape_thd[0], shape_thd[1], shape_thd[2]});
}

}  // namespace flexjit
