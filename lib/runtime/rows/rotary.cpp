// One loop over the pairs of a row for each pairing and each combination of element types, without a call in it.
#include "runtime/rows/rotary.h"

#include <algorithm>
#include <cstring>
#include <type_traits>
#include <vector>

#include "runtime/parallel.h"
#include "runtime/rows/rows.h"
#include "support/dtype.h"

namespace flexjit::runtime {

namespace {

// Rows that a thread takes at a time.
constexpr std::int64_t kRowsOfItem = 256;

template <typename E, typename Number>
typename E::Stored encoded(Number value) {
  if constexpr (E::kType == DType::kBF16) {
    return support::float_to_bfloat(value);
  } else if constexpr (E::kType == DType::kF16) {
    return support::float_to_half(value);
  } else {
    return static_cast<typename E::Stored>(value);
  }
}

// The two of a pair, from `x` and `y` on; `kNext` elements from a pair to the next. No two of these share an element.
template <typename E>
struct Pairs {
  const typename E::Stored *x, *y;
  typename E::Stored *x_to, *y_to;
};

template <std::int64_t kNext, typename E, typename T>
void rotate_pairs(const Pairs<E>& pairs, const typename T::Stored* __restrict cos, const typename T::Stored* __restrict sin,
                  std::int64_t count) {
  using Number = std::conditional_t<E::kType == DType::kF64, double, float>;
  const auto* __restrict x = pairs.x, * __restrict y = pairs.y;
  auto* __restrict x_to = pairs.x_to, * __restrict y_to = pairs.y_to;
  for (std::int64_t j = 0; j < count; ++j) {
    const auto c = static_cast<Number>(T::decode(cos[j])), s = static_cast<Number>(T::decode(sin[j]));
    const auto of_x = static_cast<Number>(E::decode(x[j * kNext])), of_y = static_cast<Number>(E::decode(y[j * kNext]));
    x_to[j * kNext] = encoded<E, Number>(of_x * c - of_y * s);
    y_to[j * kNext] = encoded<E, Number>(of_y * c + of_x * s);
  }
}

template <typename Body>
void with_float(DType dtype, const Body& body) {
  support::with_element(dtype, [&](auto element) {
    using E = decltype(element);
    if constexpr (E::kKind == support::ElementKind::kFloat && sizeof(typename E::Stored) > 1) body(element);
  });
}

}  // namespace

void rotate_row(const plan::RotaryArg& rotary, const RowType& type, std::int64_t position, const std::byte* from,
                std::byte* to) {
  const std::int64_t pairs = rotary.dim / 2;
  with_float(type.dtype, [&](auto of_row) {
    with_float(rotary.dtype, [&](auto of_table) {
      using E = decltype(of_row);
      using T = decltype(of_table);
      const auto* source = reinterpret_cast<const typename E::Stored*>(from);
      auto* target = reinterpret_cast<typename E::Stored*>(to);
      const auto* cos = static_cast<const typename T::Stored*>(rotary.cos) + position * rotary.cos_stride;
      const auto* sin = static_cast<const typename T::Stored*>(rotary.sin) + position * rotary.sin_stride;
      switch (rotary.pairing) {
        case plan::RotaryArg::Pairing::kInterleaved:
          rotate_pairs<2, E, T>({source, source + 1, target, target + 1}, cos, sin, pairs);
          break;
        case plan::RotaryArg::Pairing::kHalves:
          rotate_pairs<1, E, T>({source, source + pairs, target, target + pairs}, cos, sin, pairs);
          break;
      }
      std::copy(source + rotary.dim, source + type.dim, target + rotary.dim);
    });
  });
}

RotatedQueries rotate_queries(const plan::Operands& operands, const RowType& type, std::int64_t q_batch, std::int64_t q_rows,
                              std::span<const plan::Sequence> sequences, int threads) {
  RotatedQueries rotated;
  const std::int64_t heads = operands.num_heads, size = static_cast<std::int64_t>(size_of(type.dtype));
  rotated.rows.reserve(static_cast<std::size_t>(q_batch * heads * q_rows * type.bytes()));
  rotated.tensor = {rotated.rows.data(), heads * q_rows * type.dim, q_rows * type.dim, type.dim};
  struct Share {
    const plan::Sequence* sequence;
    std::int32_t h, begin;
  };
  std::vector<Share> items;
  std::int64_t rows = 0;
  for (const plan::Sequence& sequence : sequences) {
    if (sequence.kv_len == 0) continue;
    for (std::int32_t h = 0; h < heads; ++h) {
      for (std::int32_t begin = 0; begin < sequence.q_len; begin += kRowsOfItem) items.push_back({&sequence, h, begin});
    }
    rows += heads * sequence.q_len;
  }
  const int wanted = rows < 4 * kRowsOfItem ? 1 : threads;  // few rows take less time than waking a thread
  parallel_for(wanted, static_cast<std::int64_t>(items.size()), [&](std::int64_t index, int) noexcept {
    const auto& [sequence, h, begin] = items[static_cast<std::size_t>(index)];
    const std::int32_t end = std::min<std::int32_t>(begin + kRowsOfItem, sequence->q_len);
    for (std::int32_t i = begin; i < end; ++i) {
      const plan::Sequence::Place place = sequence->query(i);
      rotate_row(operands.rotary, type, sequence->rotary_position(i, operands.rotary),
                 address_at(operands.q.data, operands.q.offset_of(place.batch, h, place.row) * size),
                 address_at(rotated.tensor.data, rotated.tensor.offset_of(place.batch, h, place.row) * size));
    }
  });
  return rotated;
}

}  // namespace flexjit::runtime
