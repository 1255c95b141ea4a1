// An owning, dense, row-major tensor: what .npy files become and what generated inputs are. The library itself owns no
// tensors; it reads views of these.
#pragma once

#include <cstddef>
#include <cstdint>
#include <new>
#include <string>
#include <vector>

#include "flexjit/result.h"
#include "flexjit/tensor.h"

namespace flexjit::tools {

// Asks the system for pages of 2 MiB, which it may have none of. Small pages cost a call that reads short runs all over a large
// tensor, as pages of a cache are, a fifth of its time and more in misses of the table of addresses.
void prefer_huge_pages(void* data, std::size_t bytes);
inline constexpr std::size_t kHugePage = std::size_t{1} << 21;

// Cache-line alignment, so that a measured run does not depend on where malloc happened to place its inputs; what fills a huge
// page begins with one.
template <typename T>
struct CacheLineAllocator {
  using value_type = T;
  static std::align_val_t alignment(std::size_t n) { return std::align_val_t{n * sizeof(T) >= kHugePage ? kHugePage : 64}; }
  CacheLineAllocator() = default;
  template <typename U>
  explicit CacheLineAllocator(const CacheLineAllocator<U>&) noexcept {}
  T* allocate(std::size_t n) {
    auto* data = static_cast<T*>(::operator new(n * sizeof(T), alignment(n)));
    if (n * sizeof(T) >= kHugePage) prefer_huge_pages(data, n * sizeof(T));
    return data;
  }
  void deallocate(T* p, std::size_t n) noexcept { ::operator delete(p, alignment(n)); }
  bool operator==(const CacheLineAllocator&) const = default;
};

struct Array {
  DType dtype = DType::kF32;
  std::vector<std::int64_t> shape;  // at most kMaxRank extents
  std::vector<std::byte, CacheLineAllocator<std::byte>> bytes;

  Array() = default;
  Array(DType type, std::vector<std::int64_t> extents);  // zeros

  std::int64_t count() const;
  template <typename T>
  T* as() {
    return reinterpret_cast<T*>(bytes.data());
  }
  template <typename T>
  const T* as() const {
    return reinterpret_cast<const T*>(bytes.data());
  }
  TensorView view() const;
};

// "(2, 3)", for messages.
std::string shape_text(const std::vector<std::int64_t>& shape);

// Element i of the flat array, whatever its dtype; of i64, the nearest double.
double number_at(const Array& array, std::int64_t i);

// The same values as `dtype`. Integers must fit, or the error names the first that does not; floats round to nearest. `name`
// stands in the message. Error kind: `buffer-value`, or `buffer-dtype` for a float where an integer or bool is wanted.
Result<Array> convert(const Array& array, DType dtype, const std::string& name);

}  // namespace flexjit::tools
