// See typed_tensors.h.
#include "typed_tensors.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

namespace flexjit::conformance {
namespace {

struct Format {
  int fraction_bits;
  int exponent_bits;
};

Format format_of(DType dtype) { return dtype == DType::kBF16 ? Format{7, 8} : Format{10, 5}; }

double decode_small(const Format& format, std::uint16_t bits) {
  const int fraction = bits & ((1 << format.fraction_bits) - 1);
  const int largest = (1 << format.exponent_bits) - 1;
  const int exponent = (bits >> format.fraction_bits) & largest;
  const int bias = largest / 2;
  double magnitude = std::ldexp(1.0 + std::ldexp(fraction, -format.fraction_bits), exponent - bias);
  if (exponent == 0) magnitude = std::ldexp(fraction, 1 - bias - format.fraction_bits);
  if (exponent == largest) {
    magnitude = fraction == 0 ? std::numeric_limits<double>::infinity() : std::numeric_limits<double>::quiet_NaN();
  }
  return (bits & 0x8000) != 0 ? -magnitude : magnitude;
}

// All numbers from 0 to infinity, by code.
std::vector<double> numbers_of(const Format& format) {
  std::vector<double> numbers;
  for (std::uint16_t bits = 0; numbers.empty() || std::isfinite(numbers.back()); ++bits) {
    numbers.push_back(decode_small(format, bits));
  }
  return numbers;
}

const std::vector<double>& numbers_of(DType dtype) {
  static const std::vector<double> bfloats = numbers_of(Format{7, 8}), halves = numbers_of(Format{10, 5});
  return dtype == DType::kBF16 ? bfloats : halves;
}

std::uint16_t encode_small(DType dtype, double value) {
  const std::vector<double>& numbers = numbers_of(dtype);
  const std::uint16_t sign = std::signbit(value) ? 0x8000 : 0;
  if (std::isnan(value)) return static_cast<std::uint16_t>(sign | 0x7fff);
  const double magnitude = std::abs(value);
  const std::size_t above =
      static_cast<std::size_t>(std::lower_bound(numbers.begin(), numbers.end(), magnitude) - numbers.begin());
  std::size_t code = above;
  if (above > 0 && numbers[above] != magnitude) {
    // Rounding takes infinity for the number that would follow the largest.
    const double below = numbers[above - 1];
    const double over = std::isinf(numbers[above]) ? 2 * below - numbers[above - 2] : numbers[above];
    const double to_below = magnitude - below, to_above = over - magnitude;
    if (to_below < to_above || (to_below == to_above && above % 2 == 1)) code = above - 1;
  }
  return static_cast<std::uint16_t>(sign | code);
}

template <typename T>
void append(std::vector<unsigned char>& bytes, T value) {
  const std::size_t at = bytes.size();
  bytes.resize(at + sizeof(T));
  std::memcpy(&bytes[at], &value, sizeof(T));
}

template <typename T>
T element(std::span<const unsigned char> bytes, std::size_t index) {
  T value;
  std::memcpy(&value, &bytes[index * sizeof(T)], sizeof(T));
  return value;
}

std::vector<double> normals(Random& random, DType dtype, std::size_t count) {
  std::vector<double> values(count);
  for (double& value : values) value = nearest(dtype, static_cast<double>(random.normal()));
  return values;
}

std::size_t product(std::int32_t a, std::int32_t b, std::int32_t c, std::int32_t d) {
  return static_cast<std::size_t>(a) * static_cast<std::size_t>(b) * static_cast<std::size_t>(c) * static_cast<std::size_t>(d);
}

}  // namespace

std::string to_string(const Types& types) {
  return std::string(name_of(types.q)) + "_" + std::string(name_of(types.kv)) + "_" + std::string(name_of(types.out));
}

double nearest(DType dtype, double value) {
  if (dtype == DType::kF64) return value;
  if (dtype == DType::kF32) return static_cast<double>(static_cast<float>(value));
  return decode_small(format_of(dtype), encode_small(dtype, value));
}

std::vector<unsigned char> encode(DType dtype, std::span<const double> values) {
  std::vector<unsigned char> bytes;
  for (double value : values) {
    if (dtype == DType::kF64) append(bytes, value);
    if (dtype == DType::kF32) append(bytes, static_cast<float>(value));
    if (dtype == DType::kBF16 || dtype == DType::kF16) append(bytes, encode_small(dtype, value));
  }
  return bytes;
}

std::vector<double> decode(DType dtype, std::span<const unsigned char> bytes) {
  std::vector<double> values(bytes.size() / size_of(dtype));
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (dtype == DType::kF64) values[i] = element<double>(bytes, i);
    if (dtype == DType::kF32) values[i] = static_cast<double>(element<float>(bytes, i));
    if (dtype == DType::kBF16 || dtype == DType::kF16) {
      values[i] = decode_small(format_of(dtype), element<std::uint16_t>(bytes, i));
    }
  }
  return values;
}

TypedTensors::TypedTensors(const Shape& of, const Types& with, std::uint64_t seed) : shape(of), types(with) {
  Random random(seed);
  q = normals(random, with.q, product(of.batch, of.q_heads, of.q_len, of.head_dim));
  k = normals(random, with.kv, product(of.batch, of.kv_heads, of.kv_len, of.head_dim));
  v = normals(random, with.kv, product(of.batch, of.kv_heads, of.kv_len, of.value_dim()));
  encode_inputs();
  poison_outputs();
}

void TypedTensors::encode_inputs() {
  q_bytes_ = encode(types.q, q);
  k_bytes_ = encode(types.kv, k);
  v_bytes_ = encode(types.kv, v);
}

void TypedTensors::poison_outputs() {
  const std::size_t rows = product(shape.batch, shape.q_heads, shape.q_len, 1);
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const std::vector<unsigned char> nans =
      encode(types.out, std::vector<double>(rows * static_cast<std::size_t>(shape.value_dim()), nan));
  out_bytes_.assign(nans.begin(), nans.end());  // in place: views of it stay valid
  lse.assign(rows, std::numeric_limits<float>::quiet_NaN());
  max_scores = lse;
}

MutableTensorView TypedTensors::max_scores_view() {
  return MutableTensorView(max_scores.data(), DType::kF32, {shape.batch, shape.q_heads, shape.q_len});
}

RunArgs TypedTensors::args(const Bindings* bindings) {
  RunArgs run;
  run.q = TensorView(q_bytes_.data(), types.q, {shape.batch, shape.q_heads, shape.q_len, shape.head_dim});
  run.k = TensorView(k_bytes_.data(), types.kv, {shape.batch, shape.kv_heads, shape.kv_len, shape.head_dim});
  run.v = TensorView(v_bytes_.data(), types.kv, {shape.batch, shape.kv_heads, shape.kv_len, shape.value_dim()});
  run.out = MutableTensorView(out_bytes_.data(), types.out, {shape.batch, shape.q_heads, shape.q_len, shape.value_dim()});
  run.lse = MutableTensorView(lse.data(), DType::kF32, {shape.batch, shape.q_heads, shape.q_len});
  run.bindings = bindings;
  return run;
}

}  // namespace flexjit::conformance
