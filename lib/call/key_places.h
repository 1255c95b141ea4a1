// Where the keys of sequences lie in caches and pages: what a call that reads them and one that appends to them are both told.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "call/numbers.h"

namespace flexjit::engine {

struct KeyPlaces {
  Ints length;  // total_len, or past_len
  Ints cache_batch_idx, cache_leftpad, block_table, page_indptr, page_indices;

  // `of` has the members of this name.
  template <typename Given>
  static KeyPlaces of(const char* length_name, const TensorView& length, const Given& of) {
    return {.length = {length_name, &length},
            .cache_batch_idx = {"cache_batch_idx", &of.cache_batch_idx},
            .cache_leftpad = {"cache_leftpad", &of.cache_leftpad},
            .block_table = {"block_table", &of.block_table},
            .page_indptr = {"page_indptr", &of.page_indptr},
            .page_indices = {"page_indices", &of.page_indices}};
  }

  bool paged() const { return block_table.given() || page_indptr.given() || page_indices.given(); }
  // Which has the pages.
  const Ints& table() const { return block_table.given() ? block_table : page_indices; }
  // Of sequence b, once checked.
  std::span<const std::int32_t> pages_of(std::int64_t b) const;
  // Element i of it, as shown.
  std::string entry(std::int64_t b, std::size_t i) const;
};

// Whether the tensors are what they must be, before any number is read.
void check_place_tensors(const KeyPlaces& places, Report& report);
// Ways that exclude each other; `refuse(one, other)` where both are given.
void check_ways(const KeyPlaces& places, Report& report);
void refuse_both(const Ints& one, const Ints& other, Report& report);
// `batch` sequences, as `owner` says.
void check_place_sizes(const KeyPlaces& places, std::int64_t batch, const char* owner, Report& report);
// Of a tensor of pages.
void check_page_tensor(const char* name, const TensorView& view, Report& report);
// All numbers but lengths and entries of tables; `k` is the cache.
bool check_place_numbers(const KeyPlaces& places, std::int64_t batch, const TensorView& k, Report& report);
// The entries of sequence b, also those that no key needs: below 0, or one of `num_pages` pages.
bool check_pages(const KeyPlaces& places, std::int64_t b, std::int64_t num_pages, Report& report);

}  // namespace flexjit::engine
