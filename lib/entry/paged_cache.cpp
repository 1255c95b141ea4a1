// Pages in the order of FlashAttention's extents -> what append_kv takes. What has a name of these calls is checked here, so
// that append_kv finds only what it says of keys, pages and sequences.
#include "call/expected_tensor.h"
#include "call/key_places.h"
#include "diagnostics/guard.h"
#include "entry/layouts.h"
#include "flexjit/kv_cache.h"

namespace flexjit {

namespace engine {

namespace {

constexpr const char *kPages = "(num_pages, page_size, heads_k, dim)", *kNew = "(batch, seqlen_new, heads_k, dim)";

std::vector<Dimension> extents_of(const char* owner, const TensorView& view, const char* first, const char* second) {
  return {{first, view.shape[0], owner},
          {second, view.shape[1], owner},
          {"heads_k", view.shape[2], owner},
          {"dim", view.shape[3], owner}};
}

void check_one(const Expected& expected, const TensorView& view, Report& report) {
  if (check_rank(expected, view, report)) check_tensor(expected, view, report);
}

// No value where the report has findings.
std::optional<PagedKvParams> check_pages_and_table(const TensorView& block_table, std::int64_t batch_size,
                                                   const TensorView& k_cache, const TensorView& v_cache, Report& report) {
  const Ints table{"block_table", &block_table};
  const std::vector<Dimension> extents = extents_of("k_cache", k_cache, "num_pages", "page_size");
  if (!table.given()) report.add(Finding::kNullData, table.name);
  check_ints(table, 2, "(batch, max_pages)", report);
  check_one({"k_cache", k_cache.dtype, kPages, extents}, k_cache, report);
  if (report.empty()) check_one({"v_cache", k_cache.dtype, kPages, extents}, v_cache, report);
  if (!report.empty()) return std::nullopt;
  check_size(table, batch_size, "sequences", "this call", report);
  check_side_by_side(table, report);
  check_page_tensor("k_cache", *heads_first("k_cache", k_cache, Lengths::kBatch, report), report);
  if (block_table.shape[1] < 1)
    report.add(Finding::kSequenceOption, "block_table has 0 pages a sequence; give it at least one column");
  const TensorView none{};
  const Sequences in_pages{.block_table = block_table};
  const KeyPlaces places = KeyPlaces::of("cache_seqlens", none, in_pages);
  for (std::int64_t b = 0; report.empty() && b < batch_size; ++b) check_pages(places, b, k_cache.shape[0], report);
  if (!report.empty()) return std::nullopt;
  return PagedKvParams{static_cast<std::int32_t>(k_cache.shape[1]), static_cast<std::int32_t>(block_table.shape[1])};
}

void check_new_keys(const TensorView& new_k, const TensorView& new_v, std::int64_t batch, const TensorView& k_cache,
                    Report& report) {
  std::vector<Dimension> extents = extents_of("k_cache", k_cache, "batch", "seqlen_new");
  extents[0] = {"batch", batch, "cache_seqlens"};
  extents[1] = {"seqlen_new", new_k.shape[1], "new_k"};
  check_one({"new_k", k_cache.dtype, kNew, extents}, new_k, report);
  check_one({"new_v", k_cache.dtype, kNew, extents}, new_v, report);
}

}  // namespace
}  // namespace engine

Result<PagedKvParams> validate_paged_kv_params(const TensorView& block_table, std::int64_t batch_size,
                                               const TensorView& k_cache, const TensorView& v_cache) {
  return engine::guarded("validate_paged_kv_params", [&]() -> Result<PagedKvParams> {
    engine::Report report("validate_paged_kv_params");
    const auto params = engine::check_pages_and_table(block_table, batch_size, k_cache, v_cache, report);
    if (!params) return report.take();
    return *params;
  });
}

Result<std::vector<std::int32_t>> update_paged_kv_cache(const MutableTensorView& k_cache, const MutableTensorView& v_cache,
                                                        const TensorView& new_k, const TensorView& new_v,
                                                        const TensorView& block_table, const TensorView& cache_seqlens) {
  using engine::heads_first, engine::Lengths;
  return engine::guarded("update_paged_kv_cache", [&]() -> Result<std::vector<std::int32_t>> {
    engine::Report report("update_paged_kv_cache");
    const engine::Ints lengths{"cache_seqlens", &cache_seqlens};
    if (!lengths.given()) report.add(engine::Finding::kNullData, lengths.name);
    check_ints(lengths, 1, "(batch)", report);
    if (!report.empty()) return report.take();
    const std::int64_t batch = lengths.size();
    const auto params = engine::check_pages_and_table(block_table, batch, k_cache, v_cache, report);
    if (!params) return report.take();
    engine::check_new_keys(new_k, new_v, batch, k_cache, report);
    const std::int64_t capacity = std::int64_t{params->page_size} * params->max_pages;
    check_range(lengths, batch, 0, [&](std::int64_t) { return capacity; }, report);
    if (!report.empty()) return report.take();
    Result<AppendStats> appended = append_kv({.k = *heads_first("k_cache", k_cache, Lengths::kBatch, report),
                                              .v = *heads_first("v_cache", v_cache, Lengths::kBatch, report),
                                              .past_len = cache_seqlens,
                                              .block_table = block_table},
                                             {.k = *heads_first("new_k", new_k, Lengths::kBatch, report),
                                              .v = *heads_first("new_v", new_v, Lengths::kBatch, report)});
    if (!appended) return appended.diagnostics();
    return std::move(appended->total_len);
  });
}

}  // namespace flexjit
