// What is known of each element type: dtypes.def as values, and how an element of each is read and written.
#pragma once

#include <cstdint>
#include <type_traits>

#include "flexjit/tensor.h"
#include "support/small_float.h"

namespace flexjit::support {

enum class ElementKind : std::uint8_t { kFloat, kLong, kInt, kBool };

struct DTypeFacts {
  ElementKind kind;
  double unit;     // half a unit in the last place of 1; 0: no float
  double largest;  // finite number of a float
};
const DTypeFacts& facts_of(DType dtype) noexcept;

// Elements of keys and values that stand for themselves times a scale of the call.
inline bool is_quantised(DType dtype) noexcept { return dtype == DType::kI8 || dtype == DType::kE4M3 || dtype == DType::kE5M2; }

inline bool is_float(DType dtype) noexcept { return facts_of(dtype).kind == ElementKind::kFloat; }

// One dtype as a type: `Stored` is what lies in memory.
template <DType kDType, typename StoredType, ElementKind kElementKind>
struct Element {
  using Stored = StoredType;
  static constexpr DType kType = kDType;
  static constexpr ElementKind kKind = kElementKind;

  // A float, a double, an int64, or an int that is 0 or 1 for a bool.
  static auto decode(Stored stored) {
    if constexpr (kDType == DType::kF16) {
      return half_to_float(stored);
    } else if constexpr (kDType == DType::kBF16) {
      return bfloat_to_float(stored);
    } else if constexpr (kDType == DType::kE4M3) {
      return e4m3_to_float(stored);
    } else if constexpr (kDType == DType::kE5M2) {
      return e5m2_to_float(stored);
    } else if constexpr (kKind == ElementKind::kBool) {
      return std::int32_t{stored != 0};
    } else if constexpr (kKind == ElementKind::kInt) {
      return std::int32_t{stored};
    } else {
      return stored;
    }
  }
  // Of floats, rounded once, to nearest, ties to even; too large gives infinity, of fp8 the largest number.
  static Stored encode(double value) {
    if constexpr (kDType == DType::kF16) {
      return round_to(kHalf, value);
    } else if constexpr (kDType == DType::kBF16) {
      return round_to(kBFloat, value);
    } else if constexpr (kDType == DType::kE4M3) {
      return round_to(support::kE4M3, value);
    } else if constexpr (kDType == DType::kE5M2) {
      return round_to(support::kE5M2, value);
    } else {
      return static_cast<Stored>(value);
    }
  }
};

// body(Element<...>{}) of the dtype.
template <typename Body>
decltype(auto) with_element(DType dtype, const Body& body) {
  switch (dtype) {
#define FLEXJIT_DTYPE(name, c_name, text, stored, kind, npy, unit, largest) \
  case DType::k##name: return body(Element<DType::k##name, stored, ElementKind::k##kind>{});
#include "flexjit/dtypes.def"
#undef FLEXJIT_DTYPE
  }
  return body(Element<DType::kF32, float, ElementKind::kFloat>{});
}

}  // namespace flexjit::support
