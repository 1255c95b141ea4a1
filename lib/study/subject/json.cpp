// The allocator that destructors of JSON values meet: the process's, and a part of this library where that refuses.
#include "study/subject/json.h"

#include <array>
#include <functional>
#include <mutex>
#include <new>

#include "support/fork_gate.h"

namespace flexjit::study {
namespace {

// Address space that becomes memory where it is used. Blocks are few and short-lived: all are given back before any is used
// again.
class SetAside {
 public:
  void* take(std::size_t bytes) {
    const std::lock_guard lock(mutex_);
    if (bytes > bytes_.size() - used_) throw std::bad_alloc();
    void* taken = bytes_.data() + used_;
    used_ += (bytes + kAlignment - 1) / kAlignment * kAlignment;
    ++blocks_;
    return taken;
  }
  // False: not from here.
  bool give(void* memory) noexcept {
    auto* byte = static_cast<std::byte*>(memory);
    if (std::less<>()(byte, bytes_.data()) || !std::less<>()(byte, bytes_.data() + bytes_.size())) return false;
    const std::lock_guard lock(mutex_);
    if (--blocks_ == 0) used_ = 0;
    return true;
  }

 private:
  static constexpr std::size_t kAlignment = alignof(std::max_align_t);
  support::Mutex mutex_;
  std::size_t used_ = 0, blocks_ = 0;
  alignas(kAlignment) std::array<std::byte, std::size_t{8} << 20> bytes_{};
};

constinit SetAside set_aside;

}  // namespace
}  // namespace flexjit::study

using flexjit::study::Json;
using flexjit::study::set_aside;

Json* std::allocator<Json>::allocate(size_type count) {
  const std::size_t bytes = count * sizeof(Json);
  void* memory = ::operator new(bytes, std::nothrow);
  return static_cast<Json*>(memory != nullptr ? memory : set_aside.take(bytes));
}

void std::allocator<Json>::deallocate(Json* values, size_type) noexcept {
  if (!set_aside.give(values)) ::operator delete(values);
}
