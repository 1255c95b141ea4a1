// append_kv: new keys behind those that each sequence has.
#include <utility>

#include "diagnostics/guard.h"
#include "flexjit/kv_cache.h"
#include "runtime/parallel.h"
#include "serving/append_call.h"

namespace flexjit {

namespace engine {

namespace {

// Every sequence's share of the new rows, behind its past.
std::vector<NewRange> ranges_of(const Ints& past_len, const Ints& begins, std::int64_t new_len) {
  std::vector<NewRange> ranges;
  for (std::int64_t b = 0; b < past_len.size(); ++b) {
    NewRange& range = ranges.emplace_back(NewRange{.b = b, .key = past_len[b], .count = new_len, .first = {b, 0}});
    if (!begins.given()) continue;
    range.count = std::int64_t{begins[b + 1]} - begins[b];
    range.first = {0, begins[b]};
  }
  return ranges;
}

// `past_len` and cu_seqlens_k_new as tensors, which tells how many sequences there are.
bool check_append_numbers(const KeyPlaces& places, const Ints& begins, Report& report) {
  check_place_tensors(places, report);
  check_begin_tensor(begins, report);
  check_ways(places, report);
  if (!places.length.given()) report.add(Finding::kSequenceOption, "cache.past_len is absent; it says where new keys go");
  if (report.empty()) check_size(begins, places.length.size() + 1, "numbers", "a call of its sequences", report);
  return report.empty();
}

bool check_lengths(const KeyPlaces& places, const Ints& begins, std::int64_t rows, Report& report) {
  return check_range(
             places.length, places.length.size(), 0, [](std::int64_t) { return kMaxLength; }, report) &&
         check_begins(begins, rows, report);
}

std::optional<AppendCall> check_append(const KvCache& cache, const NewKeys& fresh, Report& report) {
  const KeyPlaces places = KeyPlaces::of("past_len", cache.past_len, cache);
  const Ints begins{"cu_seqlens_k_new", &fresh.cu_seqlens_k_new};
  check_threads("fresh.threads", fresh.threads, report);
  if (!check_append_numbers(places, begins, report)) return std::nullopt;
  const std::int64_t batch = places.length.size();
  AppendTensors tensors{as_const(cache.k), as_const(cache.v), fresh.k, fresh.v, batch, "past_len"};
  if (begins.given()) std::tie(tensors.batch, tensors.owner) = std::pair(1, "a call with cu_seqlens_k_new");
  const auto operands = check_append_tensors(tensors, report);
  if (!operands || !check_cache_places(places, batch, "past_len", tensors, report)) return std::nullopt;
  if (!check_lengths(places, begins, fresh.k.shape[2], report)) return std::nullopt;

  AppendCall append{.operands = *operands, .runs = {}, .stats = {}};
  std::int64_t positions = 0;
  for (const NewRange& range : ranges_of(places.length, begins, fresh.k.shape[2])) {
    const auto run = place_keys(places, range, tensors.k_cache, report);
    if (!run) return std::nullopt;
    append.stats.total_len.push_back(run->key + run->count);
    if (run->count == 0) continue;
    append.runs.push_back(*run);
    positions = std::max<std::int64_t>(positions, append.stats.total_len.back());
  }
  append.operands.page_size = places.paged() ? static_cast<std::int32_t>(cache.k.shape[2]) : 0;
  append.operands.rotary = check_key_rotary(fresh.rotary, tensors.k_cache, positions, report);
  if (!report.empty() || !check_slots(append.runs, append.operands.page_size, report)) return std::nullopt;
  return append;
}

}  // namespace
}  // namespace engine

Result<AppendStats> append_kv(const KvCache& cache, const NewKeys& fresh) {
  return engine::guarded("append_kv", [&]() -> Result<AppendStats> {
    engine::Report report("append_kv");
    std::optional<engine::AppendCall> append = engine::check_append(cache, fresh, report);
    if (!append) return report.take();
    runtime::append(append->operands, append->runs, runtime::threads_of(fresh.threads));
    return std::move(append->stats);
  });
}

}  // namespace flexjit
