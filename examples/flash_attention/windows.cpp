// window_size: how many keys each query sees, and windows that are none.
#include <algorithm>
#include <array>
#include <cstdio>

#include "tensor.h"

using flexjit::DType, flexjit::flash_attn_func;

namespace {

constexpr std::int32_t kLength = 2048;

struct Case {
  const char* name;
  std::array<int, 2> window;
  bool causal;
  std::int64_t most, all;  // keys of a query, pairs
};

// The pairs that the mask of such a call allows: of the row with most of them, and of all.
std::array<std::int64_t, 2> keys_of(flexjit::Engine& engine, const Case& one) {
  flexjit::AttentionSpec spec;
  if (one.window[0] >= 0) spec.window = flexjit::Window{one.window[0], one.window[1]};
  const flexjit::Attention attention = engine.compile(spec).value();
  const std::vector<std::uint8_t> allowed =
      attention.mask_elements({.q_len = kLength, .kv_len = kLength}, {}, {0, kLength}, {0, kLength}).value();
  std::array<std::int64_t, 2> counts{};
  for (auto row = allowed.begin(); row != allowed.end(); row += kLength) {
    const std::int64_t keys = std::count(row, row + kLength, 1);
    counts = {std::max(counts[0], keys), counts[1] + keys};
  }
  return counts;
}

}  // namespace

void windows(flexjit::Engine& engine, Findings& findings) {
  std::puts("sliding_window_attention: 2048 tokens, 8 heads of 64");
  const std::vector<std::int64_t> shape{1, kLength, 8, 64};
  const Tensor q = Tensor::random(DType::kF32, shape, 11), k = Tensor::random(DType::kF32, shape, 12),
               v = Tensor::random(DType::kF32, shape, 13);
  const Case cases[] = {
      {"window (-1, -1):           ", {-1, -1}, false, 2048, std::int64_t{2048} * 2048},
      {"window (128, 128):         ", {128, 128}, false, 257, 509824},
      {"window (128, 0) and causal:", {128, 0}, true, 129, 255936},
  };
  for (const Case& one : cases) {
    Tensor out(DType::kF32, shape);
    flash_attn_func(engine, q.view(), k.view(), v.view(), {.out = out.view(), .causal = one.causal, .window_size = one.window})
        .value();
    const auto allowed = [&](std::int64_t query, std::int64_t key) {
      return one.window[0] < 0 || (query - key <= one.window[0] && key - query <= one.window[1]);
    };
    const auto [most, all] = keys_of(engine, one);
    findings.show(std::string(one.name) + " up to " + std::to_string(most) + " keys a query, " + std::to_string(all) + " pairs",
                  most == one.most && all == one.all &&
                      worst_difference(out, q, k, v, {.scale = 0.125, .allowed = allowed}, kLength, 301) < 1e-5);
  }
  Tensor without(DType::kF32, shape), unbounded(without), wide(without);
  flash_attn_func(engine, q.view(), k.view(), v.view(), {.out = without.view()}).value();
  flash_attn_func(engine, q.view(), k.view(), v.view(), {.out = unbounded.view(), .window_size = {-1, -1}}).value();
  flash_attn_func(engine, q.view(), k.view(), v.view(), {.out = wide.view(), .window_size = {kLength, kLength}}).value();
  findings.show("windows of (-1, -1) and (2048, 2048) are none, bit for bit", without == unbounded && without == wide);
}
