// Conversion goes through one wide type a side: every integer dtype fits int64, every float dtype fits double.
#include "data/array.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/mman.h>

#include <bit>
#include <cstring>
#include <limits>

#include "flexjit/quantize.h"

namespace flexjit::tools {
namespace {

bool is_integer(DType dtype) {
  enum class Kind { Float, Long, Int, Bool };
  switch (dtype) {
#define FLEXJIT_DTYPE(name, c_name, text, stored, kind, npy, unit, largest) \
  case DType::k##name: return Kind::kind != Kind::Float;
#include "flexjit/dtypes.def"
#undef FLEXJIT_DTYPE
  }
  return false;
}

// Round to nearest, ties to even, on the bits of fp32; a NaN stays a NaN.
std::uint16_t to_bf16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  if (value != value) return static_cast<std::uint16_t>((bits >> 16) | 0x40);
  return static_cast<std::uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

// fp16 is fp32 scaled so that the hardware's own rounding does the work: adding a power of two whose last place is fp16's.
std::uint16_t to_f16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const auto sign = static_cast<std::uint16_t>((bits >> 16) & 0x8000);
  const std::uint32_t magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return static_cast<std::uint16_t>(sign | 0x7e00);
  if (magnitude >= 0x477ff000) return static_cast<std::uint16_t>(sign | 0x7c00);  // rounds past 65504
  if (magnitude < 0x38800000) {                                                   // subnormal in fp16: last place 2^-24
    const float shifted = std::bit_cast<float>(magnitude) + 0.5F;
    return static_cast<std::uint16_t>(sign | (std::bit_cast<std::uint32_t>(shifted) - 0x3f000000));
  }
  const std::uint32_t rounded = magnitude - 0x38000000 + 0xfff + ((magnitude >> 13) & 1);
  return static_cast<std::uint16_t>(sign | (rounded >> 13));
}

float from_f16(std::uint16_t half);
float from_e5m2(std::uint8_t byte) { return from_f16(static_cast<std::uint16_t>(byte << 8)); }
float from_e4m3(std::uint8_t byte) {
  const auto magnitude = static_cast<std::uint16_t>((byte & 0x7f) << 7);
  const float sign = (byte & 0x80) != 0 ? -1.0F : 1.0F;
  return sign * (magnitude == 0x7f << 7 ? std::numeric_limits<float>::quiet_NaN() : from_f16(magnitude) * 0x1p8F);
}

float from_f16(std::uint16_t half) {
  const std::uint32_t sign = static_cast<std::uint32_t>(half & 0x8000) << 16;
  const std::uint32_t magnitude = half & 0x7fff;
  if (magnitude >= 0x7c00) return std::bit_cast<float>(sign | 0x7f800000 | ((magnitude & 0x3ff) << 13));
  const float scaled = std::bit_cast<float>(magnitude << 13) * 0x1p112F;
  return std::bit_cast<float>(std::bit_cast<std::uint32_t>(scaled) | sign);
}

std::int64_t integer_at(const Array& array, std::int64_t i) {
  switch (array.dtype) {
    case DType::kI64: return array.as<std::int64_t>()[i];
    case DType::kI32: return array.as<std::int32_t>()[i];
    case DType::kI8: return array.as<std::int8_t>()[i];
    default: return array.as<std::uint8_t>()[i];
  }
}

template <typename T>
bool store_integer(Array& array, std::int64_t i, std::int64_t value) {
  if (value < std::numeric_limits<T>::min() || value > std::numeric_limits<T>::max()) return false;
  array.as<T>()[i] = static_cast<T>(value);
  return true;
}

bool store_integer(Array& array, std::int64_t i, std::int64_t value) {
  switch (array.dtype) {
    case DType::kI64: return store_integer<std::int64_t>(array, i, value);
    case DType::kI32: return store_integer<std::int32_t>(array, i, value);
    case DType::kI8: return store_integer<std::int8_t>(array, i, value);
    case DType::kBool: array.as<std::uint8_t>()[i] = value != 0 ? 1 : 0; return true;
    default: return store_integer<std::uint8_t>(array, i, value);
  }
}

// As keys are encoded, with a scale of 1.
void store_fp8(Array& array, std::int64_t i, double value) {
  const auto source = static_cast<float>(value);
  float scale = 1;
  const bool stored = quantize_kv({.source = {&source, DType::kF32, {1, 1, 1, 1}},
                                   .target = {array.as<std::uint8_t>() + i, array.dtype, {1, 1, 1, 1}},
                                   .scales = {&scale, DType::kF32, {1, 1, 1, 1}},
                                   .scales_are = Scales::kGiven})
                          .has_value();
  static_cast<void>(stored);  // these views have nothing wrong
}

void store_float(Array& array, std::int64_t i, double value) {
  switch (array.dtype) {
    case DType::kE4M3:
    case DType::kE5M2: store_fp8(array, i, value); break;
    case DType::kF64: array.as<double>()[i] = value; break;
    case DType::kF16: array.as<std::uint16_t>()[i] = to_f16(static_cast<float>(value)); break;
    case DType::kBF16: array.as<std::uint16_t>()[i] = to_bf16(static_cast<float>(value)); break;
    default: array.as<float>()[i] = static_cast<float>(value); break;
  }
}

}  // namespace

void prefer_huge_pages(void* data, std::size_t bytes) { (void)madvise(data, bytes / kHugePage * kHugePage, MADV_HUGEPAGE); }

Array::Array(DType type, std::vector<std::int64_t> extents) : dtype(type), shape(std::move(extents)) {
  bytes.resize(static_cast<std::size_t>(count()) * size_of(type));
}

std::int64_t Array::count() const {
  std::int64_t n = 1;
  for (std::int64_t extent : shape) n *= extent;
  return n;
}

TensorView Array::view() const {
  TensorView view(bytes.data(), dtype, {});
  view.rank = static_cast<int>(shape.size());
  std::int64_t step = 1;
  for (std::size_t d = shape.size(); d-- > 0;) {
    view.shape[d] = shape[d];
    view.strides[d] = step;
    step *= shape[d];
  }
  return view;
}

std::string shape_text(const std::vector<std::int64_t>& shape) {
  return shape.size() == 1 ? fmt::format("({},)", shape[0]) : fmt::format("({})", fmt::join(shape, ", "));
}

double number_at(const Array& array, std::int64_t i) {
  switch (array.dtype) {
    case DType::kF64: return array.as<double>()[i];
    case DType::kF32: return array.as<float>()[i];
    case DType::kF16: return from_f16(array.as<std::uint16_t>()[i]);
    case DType::kBF16: return std::bit_cast<float>(static_cast<std::uint32_t>(array.as<std::uint16_t>()[i]) << 16);
    case DType::kE4M3: return from_e4m3(array.as<std::uint8_t>()[i]);
    case DType::kE5M2: return from_e5m2(array.as<std::uint8_t>()[i]);
    default: return static_cast<double>(integer_at(array, i));
  }
}

Result<Array> convert(const Array& array, DType dtype, const std::string& name) {
  if (array.dtype == dtype) return array;
  Array out(dtype, array.shape);
  if (!is_integer(dtype)) {
    for (std::int64_t i = 0, n = array.count(); i < n; ++i) store_float(out, i, number_at(array, i));
    return out;
  }
  if (!is_integer(array.dtype))
    return Diagnostic{
        .kind = "buffer-dtype",
        .source_name = name,
        .snippet = {},
        .message = fmt::format("holds {} but the pattern declares {}; convert the file, e.g. array.astype('int32')",
                               name_of(array.dtype), name_of(dtype))};
  for (std::int64_t i = 0, n = array.count(); i < n; ++i)
    if (!store_integer(out, i, integer_at(array, i)))
      return Diagnostic{.kind = "buffer-value",
                        .source_name = name,
                        .snippet = {},
                        .message = fmt::format("value {} at flat index {} does not fit the declared {}", integer_at(array, i),
                                               i, name_of(dtype))};
  return out;
}

}  // namespace flexjit::tools
