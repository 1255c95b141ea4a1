// Memory whose last byte is the last byte before a page that nobody may touch (and whose first page follows such a page), so
// that one element read or written too far ends the process.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstring>
#include <new>
#include <vector>

namespace flexjit::conformance {

enum class Edge { kEnd, kBegin };  // which end of the array touches the forbidden page

template <typename T>
class GuardedArray {
 public:
  explicit GuardedArray(std::size_t count, Edge edge = Edge::kEnd) : page_(static_cast<std::size_t>(sysconf(_SC_PAGESIZE))) {
    std::size_t bytes = count * sizeof(T);
    pages_ = (bytes + page_ - 1) / page_ + 2;
    void* base = mmap(nullptr, pages_ * page_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (base == MAP_FAILED) throw std::bad_alloc();
    base_ = static_cast<std::byte*>(base);
    if (pages_ > 2 && mprotect(base_ + page_, (pages_ - 2) * page_, PROT_READ | PROT_WRITE) != 0) throw std::bad_alloc();
    std::byte* begin = edge == Edge::kBegin ? base_ + page_ : base_ + (pages_ - 1) * page_ - bytes;
    data_ = new (begin) T[count];
    count_ = count;
  }
  GuardedArray(const std::vector<T>& values, Edge edge) : GuardedArray(values.size(), edge) {
    if (!values.empty()) std::memcpy(data_, values.data(), values.size() * sizeof(T));
  }
  ~GuardedArray() { munmap(base_, pages_ * page_); }
  GuardedArray(const GuardedArray&) = delete;
  GuardedArray& operator=(const GuardedArray&) = delete;

  T* data() { return data_; }
  std::vector<T> copy() const { return {data_, data_ + count_}; }

 private:
  std::size_t page_;
  std::size_t pages_ = 0;
  std::byte* base_ = nullptr;
  T* data_ = nullptr;
  std::size_t count_ = 0;
};

}  // namespace flexjit::conformance
