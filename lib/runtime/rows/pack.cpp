// One call of the kernel's packing for all keys, for those of a page, or for some whose rows were gathered: from small
// pages, or in an order.
#include "runtime/rows/pack.h"

#include <algorithm>
#include <cstring>

#include "support/rounding.h"

namespace flexjit::runtime {

namespace {

constexpr std::int32_t kGathered = 64;  // keys at a time, a multiple of any panel

}  // namespace

std::int64_t KeyPacker::scratch_bytes() const { return gathers_ ? kGathered * (k_row_bytes() + v_row_bytes()) : 0; }

void KeyPacker::pack(const plan::Sequence& sequence, std::int32_t kv_head, KeyRange keys, const PackTarget& target) const {
  plan::PackArg arg{.launch = &launch_,
                    .b = sequence.b,
                    .kv_head = kv_head,
                    .kv_begin = keys.begin,
                    .kv_end = keys.end,
                    .kv_len = sequence.kv_len,
                    .reserved = 0,
                    .run = nullptr,
                    .k_panels = target.k_panels,
                    .v_rows = target.v_rows};
  const auto pack_run = [&](const plan::KeyRun& run) {
    arg.run = &run;
    kernel_.pack(&arg);
  };
  if (sequence.lies_evenly()) return pack_run(keys_.all(sequence, kv_head));
  // Whole panels are read, up to the end of the sequence.
  const auto end =
      static_cast<std::int32_t>(std::min<std::int64_t>(support::round_up(keys.end, kernel_.layout.lanes), sequence.kv_len));
  const std::int32_t step = gathers_ ? kGathered : operands_.page_size;
  for (std::int32_t begin = keys.begin; begin < end; begin = arg.kv_end) {
    arg.kv_begin = begin;
    arg.kv_end = static_cast<std::int32_t>(std::min<std::int64_t>((std::int64_t{begin} / step + 1) * step, end));
    pack_run(gathers_ ? gather(sequence, kv_head, {begin, arg.kv_end}, target.scratch) : keys_.page(sequence, kv_head, begin));
  }
}

// Rows of holes are zeros. Scales of keys in pages are those of their head, whatever the page.
plan::KeyRun KeyPacker::gather(const plan::Sequence& sequence, std::int32_t kv_head, KeyRange keys, std::byte* scratch) const {
  std::byte *k_rows = scratch, *v_rows = scratch + kGathered * k_row_bytes();
  const auto copy_row = [&](const plan::TensorArg& tensor, std::int32_t key, std::byte* to, std::int64_t bytes) {
    if (sequence.is_hole(key, operands_.page_size)) {
      std::memset(to, 0, static_cast<std::size_t>(bytes));
      return;
    }
    const auto [batch, row] = sequence.key(key, operands_.page_size);
    std::memcpy(to, address_at(tensor.data, tensor.offset_of(batch, kv_head, row) * kernel_.layout.kv_bytes),
                static_cast<std::size_t>(bytes));
  };
  for (std::int32_t key = keys.begin; key < keys.end; ++key) {
    const std::int64_t row = key - keys.begin;
    copy_row(operands_.k, key, k_rows + row * k_row_bytes(), k_row_bytes());
    copy_row(operands_.v, key, v_rows + row * v_row_bytes(), v_row_bytes());
  }
  return {.k = address_at(k_rows, -keys.begin * k_row_bytes()),
          .v = address_at(v_rows, -keys.begin * v_row_bytes()),
          .k_stride = kernel_.layout.head_dim,
          .v_stride = kernel_.layout.v_head_dim,
          .k_scales = scale_run(operands_.k_scales, 0, 0, kv_head),
          .v_scales = scale_run(operands_.v_scales, 0, 0, kv_head)};
}

}  // namespace flexjit::runtime
