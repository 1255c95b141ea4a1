// One loop a dtype, so that the choice is made once a row.
#include "support/elements.h"

#include <algorithm>
#include <string>

#include "support/check.h"
#include "support/small_float.h"

namespace flexjit::support {

namespace {

template <typename Element, typename Convert>
void read_as(const void* data, std::int64_t offset, std::span<double> values, Convert convert) {
  const auto* row = static_cast<const Element*>(data) + offset;
  std::transform(row, row + values.size(), values.begin(), convert);
}

template <typename Element, typename Convert>
void write_as(void* data, std::int64_t offset, std::span<const double> values, Convert convert) {
  std::ranges::transform(values, static_cast<Element*>(data) + offset, convert);
}

}  // namespace

void read_elements(DType dtype, const void* data, std::int64_t offset, std::span<double> values) {
  using support::bfloat_to_float, support::half_to_float;
  const auto widen = [](auto value) { return static_cast<double>(value); };
  switch (dtype) {
    case DType::kF32: return read_as<float>(data, offset, values, widen);
    case DType::kF64: return read_as<double>(data, offset, values, widen);
    case DType::kF16: return read_as<std::uint16_t>(data, offset, values, [](auto bits) { return half_to_float(bits); });
    case DType::kBF16: return read_as<std::uint16_t>(data, offset, values, [](auto bits) { return bfloat_to_float(bits); });
    case DType::kI64:
    case DType::kI32:
    case DType::kI8:
    case DType::kU8:
    case DType::kBool: break;
  }
  FLEXJIT_CHECK(false, std::string(name_of(dtype)));
}

void write_elements(DType dtype, void* data, std::int64_t offset, std::span<const double> values) {
  using support::round_to;
  switch (dtype) {
    case DType::kF32: return write_as<float>(data, offset, values, [](double value) { return static_cast<float>(value); });
    case DType::kF64: return write_as<double>(data, offset, values, [](double value) { return value; });
    case DType::kF16:
      return write_as<std::uint16_t>(data, offset, values, [](double value) { return round_to(support::kHalf, value); });
    case DType::kBF16:
      return write_as<std::uint16_t>(data, offset, values, [](double value) { return round_to(support::kBFloat, value); });
    case DType::kI64:
    case DType::kI32:
    case DType::kI8:
    case DType::kU8:
    case DType::kBool: break;
  }
  FLEXJIT_CHECK(false, std::string(name_of(dtype)));
}

}  // namespace flexjit::support
