// The tensors of a call -> the rows and key runs of its work items: where positions become addresses. Kernels know neither
// batch strides nor heads, so that other ways to lay out queries and keys are other functions here.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <span>

#include "plan/kernel_key.h"
#include "plan/operands.h"

namespace flexjit::runtime {

// May lie outside the memory that `address` points into, so computed as a number.
inline std::byte* address_at(const void* address, std::int64_t bytes) {
  const auto number = reinterpret_cast<std::uintptr_t>(address) + static_cast<std::uintptr_t>(bytes);
  return reinterpret_cast<std::byte*>(number);  // NOLINT(performance-no-int-to-ptr)
}

// The queries of a sequence, in tensors with any strides.
class Rows {
 public:
  Rows(const plan::Operands& operands, const plan::KernelLayout& layout) : operands_(operands), layout_(layout) {}

  plan::QueryRow at(const plan::Sequence& sequence, std::int32_t h, std::int32_t q_idx) const {
    const plan::TensorArg &q = operands_.q, &out = operands_.out;
    const auto [b, row] = sequence.query(q_idx);
    return {.q = address_at(q.data, q.offset_of(b, h, row) * layout_.q_bytes),
            .out = address_at(out.data, out.offset_of(b, h, row) * layout_.out_bytes),
            .lse = operands_.lse.at(b, h, row),
            .max_scores = operands_.max_scores.at(b, h, row),
            .h = h,
            .q_idx = q_idx};
  }
  // Of one head, from q_begin on.
  void fill(const plan::Sequence& sequence, std::int32_t h, std::int32_t q_begin, std::span<plan::QueryRow> rows) const {
    for (std::size_t i = 0; i < rows.size(); ++i) rows[i] = at(sequence, h, q_begin + static_cast<std::int32_t>(i));
  }
  // Bytes from a row of q to the one `rows` on.
  std::int64_t q_bytes(std::int64_t rows) const { return rows * operands_.q.stride_row * layout_.q_bytes; }

 private:
  const plan::Operands& operands_;
  const plan::KernelLayout& layout_;
};

inline plan::ScaleRun scale_run(const plan::ScaleArg& scales, std::int64_t batch, std::int64_t row, std::int32_t kv_head) {
  // Row 0 may lie outside the memory: computed as a number.
  const std::byte* first = address_at(scales.at(batch, kv_head, 0), row * scales.stride_row * std::int64_t{sizeof(float)});
  return {.first = reinterpret_cast<const float*>(first), .by_key = scales.stride_row, .by_group = scales.stride_group};
}

// A list whose first element is of key `begin`, by key.
const std::int32_t* from_key_0(std::span<const std::int32_t> list, std::int32_t begin);

// Keys and values of the heads of a sequence.
class Keys {
 public:
  Keys(const plan::Operands& operands, const plan::KernelLayout& layout) : operands_(operands), layout_(layout) {}

  // Of a sequence whose keys lie evenly: all of them.
  plan::KeyRun all(const plan::Sequence& sequence, std::int32_t kv_head) const {
    return run(sequence.kv_batch, sequence.kv_row, kv_head);
  }
  // Of one with pages: those of the page that holds `key` and is no hole.
  plan::KeyRun page(const plan::Sequence& sequence, std::int32_t kv_head, std::int32_t key) const {
    const std::int32_t page = key / operands_.page_size;
    return run(sequence.pages[page], -std::int64_t{page} * operands_.page_size, kv_head);
  }

  // The rows of keys from `begin` on.
  struct Listed {
    std::span<std::int32_t> k_rows, v_rows;  // as long as each other
    std::int32_t begin = 0;
  };
  // Of any sequence: where those of kv head 0 lie. What the run of a head has is that, from the head's own row 0 on.
  void list(const plan::Sequence& sequence, const Listed& rows) const {
    list(sequence, operands_.k, rows.begin, rows.k_rows);
    list(sequence, operands_.v, rows.begin, rows.v_rows);
  }
  plan::KeyRun run_of_list(const plan::Sequence& sequence, std::int32_t kv_head, const Listed& rows) const;
  // Whether the heads of a key lie between it and the next one: who reads one of them alone hops.
  bool by_token() const { return by_token(operands_.k) && by_token(operands_.v); }
  // Row numbers from a head to the next.
  std::int32_t k_numbers_between_heads() const { return k_between_heads_; }
  std::int32_t v_numbers_between_heads() const { return v_between_heads_; }

  // Elements between two rows that numbers can tell apart: of a head and the next, of a page, and of one page and the next.
  static std::int64_t unit_of(const plan::TensorArg& of) {
    const std::int64_t unit = std::gcd(of.stride_batch, of.stride_row);
    return std::max<std::int64_t>(by_token(of) ? std::gcd(unit, of.stride_head) : unit, 1);
  }

 private:
  plan::KeyRun run(std::int64_t batch, std::int64_t row, std::int32_t kv_head) const {
    const plan::TensorArg &k = operands_.k, &v = operands_.v;
    return {.k = address_at(k.data, k.offset_of(batch, kv_head, row) * layout_.kv_bytes),
            .v = address_at(v.data, v.offset_of(batch, kv_head, row) * layout_.kv_bytes),
            .k_stride = k.stride_row,
            .v_stride = v.stride_row,
            .k_scales = scale_run(operands_.k_scales, batch, row, kv_head),
            .v_scales = scale_run(operands_.v_scales, batch, row, kv_head)};
  }
  static bool by_token(const plan::TensorArg& of) { return of.stride_head > 0 && of.stride_head < of.stride_row; }
  static std::int32_t numbers_between_heads(const plan::TensorArg& of) {
    return by_token(of) ? static_cast<std::int32_t>(of.stride_head / unit_of(of)) : 0;
  }
  void list(const plan::Sequence& sequence, const plan::TensorArg& of, std::int32_t begin, std::span<std::int32_t> rows) const;

  const plan::Operands& operands_;
  const plan::KernelLayout& layout_;
  const std::int32_t k_between_heads_ = numbers_between_heads(operands_.k);
  const std::int32_t v_between_heads_ = numbers_between_heads(operands_.v);
};

}  // namespace flexjit::runtime
