// Where the keys of pages lie, as a list of rows.
#include "runtime/rows.h"

namespace flexjit::runtime {

plan::KeyRun Keys::listed(const plan::Sequence& sequence, std::int32_t kv_head, const Listed& rows) const {
  list(sequence, operands_.k, rows.begin, rows.k_rows);
  list(sequence, operands_.v, rows.begin, rows.v_rows);
  plan::KeyRun found = run(0, 0, kv_head);
  found.k_stride = unit_of(operands_.k);
  found.v_stride = unit_of(operands_.v);
  const auto from_key_0 = [&](std::span<std::int32_t> list) {
    const std::int64_t bytes = -std::int64_t{rows.begin} * static_cast<std::int64_t>(sizeof(std::int32_t));
    return reinterpret_cast<const std::int32_t*>(address_at(list.data(), bytes));
  };
  found.k_rows = from_key_0(rows.k_rows);
  found.v_rows = from_key_0(rows.v_rows);
  return found;
}

// Keys of holes and those past the end, which nobody reads, are where the key before them is.
void Keys::list(const plan::Sequence& sequence, const plan::TensorArg& of, std::int32_t begin,
                std::span<std::int32_t> rows) const {
  const std::int64_t unit = unit_of(of), in_page = of.stride_row / unit, by_page = of.stride_batch / unit;
  const std::int64_t end = std::min<std::int64_t>(begin + static_cast<std::int64_t>(rows.size()), sequence.kv_len);
  std::size_t next = 0;
  std::int64_t last = 0;
  for (std::int64_t key = begin; key < end;) {
    const std::int64_t page = key / operands_.page_size, page_end = std::min((page + 1) * operands_.page_size, end);
    const std::int64_t number = sequence.pages[page];
    for (; key < page_end; ++key) {
      if (number >= 0) last = number * by_page + (key - page * operands_.page_size) * in_page;
      rows[next++] = static_cast<std::int32_t>(last);
    }
  }
  std::fill(rows.begin() + static_cast<std::ptrdiff_t>(next), rows.end(), static_cast<std::int32_t>(last));
}

}  // namespace flexjit::runtime
