// Every form of new and delete: one that were left to a sanitizer would not match the others. A block counts with its usable
// size, which is what it keeps from others.
#include "measure/heap_meter.h"

#include <malloc.h>

#include <atomic>
#include <cstdlib>
#include <new>

namespace {

std::atomic<std::int64_t> g_live = 0;
std::atomic<std::int64_t> g_peak = 0;

void* count(void* block) noexcept {
  if (block == nullptr) return nullptr;
  const auto bytes = static_cast<std::int64_t>(malloc_usable_size(block));
  const std::int64_t live = g_live.fetch_add(bytes, std::memory_order_relaxed) + bytes;
  std::int64_t peak = g_peak.load(std::memory_order_relaxed);
  while (live > peak && !g_peak.compare_exchange_weak(peak, live, std::memory_order_relaxed)) {
  }
  return block;
}

void* count_or_throw(void* block) {
  if (block == nullptr) throw std::bad_alloc();
  return count(block);
}

void* allocate_aligned(std::size_t bytes, std::align_val_t alignment) noexcept {
  const auto unit = static_cast<std::size_t>(alignment);
  return std::aligned_alloc(unit, (bytes + unit - 1) / unit * unit);
}

void discount(void* block) noexcept {
  if (block == nullptr) return;
  g_live.fetch_sub(static_cast<std::int64_t>(malloc_usable_size(block)), std::memory_order_relaxed);
  std::free(block);
}

}  // namespace

void* operator new(std::size_t bytes) { return count_or_throw(std::malloc(bytes == 0 ? 1 : bytes)); }
void* operator new[](std::size_t bytes) { return operator new(bytes); }
void* operator new(std::size_t bytes, const std::nothrow_t&) noexcept { return count(std::malloc(bytes == 0 ? 1 : bytes)); }
void* operator new[](std::size_t bytes, const std::nothrow_t&) noexcept { return count(std::malloc(bytes == 0 ? 1 : bytes)); }
void* operator new(std::size_t bytes, std::align_val_t alignment) { return count_or_throw(allocate_aligned(bytes, alignment)); }
void* operator new[](std::size_t bytes, std::align_val_t alignment) { return operator new(bytes, alignment); }
void* operator new(std::size_t bytes, std::align_val_t alignment, const std::nothrow_t&) noexcept {
  return count(allocate_aligned(bytes, alignment));
}
void* operator new[](std::size_t bytes, std::align_val_t alignment, const std::nothrow_t&) noexcept {
  return count(allocate_aligned(bytes, alignment));
}
void operator delete(void* block) noexcept { discount(block); }
void operator delete[](void* block) noexcept { discount(block); }
void operator delete(void* block, const std::nothrow_t&) noexcept { discount(block); }
void operator delete[](void* block, const std::nothrow_t&) noexcept { discount(block); }
void operator delete(void* block, std::align_val_t) noexcept { discount(block); }
void operator delete[](void* block, std::align_val_t) noexcept { discount(block); }
void operator delete(void* block, std::size_t) noexcept { discount(block); }
void operator delete[](void* block, std::size_t) noexcept { discount(block); }
void operator delete(void* block, std::size_t, std::align_val_t) noexcept { discount(block); }
void operator delete[](void* block, std::size_t, std::align_val_t) noexcept { discount(block); }
void operator delete(void* block, std::align_val_t, const std::nothrow_t&) noexcept { discount(block); }
void operator delete[](void* block, std::align_val_t, const std::nothrow_t&) noexcept { discount(block); }

namespace flexjit::tools {

HeapMeter::HeapMeter() : before_(g_live.load()) { g_peak.store(before_); }

std::int64_t HeapMeter::peak_bytes() const { return g_peak.load() - before_; }

}  // namespace flexjit::tools
