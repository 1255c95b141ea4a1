// A few keys are written by the caller itself: waking a thread takes longer than copying what lies in the first-level cache.
#include "runtime/rows/append.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "runtime/parallel.h"
#include "runtime/rows/rows.h"

namespace flexjit::runtime {

namespace {

constexpr std::int64_t kBytesOfThread = std::int64_t{128} << 10;
constexpr std::int32_t kKeysOfItem = 64;

std::byte* row_of(const plan::TensorArg& tensor, const RowType& type, const plan::Sequence::Place& place, std::int32_t head) {
  const auto size = static_cast<std::int64_t>(size_of(type.dtype));
  return address_at(tensor.data, tensor.offset_of(place.batch, head, place.row) * size);
}

void append_key(const AppendOperands& operands, const NewKeyRun& run, std::int32_t i) {
  const plan::Sequence::Place from{run.first.batch, run.first.row + i};
  const plan::Sequence::Place to = run.sequence.key(run.key + i, operands.page_size);
  for (std::int32_t head = 0; head < operands.kv_heads; ++head) {
    const std::byte* k = row_of(operands.k, operands.k_type, from, head);
    std::byte* k_cached = row_of(operands.k_cache, operands.k_type, to, head);
    if (operands.rotary.cos != nullptr)
      rotate_row(operands.rotary, operands.k_type, run.key + i, k, k_cached);
    else
      std::memcpy(k_cached, k, static_cast<std::size_t>(operands.k_type.bytes()));
    std::memcpy(row_of(operands.v_cache, operands.v_type, to, head), row_of(operands.v, operands.v_type, from, head),
                static_cast<std::size_t>(operands.v_type.bytes()));
  }
}

}  // namespace

void append(const AppendOperands& operands, std::span<const NewKeyRun> runs, int threads) {
  struct Share {
    const NewKeyRun* run;
    std::int32_t begin, end;
  };
  std::vector<Share> items;
  std::int64_t keys = 0;
  for (const NewKeyRun& run : runs) {
    for (std::int32_t begin = 0; begin < run.count; begin += kKeysOfItem)
      items.push_back({&run, begin, std::min(begin + kKeysOfItem, run.count)});
    keys += run.count;
  }
  const std::int64_t bytes = keys * operands.kv_heads * (operands.k_type.bytes() + operands.v_type.bytes());
  const auto most = static_cast<int>(std::clamp<std::int64_t>(bytes / kBytesOfThread, 1, threads));
  parallel_for(most, static_cast<std::int64_t>(items.size()), [&](std::int64_t index, int) noexcept {
    const Share& item = items[static_cast<std::size_t>(index)];
    for (std::int32_t i = item.begin; i < item.end; ++i) append_key(operands, *item.run, i);
  });
}

}  // namespace flexjit::runtime
