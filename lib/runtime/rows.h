// The tensors of a call -> the rows and key runs of its work items: where positions become addresses. Kernels know neither
// batch strides nor heads, so that other ways to lay out queries and keys are other functions here.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "plan/kernel_key.h"
#include "plan/operands.h"

namespace flexjit::runtime {

// May lie outside the memory that `address` points into, so computed as a number.
inline std::byte* address_at(const void* address, std::int64_t bytes) {
  const auto number = reinterpret_cast<std::uintptr_t>(address) + static_cast<std::uintptr_t>(bytes);
  return reinterpret_cast<std::byte*>(number);  // NOLINT(performance-no-int-to-ptr)
}

// Of dense (batch, heads, length, dim) tensors with any strides.
class Rows {
 public:
  Rows(const plan::Operands& operands, const plan::KernelLayout& layout) : operands_(operands), layout_(layout) {}

  plan::QueryRow at(std::int32_t b, std::int32_t h, std::int32_t q_idx) const {
    const plan::TensorArg &q = operands_.q, &out = operands_.out;
    return {.q = address_at(q.data, q.offset_of(b, h, q_idx) * layout_.q_bytes),
            .out = address_at(out.data, out.offset_of(b, h, q_idx) * layout_.out_bytes),
            .lse = operands_.lse.at(b, h, q_idx),
            .max_scores = operands_.max_scores.at(b, h, q_idx),
            .h = h,
            .q_idx = q_idx};
  }
  // Of one head, from q_begin on.
  void fill(std::int32_t b, std::int32_t h, std::int32_t q_begin, std::span<plan::QueryRow> rows) const {
    for (std::size_t i = 0; i < rows.size(); ++i) rows[i] = at(b, h, q_begin + static_cast<std::int32_t>(i));
  }
  // Bytes from a row of q to the one `rows` on.
  std::int64_t q_bytes(std::int64_t rows) const { return rows * operands_.q.stride_row * layout_.q_bytes; }

 private:
  const plan::Operands& operands_;
  const plan::KernelLayout& layout_;
};

inline plan::ScaleRun scale_run(const plan::ScaleArg& scales, std::int32_t b, std::int32_t kv_head) {
  return {.first = scales.at(b, kv_head, 0), .by_key = scales.stride_row, .by_group = scales.stride_group};
}

// All keys of (b, kv_head) of such tensors.
inline plan::KeyRun key_run(const plan::Operands& operands, const plan::KernelLayout& layout, std::int32_t b,
                            std::int32_t kv_head) {
  const plan::TensorArg &k = operands.k, &v = operands.v;
  const std::byte* first_k = address_at(k.data, k.offset_of(b, kv_head, 0) * layout.kv_bytes);
  const std::byte* first_v = address_at(v.data, v.offset_of(b, kv_head, 0) * layout.kv_bytes);
  return {.k = first_k,
          .v = first_v,
          .k_stride = k.stride_row,
          .v_stride = v.stride_row,
          .k_ahead = address_at(first_k, layout.k_ahead * k.stride_row * layout.kv_bytes),
          .v_ahead = address_at(first_v, layout.v_ahead * v.stride_row * layout.kv_bytes),
          .k_scales = scale_run(operands.k_scales, b, kv_head),
          .v_scales = scale_run(operands.v_scales, b, kv_head)};
}

}  // namespace flexjit::runtime
