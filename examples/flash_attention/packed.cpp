// Queries, keys and values side by side in one tensor, read where they lie.
#include <cstdio>

#include "tensor.h"

using flexjit::DType, flexjit::PackedView;

namespace {

// Part `index` of (batch, seqlen, parts, heads, dim).
flexjit::TensorView part_of(const PackedView& all, std::int64_t index) {
  flexjit::TensorView part(all.data, all.dtype, {all.shape[0], all.shape[1], all.shape[3], all.shape[4]});
  part.data = static_cast<const float*>(all.data) + index * all.strides[2];
  part.strides = {all.strides[0], all.strides[1], all.strides[3], all.strides[4]};
  return part;
}

}  // namespace

void packed(flexjit::Engine& engine, Findings& findings) {
  std::puts("packed_variants");
  const Tensor qkv_rows = Tensor::random(DType::kF32, {2, 512, 3 * 8, 64}, 21);
  const PackedView qkv(qkv_rows.bytes.data(), DType::kF32, {2, 512, 3, 8, 64});
  Tensor of_packed(DType::kF32, {2, 512, 8, 64}), of_views(of_packed);
  flash_attn_qkvpacked_func(engine, qkv, {.out = of_packed.view(), .causal = true}).value();
  flash_attn_func(engine, part_of(qkv, 0), part_of(qkv, 1), part_of(qkv, 2), {.out = of_views.view(), .causal = true}).value();
  findings.show("qkv (2, 512, 3, 8, 64): output " + of_packed.extents() + ", the bits of three views", of_packed == of_views);

  const Tensor q = Tensor::random(DType::kF32, {2, 128, 8, 64}, 22),
               kv_rows = Tensor::random(DType::kF32, {2, 512, 2 * 8, 64}, 23);
  const PackedView kv(kv_rows.bytes.data(), DType::kF32, {2, 512, 2, 8, 64});
  Tensor crossed(DType::kF32, q.shape), crossed_views(crossed);
  flash_attn_kvpacked_func(engine, q.view(), kv, {.out = crossed.view()}).value();
  flash_attn_func(engine, q.view(), part_of(kv, 0), part_of(kv, 1), {.out = crossed_views.view()}).value();
  findings.show("q (2, 128, 8, 64), kv (2, 512, 2, 8, 64): output " + crossed.extents() + ", the bits of two views",
                crossed == crossed_views);
}
