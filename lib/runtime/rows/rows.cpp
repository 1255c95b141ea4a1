// Where keys lie, as lists of rows: of pages, and of tokens whose heads lie beside each other.
#include "runtime/rows/rows.h"

namespace flexjit::runtime {

const std::int32_t* from_key_0(std::span<const std::int32_t> list, std::int32_t begin) {
  const std::int64_t bytes = -std::int64_t{begin} * static_cast<std::int64_t>(sizeof(std::int32_t));
  return reinterpret_cast<const std::int32_t*>(address_at(list.data(), bytes));
}

plan::KeyRun Keys::run_of_list(const plan::Sequence& sequence, std::int32_t kv_head, const Listed& rows) const {
  plan::KeyRun found = sequence.pages != nullptr ? run(0, 0, kv_head) : all(sequence, kv_head);
  found.k_stride = unit_of(operands_.k);
  found.v_stride = unit_of(operands_.v);
  found.k_rows = from_key_0(rows.k_rows, rows.begin);
  found.v_rows = from_key_0(rows.v_rows, rows.begin);
  return found;
}

// Keys of holes and those past the end, which nobody reads, are where the key before them is.
void Keys::list(const plan::Sequence& sequence, const plan::TensorArg& of, std::int32_t begin,
                std::span<std::int32_t> rows) const {
  const std::int64_t unit = unit_of(of), by_row = of.stride_row / unit, by_page = of.stride_batch / unit;
  const std::int64_t page_size = sequence.pages != nullptr ? operands_.page_size : sequence.kv_len;
  const std::int64_t end = std::min<std::int64_t>(begin + static_cast<std::int64_t>(rows.size()), sequence.kv_len);
  std::size_t next = 0;
  std::int64_t last = 0;
  for (std::int64_t key = begin; key < end;) {
    const std::int64_t page = key / page_size, page_end = std::min((page + 1) * page_size, end);
    const std::int64_t number = sequence.pages != nullptr ? sequence.pages[page] : 0;
    for (; key < page_end; ++key) {
      if (number >= 0) last = number * by_page + (key - page * page_size) * by_row;
      rows[next++] = static_cast<std::int32_t>(last);
    }
  }
  std::fill(rows.begin() + static_cast<std::ptrdiff_t>(next), rows.end(), static_cast<std::int32_t>(last));
}

}  // namespace flexjit::runtime
