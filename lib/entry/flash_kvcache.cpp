// flash_attn_with_kvcache: lengths before the append -> what append_kv and a run are told. All checks come before the append,
// so that an error leaves the cache as it was.
#include <algorithm>
#include <vector>

#include "call/call.h"
#include "call/expected_tensor.h"
#include "call/numbers.h"
#include "call/rotary.h"
#include "diagnostics/guard.h"
#include "entry/flash_call.h"
#include "entry/layouts.h"
#include "flexjit/kv_cache.h"
#include "runtime/parallel.h"
#include "runtime/rows/rotary.h"

namespace flexjit {

namespace engine {

namespace {

constexpr int kMaxSplits = 128;

struct CacheCall {
  const FlashAttnKvcacheOptions& options;
  TensorView q{}, k{}, v{};  // heads first, as all that follows; k and v absent: nothing is appended
  MutableTensorView k_cache{}, v_cache{}, out{}, lse{};
  std::int64_t capacity = 0;                  // of a sequence
  std::vector<std::int32_t> past{}, total{};  // rows in use before and after; total less the left pad

  std::int64_t batch() const { return q.shape[0]; }
  bool appends() const { return options.k.data != nullptr; }
  bool rotates() const { return options.rotary_cos.data != nullptr; }
  std::int64_t fresh() const { return appends() ? k.shape[2] : 0; }
};

void take_views(const TensorView& q, const MutableTensorView& k_cache, const MutableTensorView& v_cache, CacheCall& call,
                Report& report) {
  const FlashAttnKvcacheOptions& options = call.options;
  const auto take = [&](const char* name, const auto& view, auto& to) {
    if (const auto turned = heads_first(name, view, Lengths::kBatch, report)) to = *turned;
  };
  take("q", q, call.q);
  take("k_cache", k_cache, call.k_cache);
  take("v_cache", v_cache, call.v_cache);
  take("out", options.out, call.out);
  if (const auto lse = lse_of("softmax_lse", options.softmax_lse, Lengths::kBatch, report)) call.lse = *lse;
  if (options.k.data != nullptr) take("k", options.k, call.k);
  if (options.v.data != nullptr) take("v", options.v, call.v);
}

void check_options(const CacheCall& call, Report& report) {
  const FlashAttnKvcacheOptions& options = call.options;
  const auto refuse = [&](bool wrong, const char* text) {
    if (wrong) report.add(Finding::kSequenceOption, text);
  };
  refuse((options.k.data == nullptr) != (options.v.data == nullptr), "k and v are given together or not at all");
  refuse(call.appends() && !options.cache_seqlens.given(),
         "k is given without cache_seqlens; say behind which row of the cache it goes");
  refuse((options.rotary_cos.data == nullptr) != (options.rotary_sin.data == nullptr),
         "rotary_cos and rotary_sin are given together or not at all");
  refuse(call.rotates() && !call.appends(), "rotary_cos is given without k and v; keys in the cache are rotated already");
  refuse(options.return_softmax_lse && options.softmax_lse.data == nullptr,
         "return_softmax_lse is set, but softmax_lse has no data to write it to");
  const Expected lengths{"return_cache_seqlens", DType::kI32, "(batch)", {{"sequences", call.batch(), "q"}}};
  if (options.return_cache_seqlens.data != nullptr && check_rank(lengths, options.return_cache_seqlens, report))
    check_output(lengths, options.return_cache_seqlens, report);
  if (options.num_splits < 0 || options.num_splits > kMaxSplits)
    report.add(Finding::kBadOption, "num_splits", options.num_splits, fmt::format("give 0 to {}", kMaxSplits));
}

// Of the tensors of numbers that are read here; the rest is looked at by the run.
void check_numbers(const CacheCall& call, const Ints& seqlens, const Ints& leftpad, const Ints& table, Report& report) {
  check_ints(seqlens, 1, "(batch)", report);
  check_ints(leftpad, 1, "(batch)", report);
  check_ints(table, 2, "(batch, max_blocks)", report);
  if (!report.empty()) return;
  for (const Ints* ints : {&seqlens, &leftpad, &table}) check_size(*ints, call.batch(), "sequences", "q", report);
}

void check_room(const CacheCall& call, Report& report) {
  const bool paged = call.options.block_table.data != nullptr;
  for (std::size_t b = 0; b < call.past.size(); ++b) {
    if (call.past[b] + call.fresh() <= call.capacity) continue;
    report.add(Finding::kCacheCapacity, b, call.past[b] + call.fresh(), call.fresh(),
               paged ? "the pages of a row of block_table hold" : "an entry of k_cache holds", call.capacity);
    return;
  }
}

// `past` and `total`, once the tensors are looked at.
void take_lengths(const Ints& seqlens, const Ints& leftpad, CacheCall& call, Report& report) {
  const std::optional<int> of_all = call.options.cache_seqlens.of_all;
  const bool appends = call.appends();
  if (of_all && (*of_all < 0 || *of_all > call.capacity))
    report.add(Finding::kBadOption, "cache_seqlens", *of_all, fmt::format("it must be 0 to {}", call.capacity));
  check_range(seqlens, call.batch(), 0, [&](std::int64_t) { return call.capacity; }, report);
  if (appends && call.q.shape[2] > call.capacity)
    report.add(Finding::kBadOption, "seqlen_q", call.q.shape[2],
               fmt::format("where k is given it must be at most {}, what the cache holds", call.capacity));
  if (!report.empty()) return;
  for (std::int64_t b = 0; b < call.batch(); ++b) {
    const std::int64_t past = seqlens.given() ? seqlens[b] : of_all ? *of_all : call.capacity;
    call.past.push_back(static_cast<std::int32_t>(past));
    call.total.push_back(static_cast<std::int32_t>(std::min(past + call.fresh(), kMaxLength)));
  }
  check_room(call, report);
  check_range(leftpad, call.batch(), 0, [&](std::int64_t b) { return call.total[static_cast<std::size_t>(b)]; }, report);
  for (std::int64_t b = 0; b < call.batch() && leftpad.given() && report.empty(); ++b)
    call.total[static_cast<std::size_t>(b)] -= leftpad[b];
}

// What the run says of its keys is about the cache.
Diagnostics about_cache(Diagnostics found) {
  for (Diagnostic& one : found) {
    if (one.message.starts_with("k ") || one.message.starts_with("v ")) one.message.insert(1, "_cache");
  }
  return found;
}

void return_lengths(const CacheCall& call) {
  const MutableTensorView& to = call.options.return_cache_seqlens;
  for (std::int64_t b = 0; b < call.batch() && to.data != nullptr; ++b)
    static_cast<std::int32_t*>(to.data)[b * to.strides[0]] =
        static_cast<std::int32_t>(call.past[static_cast<std::size_t>(b)] + call.fresh());
}

// Queries at cache_seqlens, whatever the number of keys that are appended and the left pad.
runtime::RotatedQueries rotated(const CacheCall& call, const plan::RotaryArg& rotary, int threads) {
  std::vector<plan::Sequence> sequences;
  const auto q_len = static_cast<std::int32_t>(call.q.shape[2]);
  for (std::int32_t b = 0; b < call.batch(); ++b)
    sequences.push_back({.b = b, .q_len = q_len, .kv_len = call.past[static_cast<std::size_t>(b)] + q_len, .q_batch = b});
  plan::Operands operands{};
  operands.q = {const_cast<void*>(call.q.data), call.q.strides[0], call.q.strides[1], call.q.strides[2]};
  operands.num_heads = static_cast<std::int32_t>(call.q.shape[1]);
  operands.rotary = rotary;
  return runtime::rotate_queries(operands, {call.q.dtype, call.q.shape[3]}, call.batch(), q_len, sequences, threads);
}

// The tables as the append and the queries read them; findings where they do not reach.
plan::RotaryArg check_tables(const CacheCall& call, const Rotary& rotary, bool by_query, Report& report) {
  std::int64_t positions = 0;
  const std::int64_t furthest = std::max(call.fresh(), by_query ? call.q.shape[2] : std::int64_t{1});
  for (const std::int32_t past : call.past) positions = std::max(positions, past + furthest);
  plan::RotaryArg arg = check_rotary(rotary, call.q.shape[3], positions, report);
  arg.by_query = by_query;
  return arg;
}

Result<RunStats> attend_cache(Engine& engine, CacheCall& call, Report& report) {
  const FlashAttnKvcacheOptions& options = call.options;
  const bool dense = !options.cache_seqlens.given() && options.cache_batch_idx.data == nullptr &&
                     options.cache_leftpad.data == nullptr && options.block_table.data == nullptr;
  const Sequences sequences{.total_len = ints_view(call.total),
                            .cache_batch_idx = options.cache_batch_idx,
                            .cache_leftpad = options.cache_leftpad,
                            .block_table = options.block_table};
  FlashCall flash{.args = {.q = call.q,
                           .k = call.k_cache,
                           .v = call.v_cache,
                           .out = call.out,
                           .lse = call.lse,
                           .sinks = options.learnable_sink,
                           .sequences = dense ? nullptr : &sequences},
                  .flags = FlashFlags::of(options),
                  .seqlen_q = call.q.shape[2],
                  .seqlen_k = call.capacity};
  const Rotary rotary{options.rotary_cos, options.rotary_sin,
                      options.rotary_interleaved ? RotaryPairing::kInterleaved : RotaryPairing::kHalves};
  plan::RotaryArg tables{};
  if (call.rotates()) tables = check_tables(call, rotary, has_diagonal(flash), report);
  const Result<FlashPattern> pattern = find_pattern(engine, flash, report);
  if (!pattern) return pattern.diagnostics();
  flash.args.bindings = &pattern->bindings;
  runtime::RotatedQueries queries;
  if (call.appends()) {
    const Result<Call> checked = check_call(*pattern->attention.impl().pattern, flash.args);
    if (!checked) return about_cache(checked.diagnostics());
    if (call.rotates()) {
      queries = rotated(call, tables, runtime::threads_of(engine.options().threads));
      flash.args.q.data = queries.rows.data();
      flash.args.q.strides = {queries.tensor.stride_batch, queries.tensor.stride_head, queries.tensor.stride_row, 1};
    }
    const Result<AppendStats> appended = append_kv(
        {.k = call.k_cache,
         .v = call.v_cache,
         .past_len = ints_view(call.past),
         .cache_batch_idx = options.cache_batch_idx,
         .block_table = options.block_table},
        {.k = call.k, .v = call.v, .rotary = call.rotates() ? &rotary : nullptr, .threads = engine.options().threads});
    if (!appended) return appended.diagnostics();
  }
  const Result<RunStats> stats = pattern->attention.run(flash.args);
  if (!stats) return about_cache(stats.diagnostics());
  return_lengths(call);
  return stats;
}

Result<RunStats> check_and_attend(Engine& engine, CacheCall& call, Report& report) {
  const FlashAttnKvcacheOptions& options = call.options;
  const Ints seqlens{"cache_seqlens", &options.cache_seqlens.of_each};
  const Ints leftpad{"cache_leftpad", &options.cache_leftpad}, table{"block_table", &options.block_table};
  check_options(call, report);
  if (!report.empty()) return report.take();
  if (call.batch() == 0) report.add(Finding::kBadOption, "the batch of q", 0, "it must be at least 1");
  check_numbers(call, seqlens, leftpad, table, report);
  if (!report.empty()) return report.take();
  call.capacity = std::min(call.k_cache.shape[2] * (table.given() ? table.view->shape[1] : 1), kMaxLength);
  take_lengths(seqlens, leftpad, call, report);
  if (!report.empty()) return report.take();
  return attend_cache(engine, call, report);
}

}  // namespace
}  // namespace engine

Result<RunStats> flash_attn_with_kvcache(Engine& engine, const TensorView& q, const MutableTensorView& k_cache,
                                         const MutableTensorView& v_cache, const FlashAttnKvcacheOptions& options) {
  return engine::guarded("flash_attn_with_kvcache", [&]() -> Result<RunStats> {
    engine::Report report("flash_attn_with_kvcache");
    engine::CacheCall call{.options = options};
    engine::take_views(q, k_cache, v_cache, call, report);
    if (!report.empty()) return report.take();
    return engine::check_and_attend(engine, call, report);
  });
}

}  // namespace flexjit
