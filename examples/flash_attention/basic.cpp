// flash_attn_func: full, causal, with a scale, and with fewer heads of keys than of queries.
#include <algorithm>
#include <cstdio>

#include "tensor.h"

using flexjit::DType, flexjit::flash_attn_func;

namespace {

constexpr double kHalf = 2e-3, kSingle = 1e-5;  // of outputs about 1
bool causal(std::int64_t query, std::int64_t key) { return query >= key; }

void basic_attention(flexjit::Engine& engine, Findings& findings) {
  std::puts("basic_attention: batch 2, 1024 tokens, 8 heads of 64, fp16");
  const std::vector<std::int64_t> shape{2, 1024, 8, 64};
  const Tensor q = Tensor::random(DType::kF16, shape, 1), k = Tensor::random(DType::kF16, shape, 2),
               v = Tensor::random(DType::kF16, shape, 3);
  Tensor full(DType::kF16, shape), masked(full), scaled(full);
  flash_attn_func(engine, q.view(), k.view(), v.view(), {.out = full.view()}).value();
  flash_attn_func(engine, q.view(), k.view(), v.view(), {.out = masked.view(), .causal = true}).value();
  flash_attn_func(engine, q.view(), k.view(), v.view(), {.out = scaled.view(), .softmax_scale = 0.1}).value();
  findings.show("full:                " + full.extents(), worst_difference(full, q, k, v, {.scale = 0.125}, 1024, 211) < kHalf);
  findings.show("causal:              " + masked.extents(),
                worst_difference(masked, q, k, v, {.scale = 0.125, .allowed = causal}, 1024, 211) < kHalf);
  findings.show("softmax_scale = 0.1: " + scaled.extents(),
                worst_difference(scaled, q, k, v, {.scale = 0.1}, 1024, 211) < kHalf);
  findings.show("a scale of 0.1 is not the default of 0.125", scaled != full);
  bool same = true;
  for (std::int64_t d = 0; d < 64; ++d) {
    same = same && masked.at(1, 0, 3, d) == v.at(1, 0, 3, d);
    const double difference = masked.at(1, 1023, 3, d) - full.at(1, 1023, 3, d);
    same = same && difference < kHalf && difference > -kHalf;
  }
  findings.show("causal: row 0 is v[0], the last row that of the full call", same);
}

void custom_scale(flexjit::Engine& engine, Findings& findings) {
  const std::vector<std::int64_t> shape{1, 40, 2, 32};
  const Tensor q = Tensor::random(DType::kF32, shape, 4), k = Tensor::random(DType::kF32, shape, 5),
               v = Tensor::random(DType::kF32, shape, 6);
  for (const double scale : {0.0, -0.25}) {
    Tensor out(DType::kF32, shape);
    flash_attn_func(engine, q.view(), k.view(), v.view(), {.out = out.view(), .softmax_scale = scale}).value();
    findings.show(scale == 0 ? "a scale of 0 gives the mean of the values" : "a scale below 0",
                  worst_difference(out, q, k, v, {.scale = scale}, 40) < kSingle);
  }
}

// `heads` heads in the place of `of`'s, each repeated.
Tensor expanded(const Tensor& of, std::int64_t heads) {
  Tensor all(of.dtype, {of.shape[0], of.shape[1], heads, of.shape[3]});
  const std::size_t row = static_cast<std::size_t>(of.shape[3]) * flexjit::size_of(of.dtype);
  const auto group = static_cast<std::size_t>(heads / of.shape[2]);
  for (std::size_t i = 0; i * row < all.bytes.size(); ++i) {
    const auto from = of.bytes.begin() + static_cast<std::ptrdiff_t>(i / group * row);
    std::copy(from, from + static_cast<std::ptrdiff_t>(row), all.bytes.begin() + static_cast<std::ptrdiff_t>(i * row));
  }
  return all;
}

void gqa_attention(flexjit::Engine& engine, Findings& findings) {
  std::puts("gqa_attention: batch 2, 512 tokens, heads of 64, causal");
  const Tensor q = Tensor::random(DType::kF32, {2, 512, 8, 64}, 7);
  for (const std::int64_t heads : {1, 2, 8}) {
    const Tensor k = Tensor::random(DType::kF32, {2, 512, heads, 64}, 8), v = Tensor::random(DType::kF32, k.shape, 9);
    Tensor out(DType::kF32, q.shape), of_expanded(out);
    flash_attn_func(engine, q.view(), k.view(), v.view(), {.out = out.view(), .causal = true}).value();
    const Tensor k_all = expanded(k, 8), v_all = expanded(v, 8);
    flash_attn_func(engine, q.view(), k_all.view(), v_all.view(), {.out = of_expanded.view(), .causal = true}).value();
    findings.show(
        "8 heads of queries, " + std::to_string(heads) + " of keys: ratio " + std::to_string(8 / heads) + ", output " +
            out.extents() + ", as with repeated heads",
        out == of_expanded && worst_difference(out, q, k, v, {.scale = 0.125, .allowed = causal}, 512, 101) < kSingle);
  }
}

}  // namespace

void basic(flexjit::Engine& engine, Findings& findings) {
  basic_attention(engine, findings);
  custom_scale(engine, findings);
  gqa_attention(engine, findings);
}
