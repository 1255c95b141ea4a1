// flash_attn_with_kvcache: a prompt, ten tokens one after the other, fewer heads of keys, and a cache that is only read.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>

#include "tensor.h"

using flexjit::DType, flexjit::flash_attn_with_kvcache;

namespace {

// A cache of one sequence, and how many of its rows are in use.
struct Cache {
  Tensor k, v;
  std::int32_t length = 0;

  Cache(std::int64_t rows, std::int64_t heads) : k(DType::kF32, {1, rows, heads, 64}), v(k) {}
  flexjit::MutableTensorView length_view() { return {&length, DType::kI32, {1}}; }
  // New keys go in place behind those that are there.
  void append_and_attend(flexjit::Engine& engine, const flexjit::TensorView& q, const flexjit::TensorView& new_k,
                         const flexjit::TensorView& new_v, Tensor& out) {
    flash_attn_with_kvcache(engine, q, k.view(), v.view(),
                            {.out = out.view(),
                             .k = new_k,
                             .v = new_v,
                             .cache_seqlens = flexjit::TensorView(length_view()),
                             .causal = true,
                             .return_cache_seqlens = length_view()})
        .value();
  }
};

void prompt_and_tokens(flexjit::Engine& engine, Findings& findings) {
  constexpr std::int64_t kRows = 128, kPrompt = 8, kSteps = 10;
  std::puts("kv_cache_inference: 8 heads of 64, room for 128 tokens");
  const std::vector<std::int64_t> all{1, kPrompt + kSteps, 8, 64};
  const Tensor q = Tensor::random(DType::kF32, all, 31), k = Tensor::random(DType::kF32, all, 32),
               v = Tensor::random(DType::kF32, all, 33), empty(DType::kF32, {1, kRows, 8, 64});
  // What each token must get: causal attention over all that came before, computed at once.
  Tensor recomputed(DType::kF32, all);
  flash_attn_func(engine, q.view(), k.view(), v.view(), {.out = recomputed.view(), .causal = true}).value();
  const auto near_row = [&](const Tensor& out, std::int64_t row, std::int64_t token) {
    double worst = 0;
    for (std::int64_t head = 0; head < 8; ++head)
      for (std::int64_t d = 0; d < 64; ++d)
        worst = std::max(worst, std::abs(out.at(0, row, head, d) - recomputed.at(0, token, head, d)));
    return worst < 1e-5;
  };

  Cache cache(kRows, 8);
  Tensor out(DType::kF32, {1, kPrompt, 8, 64});
  cache.append_and_attend(engine, q.rows(0, kPrompt), k.rows(0, kPrompt), v.rows(0, kPrompt), out);
  bool same = true;
  for (std::int64_t row = 0; row < kPrompt; ++row) same = same && near_row(out, row, row);
  findings.show("a prompt of 8 tokens: output " + out.extents() + ", causal attention over 8 keys", same);
  findings.show("rows 0 to 7 of the cache are the new keys and values, the others are untouched",
                cache.k.has_rows_of(k, 0, kPrompt) && cache.v.has_rows_of(v, 0, kPrompt) &&
                    cache.k.has_rows_of(empty, kPrompt, kRows) && cache.v.has_rows_of(empty, kPrompt, kRows));

  same = true;
  for (std::int64_t token = kPrompt; token < kPrompt + kSteps; ++token) {
    Tensor one(DType::kF32, {1, 1, 8, 64});
    cache.append_and_attend(engine, q.rows(token, token + 1), k.rows(token, token + 1), v.rows(token, token + 1), one);
    same = same && near_row(one, 0, token);
  }
  std::array<char, 64> used{};
  std::snprintf(used.data(), used.size(), "%d/%d (%.1f%%)", cache.length, static_cast<int>(kRows),
                100.0 * cache.length / kRows);
  findings.show(std::string("10 tokens one after the other: rows in use ") + used.data() + ", each as recomputed",
                same && cache.length == kPrompt + kSteps);
}

void grouped_heads(flexjit::Engine& engine, Findings& findings) {
  const Tensor q = Tensor::random(DType::kF32, {1, 4, 8, 64}, 41), k = Tensor::random(DType::kF32, {1, 4, 2, 64}, 42),
               v = Tensor::random(DType::kF32, k.shape, 43);
  Cache cache(64, 2);
  const Cache of_all_heads(64, 8);
  Tensor out(DType::kF32, q.shape);
  cache.append_and_attend(engine, q.view(), k.view(), v.view(), out);
  const double saving = 1 - static_cast<double>(cache.k.bytes.size()) / static_cast<double>(of_all_heads.k.bytes.size());
  const auto causal = [](std::int64_t query, std::int64_t key) { return query >= key; };
  findings.show("8 heads of queries, 2 of keys, room for 64 tokens: output " + out.extents() + ", saving " +
                    std::to_string(std::lround(100 * saving)) + "%",
                saving == 0.75 && worst_difference(out, q, k, v, {.scale = 0.125, .allowed = causal}, 4) < 1e-5);
}

void read_only(flexjit::Engine& engine, Findings& findings) {
  const Tensor q = Tensor::random(DType::kF32, {1, 1, 4, 64}, 51), k = Tensor::random(DType::kF32, {1, 16, 4, 64}, 52),
               v = Tensor::random(DType::kF32, k.shape, 53);
  Tensor k_cache = k, v_cache = v, out(DType::kF32, q.shape);
  flash_attn_with_kvcache(engine, q.view(), k_cache.view(), v_cache.view(), {.out = out.view(), .cache_seqlens = 16}).value();
  findings.show("a cache of 16 tokens without new ones: plain attention over 16 keys, nothing written",
                k_cache == k && v_cache == v && worst_difference(out, q, k, v, {.scale = 0.125}, 16) < 1e-5);
}

}  // namespace

void kv_cache(flexjit::Engine& engine, Findings& findings) {
  prompt_and_tokens(engine, findings);
  grouped_heads(engine, findings);
  read_only(engine, findings);
}
