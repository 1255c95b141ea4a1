// See captures.h.
#include "support/captures.h"

#include <cstring>
#include <functional>
#include <numeric>
#include <span>
#include <stdexcept>

namespace flexjit::test {
namespace {

template <typename T>
std::vector<unsigned char> bytes_of(const std::vector<T>& values) {
  std::vector<unsigned char> bytes(values.size() * sizeof(T));
  if (!bytes.empty()) std::memcpy(bytes.data(), values.data(), bytes.size());
  return bytes;
}

}  // namespace

Captures& Captures::add_bytes(const std::string& name, DType dtype, const Extents& extents,
                              const std::vector<unsigned char>& bytes) {
  const auto count = std::accumulate(extents.begin(), extents.end(), std::int64_t{1}, std::multiplies<>());
  if (bytes.size() != static_cast<std::size_t>(count) * size_of(dtype))
    throw std::logic_error("captured buffer '" + name + "' has another size");
  storage_.push_back(std::make_shared<std::vector<unsigned char>>(bytes));
  bindings_.buffers[name] = TensorView(storage_.back()->data(), dtype, std::span(extents));
  return *this;
}

Captures& Captures::add(const std::string& name, const Extents& extents, const std::vector<float>& values) {
  return add_bytes(name, DType::kF32, extents, bytes_of(values));
}

Captures& Captures::add(const std::string& name, const Extents& extents, const std::vector<std::int32_t>& values) {
  return add_bytes(name, DType::kI32, extents, bytes_of(values));
}

Captures& Captures::add(const std::string& name, const Extents& extents, const std::vector<std::int64_t>& values) {
  return add_bytes(name, DType::kI64, extents, bytes_of(values));
}

Captures& Captures::add(const std::string& name, const Extents& extents, const std::vector<bool>& values) {
  return add_bytes(name, DType::kBool, extents, std::vector<unsigned char>(values.begin(), values.end()));
}

Captures& Captures::set(const std::string& name, Scalar value) {
  bindings_.params[name] = value;
  return *this;
}

}  // namespace flexjit::test
