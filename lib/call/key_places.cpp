// Tensors first, then numbers, then what numbers lead to.
#include "call/key_places.h"

#include <algorithm>
#include <cstdlib>
#include <limits>
#include <numeric>
#include <string>

namespace flexjit::engine {

std::span<const std::int32_t> KeyPlaces::pages_of(std::int64_t b) const {
  if (block_table.given()) return {block_table.row(b), static_cast<std::size_t>(block_table.view->shape[1])};
  const std::int64_t begin = page_indptr[b];
  return {page_indices.row(0) + begin, static_cast<std::size_t>(page_indptr[b + 1] - begin)};
}

std::string KeyPlaces::entry(std::int64_t b, std::size_t i) const {
  if (block_table.given()) return fmt::format("{}, {}", b, i);
  return std::to_string(page_indptr[b] + static_cast<std::int64_t>(i));
}

void check_place_tensors(const KeyPlaces& places, Report& report) {
  check_begin_tensor(places.page_indptr, report);
  for (const Ints* ints : {&places.length, &places.cache_batch_idx, &places.cache_leftpad})
    check_ints(*ints, 1, "(batch)", report);
  check_ints(places.page_indices, 1, "(pages of all sequences)", report);
  check_ints(places.block_table, 2, "(batch, max_pages)", report);
}

void refuse_both(const Ints& one, const Ints& other, Report& report) {
  if (one.given() && other.given())
    report.add(Finding::kSequenceOption, fmt::format("{} and {} are both given; keys lie in one way", one.name, other.name));
}

void check_ways(const KeyPlaces& places, Report& report) {
  for (const Ints* one : {&places.block_table, &places.page_indptr}) {
    refuse_both(*one, places.cache_batch_idx, report);
    refuse_both(*one, places.cache_leftpad, report);
  }
  refuse_both(places.block_table, places.page_indptr, report);
  if (places.page_indptr.given() != places.page_indices.given())
    report.add(Finding::kSequenceOption, "page_indptr and page_indices are given together or not at all");
}

void check_place_sizes(const KeyPlaces& places, std::int64_t batch, const char* owner, Report& report) {
  check_size(places.page_indptr, batch + 1, "numbers", "a call of its sequences", report);
  for (const Ints* ints : {&places.length, &places.cache_batch_idx, &places.cache_leftpad, &places.block_table})
    check_size(*ints, batch, "sequences", owner, report);
  check_side_by_side(places.block_table, report);
  check_side_by_side(places.page_indices, report);
}

// Rows of pages are numbered in 32 bits.
void check_page_tensor(const char* name, const TensorView& view, Report& report) {
  if (view.shape[2] < 1 || view.shape[0] < 1) {
    report.add(Finding::kSequenceOption, fmt::format("{} has {} pages of {} rows; there must be a page, and a row in it", name,
                                                     view.shape[0], view.shape[2]));
    return;
  }
  const std::int64_t unit = std::max<std::int64_t>(std::gcd(std::gcd(view.strides[0], view.strides[1]), view.strides[2]), 1);
  const std::int64_t last =
      (view.shape[0] - 1) * (std::abs(view.strides[0]) / unit) + (view.shape[2] - 1) * (std::abs(view.strides[2]) / unit);
  if (last > std::numeric_limits<std::int32_t>::max())
    report.add(Finding::kLengthLimit, fmt::format("the number of rows that {} spans", name), last,
               std::numeric_limits<std::int32_t>::max());
}

bool check_place_numbers(const KeyPlaces& places, std::int64_t batch, const TensorView& k, Report& report) {
  if (!check_begins(places.page_indptr, places.page_indices.given() ? places.page_indices.size() : 0, report)) return false;
  bool fine = check_range(places.cache_batch_idx, batch, 0, [&](std::int64_t) { return k.shape[0] - 1; }, report);
  fine = check_range(places.cache_leftpad, batch, 0, [&](std::int64_t) { return k.shape[2]; }, report) && fine;
  return fine;
}

bool check_pages(const KeyPlaces& places, std::int64_t b, std::int64_t num_pages, Report& report) {
  const std::span<const std::int32_t> pages = places.pages_of(b);
  std::int32_t most = -1;  // looked at all at once first, since nothing is wrong mostly
  for (const std::int32_t page : pages) most = std::max(most, page);
  if (most < num_pages) return true;
  const auto found = std::ranges::find_if(pages, [&](std::int32_t page) { return page >= num_pages; });
  report.add(Finding::kSequenceIndex, places.table().name, places.entry(b, static_cast<std::size_t>(found - pages.begin())),
             *found, fmt::format("below {}, the number of pages, or negative for none", num_pages));
  return false;
}

}  // namespace flexjit::engine
