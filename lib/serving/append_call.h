// A cache and new keys -> the runs of rows that are to be written, checked before anything is.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "call/key_places.h"
#include "flexjit/kv_cache.h"
#include "runtime/rows/append.h"

namespace flexjit::engine {

// One that passed all checks.
struct AppendCall {
  runtime::AppendOperands operands;
  std::vector<runtime::NewKeyRun> runs;
  AppendStats stats;
};

// The tensors of keys and values, against each other. `batch` of new rows is compared with `owner`'s.
struct AppendTensors {
  TensorView k_cache, v_cache, k, v;
  std::int64_t batch = 0;
  const char* owner = "";
};
// What can be kept: floats, and what quantize_kv makes of them.
void check_cache_dtype(const char* name, DType dtype, Report& report);
// Of keys at `positions` positions at most; null: they are not rotated.
plan::RotaryArg check_key_rotary(const Rotary* rotary, const TensorView& k_cache, std::int64_t positions, Report& report);
// No value where the report has findings; sequences, pages and rotary are left out.
std::optional<runtime::AppendOperands> check_append_tensors(const AppendTensors& tensors, Report& report);

// `batch` sequences in caches or pages: all but lengths. `owner` says how many.
bool check_cache_places(const KeyPlaces& places, std::int64_t batch, const char* owner, const AppendTensors& tensors,
                        Report& report);

// Keys [key, key + count) of sequence b, from rows `first` on.
struct NewRange {
  std::int64_t b = 0;
  std::int64_t key = 0, count = 0;
  plan::Sequence::Place first{};
};
// Where they go: within what the cache or the pages of b hold, and into no hole. No value where it was wrong.
std::optional<runtime::NewKeyRun> place_keys(const KeyPlaces& places, const NewRange& range, const TensorView& k_cache,
                                             Report& report);

// That no two runs meet.
bool check_slots(std::span<const runtime::NewKeyRun> runs, std::int32_t page_size, Report& report);

}  // namespace flexjit::engine
