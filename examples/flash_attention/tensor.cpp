#include "tensor.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <random>

using flexjit::DType;

namespace {

double value_of(std::uint16_t half) {
  const int exponent = (half >> 10) & 31, mantissa = half & 1023;
  const double size = exponent == 0 ? std::ldexp(mantissa, -24) : std::ldexp(mantissa + 1024, exponent - 25);
  return (half & 0x8000) != 0 ? -size : size;
}

// Of a number that a normal half holds.
std::uint16_t half_of(double value) {
  if (value == 0) return 0;
  int exponent = 0;
  const double fraction = std::frexp(std::abs(value), &exponent);  // in [0.5, 1)
  const int mantissa = static_cast<int>(std::ldexp(fraction, 11)) - 1024;
  return static_cast<std::uint16_t>((value < 0 ? 0x8000 : 0) | (exponent + 14) << 10 | mantissa);
}

}  // namespace

Tensor::Tensor(DType type, std::vector<std::int64_t> extents) : dtype(type), shape(std::move(extents)) {
  std::size_t count = flexjit::size_of(type);
  for (const std::int64_t extent : shape) count *= static_cast<std::size_t>(extent);
  bytes.resize(count);
}

Tensor Tensor::random(DType type, std::vector<std::int64_t> extents, unsigned seed) {
  Tensor tensor(type, std::move(extents));
  std::mt19937 numbers(seed);
  for (std::size_t place = 0; place < tensor.bytes.size(); place += flexjit::size_of(type)) {
    const float value = (static_cast<float>(numbers() % 1024) - 512) / 256;
    const std::uint16_t half = half_of(static_cast<double>(value));
    if (type == DType::kF16)
      std::memcpy(&tensor.bytes[place], &half, sizeof(half));
    else
      std::memcpy(&tensor.bytes[place], &value, sizeof(value));
  }
  return tensor;
}

double Tensor::at(std::int64_t b, std::int64_t row, std::int64_t head, std::int64_t d) const {
  const auto index = static_cast<std::size_t>(((b * shape[1] + row) * shape[2] + head) * shape[3] + d);
  const unsigned char* place = &bytes[index * flexjit::size_of(dtype)];
  float value = 0;
  std::uint16_t half = 0;
  if (dtype == DType::kF16) {
    std::memcpy(&half, place, sizeof(half));
    return value_of(half);
  }
  std::memcpy(&value, place, sizeof(value));
  return static_cast<double>(value);
}

bool Tensor::has_rows_of(const Tensor& other, std::int64_t begin, std::int64_t end) const {
  const auto row_bytes = static_cast<std::size_t>(shape[2] * shape[3]) * flexjit::size_of(dtype);
  for (std::int64_t b = 0; b < shape[0]; ++b) {
    for (std::int64_t row = begin; row < end; ++row) {
      const auto here = static_cast<std::size_t>(b * shape[1] + row),
                 there = static_cast<std::size_t>(b * other.shape[1] + row);
      if (std::memcmp(&bytes[here * row_bytes], &other.bytes[there * row_bytes], row_bytes) != 0) return false;
    }
  }
  return true;
}

flexjit::TensorView Tensor::rows(std::int64_t begin, std::int64_t end) const {
  flexjit::TensorView part = view();
  part.data = &bytes[static_cast<std::size_t>(begin * part.strides[1]) * flexjit::size_of(dtype)];
  part.shape[1] = end - begin;
  return part;
}

std::string Tensor::extents() const {
  std::string text;
  for (const std::int64_t extent : shape) text += (text.empty() ? "(" : ", ") + std::to_string(extent);
  return text + ")";
}

double worst_difference(const Tensor& out, const Tensor& q, const Tensor& k, const Tensor& v, const Definition& definition,
                        std::int64_t keys, std::int64_t step) {
  double worst = 0;
  const std::int64_t group = q.shape[2] / k.shape[2];
  for (std::int64_t b = 0; b < q.shape[0]; ++b) {
    for (std::int64_t head = 0; head < q.shape[2]; ++head) {
      for (std::int64_t row = 0; row < q.shape[1]; row += step) {
        std::vector<double> sums(static_cast<std::size_t>(v.shape[3]));
        double all = 0;
        for (std::int64_t key = 0; key < keys; ++key) {
          if (!definition.allowed(row, key)) continue;
          double score = 0;
          for (std::int64_t d = 0; d < q.shape[3]; ++d) score += q.at(b, row, head, d) * k.at(b, key, head / group, d);
          const double weight = std::exp(score * definition.scale);
          all += weight;
          for (std::int64_t d = 0; d < v.shape[3]; ++d)
            sums[static_cast<std::size_t>(d)] += weight * v.at(b, key, head / group, d);
        }
        for (std::int64_t d = 0; d < v.shape[3]; ++d)
          worst = std::max(worst, std::abs(sums[static_cast<std::size_t>(d)] / all - out.at(b, row, head, d)));
      }
    }
  }
  return worst;
}

void Findings::show(const std::string& what, bool holds) {
  std::printf("  %s%s\n", what.c_str(), holds ? "" : "   <- DOES NOT HOLD");
  all_hold_ = all_hold_ && holds;
}
