// The rows of each entry of a tensor that its owners leave between them.
#include "engine/backward/unowned_rows.h"

#include <algorithm>
#include <compare>
#include <cstddef>
#include <cstring>
#include <vector>

namespace flexjit::engine {

namespace {

// Rows [begin, end) of one entry.
struct Rows {
  std::int64_t batch = 0, begin = 0, end = 0;
  auto operator<=>(const Rows&) const = default;
};

void clear(const MutableTensorView& gradient, const Rows& rows) {
  const auto element = static_cast<std::int64_t>(size_of(gradient.dtype));
  for (std::int64_t head = 0; head < gradient.shape[1]; ++head) {
    for (std::int64_t row = rows.begin; row < rows.end; ++row) {
      const std::int64_t offset = rows.batch * gradient.strides[0] + head * gradient.strides[1] + row * gradient.strides[2];
      std::memset(static_cast<std::byte*>(gradient.data) + offset * element, 0,
                  static_cast<std::size_t>(gradient.shape[3] * element));
    }
  }
}

void clear_others(const MutableTensorView& gradient, const std::vector<Rows>& owned) {
  if (gradient.data == nullptr) return;
  auto next = owned.begin();
  for (std::int64_t batch = 0; batch < gradient.shape[0]; ++batch) {
    std::int64_t row = 0;
    for (; next != owned.end() && next->batch == batch; row = next++->end) clear(gradient, {batch, row, next->begin});
    clear(gradient, {batch, row, gradient.shape[2]});
  }
}

}  // namespace

void clear_unowned_rows(const Gradients& gradients, std::span<const plan::Sequence> owners) {
  std::vector<Rows> queries, keys;
  for (const plan::Sequence& owner : owners) {
    queries.push_back({owner.q_batch, owner.q_row, owner.q_row + owner.q_len});
    keys.push_back({owner.kv_batch, owner.kv_row, owner.kv_row + owner.kv_len});
  }
  std::ranges::sort(queries);
  std::ranges::sort(keys);
  clear_others(gradients.q, queries);
  for (const MutableTensorView* gradient : {&gradients.k, &gradients.v}) clear_others(*gradient, keys);
}

}  // namespace flexjit::engine
