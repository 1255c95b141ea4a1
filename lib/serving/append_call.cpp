// A slot is an entry of the cache, or a page of it: whoever appends to one has it for itself, since rows before the new ones
// are keys that are there already.
#include "serving/append_call.h"

#include <algorithm>
#include <span>
#include <string>
#include <tuple>

#include "call/expected_tensor.h"
#include "call/rotary.h"
#include "support/dtype.h"

namespace flexjit::engine {

namespace {

plan::TensorArg tensor_arg(const TensorView& view) {
  return {const_cast<void*>(view.data), view.strides[0], view.strides[1], view.strides[2]};
}

// Rows of a run that lie in one entry of the cache.
struct Slot {
  std::int64_t entry = 0;
  std::int64_t begin = 0, end = 0;  // rows of it
  std::int32_t b = 0;

  bool operator<(const Slot& other) const { return std::tie(entry, b, begin) < std::tie(other.entry, other.b, other.begin); }
};

void add_slots(const runtime::NewKeyRun& run, std::int32_t page_size, std::vector<Slot>& slots) {
  const std::int32_t end = run.key + run.count;
  for (std::int32_t key = run.key; key < end;) {
    const plan::Sequence::Place place = run.sequence.key(key, page_size);
    const std::int64_t next = page_size == 0 ? end : std::min<std::int64_t>(end, key + page_size - place.row);
    slots.push_back({place.batch, place.row, place.row + next - key, run.sequence.b});
    key = static_cast<std::int32_t>(next);
  }
}

}  // namespace

void check_cache_dtype(const char* name, DType dtype, Report& report) {
  if (!support::is_float(dtype) && dtype != DType::kI8)
    report.add(Finding::kUnsupportedDType, name, name_of(dtype), "f32, f64, f16, bf16, i8, e4m3 or e5m2");
}

plan::RotaryArg check_key_rotary(const Rotary* rotary, const TensorView& k_cache, std::int64_t positions, Report& report) {
  if (rotary == nullptr) return {};
  if (size_of(k_cache.dtype) == 1)
    report.add(Finding::kUnsupportedDType, "cache.k", name_of(k_cache.dtype), "f32, f64, f16 or bf16 where keys rotate");
  return check_rotary(*rotary, k_cache.shape[3], positions, report);
}

// Longer than 40 lines with its table, whose rows must be seen together.
std::optional<runtime::AppendOperands> check_append_tensors(const AppendTensors& t, Report& report) {
  constexpr const char *kCached = "(cache_batch or num_pages, kv_heads, capacity or page_size, dim)",
                       *kNew = "(batch, kv_heads, new_len, dim)";
  const DType dtype = t.k_cache.dtype;
  const Dimension batch{"batch", t.batch, t.owner}, rows{"new_len", t.k.shape[2], "fresh.k"};
  const Dimension entries{"batch", t.k_cache.shape[0], "cache.k"}, heads{"kv_heads", t.k_cache.shape[1], "cache.k"};
  const Dimension capacity{"rows", t.k_cache.shape[2], "cache.k"};
  const Dimension k_dim{"dim", t.k_cache.shape[3], "cache.k"}, v_dim{"dim", t.v_cache.shape[3], "cache.v"};
  const Expected k_cache{"cache.k", dtype, kCached, {entries, heads, capacity, k_dim}};
  const Expected v_cache{"cache.v", dtype, kCached, {entries, heads, capacity, v_dim}};
  const Expected k{"fresh.k", dtype, kNew, {batch, heads, rows, k_dim}};
  const Expected v{"fresh.v", dtype, kNew, {batch, heads, rows, v_dim}};
  const std::pair<const Expected*, const TensorView*> all[] = {
      {&k_cache, &t.k_cache}, {&v_cache, &t.v_cache}, {&k, &t.k}, {&v, &t.v}};
  check_cache_dtype("cache.k", dtype, report);
  bool ranks_fit = true;
  for (const auto& [expected, view] : all) ranks_fit = check_rank(*expected, *view, report) && ranks_fit;
  if (!ranks_fit) return std::nullopt;
  for (const auto& [expected, view] : all) {
    if (expected == &k_cache || expected == &v_cache)
      check_output(*expected, *view, report);
    else
      check_tensor(*expected, *view, report);
    check_inner_stride(expected->name, *view, report);
  }
  if (!report.empty()) return std::nullopt;
  const Named k_written{"cache.k", t.k_cache}, v_written{"cache.v", t.v_cache};
  for (const Named& fresh : {Named{"fresh.k", t.k}, Named{"fresh.v", t.v}}) {
    check_apart(fresh, k_written, report);
    check_apart(fresh, v_written, report);
  }
  check_apart(k_written, v_written, report);
  if (!report.empty()) return std::nullopt;
  return runtime::AppendOperands{.k_cache = tensor_arg(t.k_cache),
                                 .v_cache = tensor_arg(t.v_cache),
                                 .k = tensor_arg(t.k),
                                 .v = tensor_arg(t.v),
                                 .k_type = {dtype, t.k_cache.shape[3]},
                                 .v_type = {dtype, t.v_cache.shape[3]},
                                 .kv_heads = static_cast<std::int32_t>(t.k_cache.shape[1])};
}

bool check_cache_places(const KeyPlaces& places, std::int64_t batch, const char* owner, const AppendTensors& tensors,
                        Report& report) {
  check_place_sizes(places, batch, owner, report);
  if (places.paged()) {
    check_page_tensor("cache.k", tensors.k_cache, report);
    check_page_tensor("cache.v", tensors.v_cache, report);
  } else if (!places.cache_batch_idx.given() && tensors.k_cache.shape[0] != batch) {
    report.add(Finding::kTensorShape, "cache.k", "batch", tensors.k_cache.shape[0], owner, batch);
  }
  if (!report.empty() || !check_place_numbers(places, batch, tensors.k_cache, report)) return false;
  for (std::int64_t b = 0; places.paged() && b < batch; ++b) {
    if (!check_pages(places, b, tensors.k_cache.shape[0], report)) return false;
  }
  return true;
}

std::optional<runtime::NewKeyRun> place_keys(const KeyPlaces& places, const NewRange& range, const TensorView& k_cache,
                                             Report& report) {
  const std::int64_t rows = k_cache.shape[2], b = range.b, end = range.key + range.count;
  runtime::NewKeyRun run{.sequence = {}, .first = range.first};
  run.sequence.b = static_cast<std::int32_t>(b);
  std::int64_t room = rows;
  std::string who = "its entry of cache.k holds";
  if (places.paged()) {
    const std::span<const std::int32_t> pages = places.pages_of(b);
    run.sequence.pages = pages.data();
    room = static_cast<std::int64_t>(pages.size()) * rows;
    who = fmt::format("its {} pages in {} hold", pages.size(), places.table().name);
  } else {
    run.sequence.kv_batch = places.cache_batch_idx.given() ? places.cache_batch_idx[b] : b;
    run.sequence.kv_row = places.cache_leftpad.given() ? places.cache_leftpad[b] : 0;
    room = rows - run.sequence.kv_row;
  }
  if (end > std::min(room, kMaxLength)) {
    report.add(Finding::kCacheCapacity, b, end, range.count, who, std::min(room, kMaxLength));
    return std::nullopt;
  }
  run.key = static_cast<std::int32_t>(range.key);
  run.count = static_cast<std::int32_t>(range.count);
  if (!places.paged() || range.count == 0) return run;
  for (std::int64_t page = range.key / rows; page * rows < end; ++page) {
    if (run.sequence.pages[page] >= 0) continue;
    report.add(Finding::kSequenceIndex, places.table().name, places.entry(b, static_cast<std::size_t>(page)),
               run.sequence.pages[page], fmt::format("the page of key {} of sequence {}", std::max(range.key, page * rows), b));
    return std::nullopt;
  }
  return run;
}

bool check_slots(std::span<const runtime::NewKeyRun> runs, std::int32_t page_size, Report& report) {
  std::vector<Slot> slots;
  for (const runtime::NewKeyRun& run : runs) add_slots(run, page_size, slots);
  std::ranges::sort(slots, std::less<>{});
  const auto meet = [](const Slot& one, const Slot& next) {
    return one.entry == next.entry && (one.b != next.b || next.begin < one.end);
  };
  const auto found = std::ranges::adjacent_find(slots, meet);
  if (found == slots.end()) return true;
  report.add(Finding::kSharedSlot, found->b, std::next(found)->b, page_size > 0 ? "page" : "entry", found->entry);
  return false;
}

}  // namespace flexjit::engine
