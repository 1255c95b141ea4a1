// Keys and values of sequences that grow: appended in place to contiguous caches and to pages, keys rotated on the way.
//
//   append_kv({.k = k_cache, .v = v_cache, .past_len = lengths, .block_table = table},
//             {.k = k, .v = v, .rotary = &rotary}).value();
//   attention.run({.q = q, .k = k_cache, .v = v_cache, .out = out, .sequences = &in_pages, .rotary = &rotary}).value();
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "flexjit/export.h"
#include "flexjit/result.h"
#include "flexjit/rotary.h"
#include "flexjit/tensor.h"

namespace flexjit {

// Where the keys of sequences lie, named as in Sequences, which reads them: what is said there of cache_batch_idx,
// cache_leftpad, block_table, page_indptr and page_indices holds here. All of these are i32.
struct KvCache {
  // Written. Without pages (cache_batch, kv_heads, capacity, dim), with pages (num_pages, kv_heads, page_size, dim); f32, f64,
  // f16, bf16, or what quantize_kv makes, which is stored as it is; with a unit innermost stride. The dims of k and v may
  // differ.
  MutableTensorView k, v;
  TensorView past_len{};  // (batch): how many keys each sequence has before; key i of it is at position i
  TensorView cache_batch_idx{}, cache_leftpad{};
  TensorView block_table{};
  TensorView page_indptr{}, page_indices{};
};

// Of the element type of the cache.
struct NewKeys {
  // (batch, kv_heads, new_len, dim); with cu_seqlens_k_new packed, (1, kv_heads, total, dim), those of sequence b being rows
  // [cu_seqlens_k_new[b], cu_seqlens_k_new[b + 1]).
  TensorView k, v;
  TensorView cu_seqlens_k_new{};   // (batch + 1), i32
  const Rotary* rotary = nullptr;  // k i rotates at position past_len + i; null: keys are stored as they are
  int threads = 0;                 // as EngineOptions::threads; few keys are appended by the caller alone
};

struct AppendStats {
  std::vector<std::int32_t> total_len;  // by sequence: past_len and what is new, the past_len of the next call
};

// Writes new keys and values behind those that are there, and nothing else. A call is all or nothing: on an error every byte of
// the cache is as it was. Errors (all that apply): rank, shape, dtype, stride, null or misaligned data; `sequence-index` for an
// index out of range or a hole (an entry below 0) where a key must go; `cache-capacity` for more keys than the cache, or the
// pages that are named, hold; `shared-slot` where two sequences append to one page or cache entry, or one to a page that it has
// twice; `shared-memory` where two of cache.k, cache.v and the new tensors have an element in common. Holes before past_len are
// left alone. Calls on caches that share no memory may run at once.
FLEXJIT_API Result<AppendStats> append_kv(const KvCache& cache, const NewKeys& fresh);

// Appending to pages at positions that the caller says: FlashInfer's append_paged_kv_cache.
struct PositionedKeys {
  TensorView k, v;           // (1, kv_heads, tokens, dim): flexjit::thd of (tokens, kv_heads, dim)
  TensorView batch_indices;  // (tokens), i32: which sequence; below 0: the token is not written
  TensorView positions;      // (tokens), i32: which key of it
  // (batch), i32: how many keys the last page of each sequence holds afterwards, 1 to page_size; 0 of a sequence without pages.
  TensorView last_page_len;
  const Rotary* rotary = nullptr;
  int threads = 0;
};

// As append_kv; pages are in cache.page_indptr and page_indices, and past_len is absent. No position may lie behind the end
// that last_page_len says, which is total_len of the result.
FLEXJIT_API Result<AppendStats> append_kv_at(const KvCache& cache, const PositionedKeys& fresh);

// What append_kv_at wants to know of sequences that grow at their ends.
struct TokenPlaces {
  std::vector<std::int32_t> batch_indices, positions;
};
// FlashInfer's get_batch_indices_positions: tokens [append_indptr[b], append_indptr[b + 1]) are the last of sequence b, which
// has total_len[b] keys with them. append_indptr has a number more than total_len, from 0, never falling. Error
// `sequence-index`.
FLEXJIT_API Result<TokenPlaces> get_batch_indices_positions(std::span<const std::int32_t> append_indptr,
                                                            std::span<const std::int32_t> total_len);

}  // namespace flexjit
