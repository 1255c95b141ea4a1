// append_kv_at: tokens that say themselves which key of which sequence they are. Neighbours that follow each other are one run.
#include <utility>

#include "diagnostics/guard.h"
#include "flexjit/kv_cache.h"
#include "runtime/parallel.h"
#include "serving/append_call.h"

namespace flexjit {

namespace engine {

namespace {

struct Positioned {
  KeyPlaces places;
  Ints batch_indices, positions, last_page_len;

  std::int64_t batch() const { return places.page_indptr.size() - 1; }
  // Keys that sequence b has afterwards.
  std::int64_t end_of(std::int64_t b, std::int64_t page_size) const {
    const auto pages = static_cast<std::int64_t>(places.pages_of(b).size());
    return pages == 0 ? 0 : (pages - 1) * page_size + last_page_len[b];
  }
};

bool check_tensors_of_tokens(const Positioned& p, const PositionedKeys& fresh, Report& report) {
  check_place_tensors(p.places, report);
  check_ways(p.places, report);
  if (p.places.length.given() || p.places.block_table.given() || !p.places.page_indptr.given())
    report.add(Finding::kSequenceOption, "append_kv_at takes page_indptr and page_indices, and no other lengths or tables");
  for (const Ints* ints : {&p.batch_indices, &p.positions, &p.last_page_len}) {
    if (!ints->given()) report.add(Finding::kSequenceOption, fmt::format("fresh.{} is absent", ints->name));
    check_ints(*ints, 1, ints == &p.last_page_len ? "(batch)" : "(tokens)", report);
  }
  if (!report.empty() || fresh.k.rank != kMaxRank) return report.empty();
  for (const Ints* ints : {&p.batch_indices, &p.positions}) check_size(*ints, fresh.k.shape[2], "tokens", "fresh.k", report);
  check_size(p.last_page_len, p.batch(), "sequences", "page_indptr (less 1)", report);
  return report.empty();
}

bool check_last_pages(const Positioned& p, std::int64_t page_size, Report& report) {
  for (std::int64_t b = 0; b < p.batch(); ++b) {
    const bool has_pages = !p.places.pages_of(b).empty();
    const std::int64_t least = has_pages ? 1 : 0, most = has_pages ? page_size : 0, last = p.last_page_len[b];
    if (last >= least && last <= most) continue;
    report.add(Finding::kSequenceIndex, p.last_page_len.name, b, last,
               has_pages ? fmt::format("1 to {}, the rows of a page", page_size) : "0, as there is no page");
    return false;
  }
  return true;
}

// Tokens without a sequence are in none.
std::optional<std::vector<NewRange>> ranges_of_tokens(const Positioned& p, std::int64_t page_size, Report& report) {
  std::vector<NewRange> ranges;
  for (std::int64_t i = 0; i < p.batch_indices.size(); ++i) {
    const std::int64_t b = p.batch_indices[i], key = p.positions[i];
    if (b < 0) continue;
    if (b >= p.batch()) {
      report.add(Finding::kSequenceIndex, p.batch_indices.name, i, b,
                 fmt::format("below {}, the number of sequences, or negative for none", p.batch()));
      return std::nullopt;
    }
    const std::int64_t end = p.end_of(b, page_size);
    if (key < 0 || key >= end) {
      report.add(Finding::kSequenceIndex, p.positions.name, i, key, fmt::format("below {}, the keys of sequence {}", end, b));
      return std::nullopt;
    }
    const bool follows = !ranges.empty() && ranges.back().b == b && ranges.back().key + ranges.back().count == key &&
                         ranges.back().first.row + ranges.back().count == i;
    if (follows)
      ++ranges.back().count;
    else
      ranges.push_back({.b = b, .key = key, .count = 1, .first = {0, i}});
  }
  return ranges;
}

std::optional<AppendCall> check_positioned(const KvCache& cache, const PositionedKeys& fresh, Report& report) {
  const Positioned p{KeyPlaces::of("past_len", cache.past_len, cache),
                     {"batch_indices", &fresh.batch_indices},
                     {"positions", &fresh.positions},
                     {"last_page_len", &fresh.last_page_len}};
  check_threads("fresh.threads", fresh.threads, report);
  if (!check_tensors_of_tokens(p, fresh, report)) return std::nullopt;
  const AppendTensors tensors{as_const(cache.k), as_const(cache.v), fresh.k, fresh.v, 1, "append_kv_at"};
  const auto operands = check_append_tensors(tensors, report);
  if (!operands || !check_cache_places(p.places, p.batch(), "page_indptr (less 1)", tensors, report)) return std::nullopt;
  const std::int64_t page_size = cache.k.shape[2];
  if (!check_last_pages(p, page_size, report)) return std::nullopt;
  const auto ranges = ranges_of_tokens(p, page_size, report);
  if (!ranges) return std::nullopt;

  AppendCall append{.operands = *operands, .runs = {}, .stats = {}};
  std::int64_t positions = 0;
  for (const NewRange& range : *ranges) {
    const auto run = place_keys(p.places, range, tensors.k_cache, report);
    if (!run) return std::nullopt;
    append.runs.push_back(*run);
    positions = std::max(positions, range.key + range.count);
  }
  for (std::int64_t b = 0; b < p.batch(); ++b)
    append.stats.total_len.push_back(static_cast<std::int32_t>(p.end_of(b, page_size)));
  append.operands.page_size = static_cast<std::int32_t>(page_size);
  append.operands.rotary = check_key_rotary(fresh.rotary, tensors.k_cache, positions, report);
  if (!report.empty() || !check_slots(append.runs, append.operands.page_size, report)) return std::nullopt;
  return append;
}

}  // namespace
}  // namespace engine

Result<AppendStats> append_kv_at(const KvCache& cache, const PositionedKeys& fresh) {
  return engine::guarded("append_kv_at", [&]() -> Result<AppendStats> {
    engine::Report report("append_kv_at");
    std::optional<engine::AppendCall> append = engine::check_positioned(cache, fresh, report);
    if (!append) return report.take();
    runtime::append(append->operands, append->runs, runtime::threads_of(fresh.threads));
    return std::move(append->stats);
  });
}

Result<TokenPlaces> get_batch_indices_positions(std::span<const std::int32_t> append_indptr,
                                                std::span<const std::int32_t> total_len) {
  constexpr const char* kCall = "get_batch_indices_positions";
  return engine::guarded(kCall, [&]() -> Result<TokenPlaces> {
    using engine::Finding;
    if (append_indptr.size() != total_len.size() + 1)
      return engine::single_finding(kCall, Finding::kTensorShape, "append_indptr", "numbers", append_indptr.size(),
                                    "a call of these total_len", total_len.size() + 1);
    if (append_indptr.front() != 0)
      return engine::single_finding(kCall, Finding::kSequenceIndex, "append_indptr", 0, append_indptr.front(), "0");
    TokenPlaces places;
    for (std::size_t b = 0; b < total_len.size(); ++b) {
      const std::int64_t count = std::int64_t{append_indptr[b + 1]} - append_indptr[b];
      if (count < 0)
        return engine::single_finding(kCall, Finding::kSequenceIndex, "append_indptr", b + 1, append_indptr[b + 1],
                                      fmt::format("no less than {}, the one before", append_indptr[b]));
      if (total_len[b] < count)
        return engine::single_finding(kCall, Finding::kSequenceIndex, "total_len", b, total_len[b],
                                      fmt::format("no less than {}, the number of its new tokens", count));
      for (std::int64_t i = 0; i < count; ++i) {
        places.batch_indices.push_back(static_cast<std::int32_t>(b));
        places.positions.push_back(static_cast<std::int32_t>(total_len[b] - count + i));
      }
    }
    return places;
  });
}

}  // namespace flexjit
