// SplitMix64 gives the bits, Box-Muller the normal deviates, two at a time.
#include "data/generate.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace flexjit::tools {
namespace {

constexpr std::int64_t kSegments = 8;

class Random {
 public:
  explicit Random(Stream stream) : state_(stream.seed * 0x2545f4914f6cdd1dULL + (stream.number + 1) * 0xd1b54a32d192ed03ULL) {
    next();
  }

  std::uint64_t next() {
    std::uint64_t z = (state_ += 0x9e3779b97f4a7c15ULL);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return z ^ (z >> 31);
  }

  // In [0, 1), 53 bits.
  double uniform() { return static_cast<double>(next() >> 11) * 0x1p-53; }

 private:
  std::uint64_t state_;
};

// Element `column` of row `row`, where a row is the innermost dimension.
struct Place {
  std::int64_t row, rows, column, columns;
};

std::int64_t integer_value(const BufferDeclaration& declaration, const Place& at, std::int64_t kv_len) {
  const std::string last = declaration.extents.empty() ? "?" : declaration.extents.back();
  if (last == "q_len" || last == "kv_len") return at.column * kSegments / at.columns;
  if (last == "batch_size" || last == "num_heads" || last == "num_kv_heads")
    return kv_len * (2 * at.column + 1) / (2 * at.columns);
  const std::int64_t steps = std::max<std::int64_t>(at.columns - 1, 1);
  return kv_len * (at.row * steps + at.column) / (at.rows * steps);
}

Array uniform_floats(const BufferDeclaration& declaration, std::vector<std::int64_t> shape, Random& random) {
  Array values(DType::kF32, std::move(shape));
  for (std::int64_t i = 0, n = values.count(); i < n; ++i) values.as<float>()[i] = static_cast<float>(random.uniform() * 0.25);
  return convert(values, declaration.dtype, declaration.name).value();  // float to float cannot fail
}

}  // namespace

Array normal_array(std::vector<std::int64_t> shape, Stream stream) {
  Array array(DType::kF32, std::move(shape));
  Random random(stream);
  float* out = array.as<float>();
  const std::int64_t n = array.count();
  for (std::int64_t i = 0; i < n; i += 2) {
    const double radius = std::sqrt(-2.0 * std::log(1.0 - random.uniform()));
    const double angle = 2.0 * std::numbers::pi * random.uniform();
    out[i] = static_cast<float>(radius * std::cos(angle));
    if (i + 1 < n) out[i + 1] = static_cast<float>(radius * std::sin(angle));
  }
  return array;
}

Array buffer_array(const BufferDeclaration& declaration, std::vector<std::int64_t> shape, std::int64_t kv_len, Stream stream) {
  Random random(stream);
  const std::int64_t extent = shape.empty() ? 1 : shape.back();
  Array array(declaration.dtype, shape);
  const auto fill = [&](auto* out, std::int64_t limit) {
    for (std::int64_t i = 0, n = array.count(); i < n; ++i) {
      const Place place{.row = i / extent, .rows = n / extent, .column = i % extent, .columns = extent};
      out[i] = static_cast<std::remove_pointer_t<decltype(out)>>(std::min(limit, integer_value(declaration, place, kv_len)));
    }
  };
  switch (declaration.dtype) {
    case DType::kF32:
    case DType::kF64:
    case DType::kF16:
    case DType::kBF16:
    case DType::kE4M3:
    case DType::kE5M2: return uniform_floats(declaration, std::move(shape), random);
    case DType::kBool:
      for (auto& byte : array.bytes) byte = random.next() % 8 == 0 ? std::byte{1} : std::byte{0};
      break;
    case DType::kI64: fill(array.as<std::int64_t>(), INT64_MAX); break;
    case DType::kI32: fill(array.as<std::int32_t>(), INT32_MAX); break;
    case DType::kI8: fill(array.as<std::int8_t>(), INT8_MAX); break;
    case DType::kU8: fill(array.as<std::uint8_t>(), UINT8_MAX); break;
  }
  return array;
}

}  // namespace flexjit::tools
