// The C library's functions replaced in this program, over those that glibc keeps under other names.
#include "failing_allocator.h"

#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <new>

extern "C" {
void* __libc_malloc(std::size_t);
void* __libc_calloc(std::size_t, std::size_t);
void* __libc_realloc(void*, std::size_t);
void* __libc_memalign(std::size_t, std::size_t);
void __libc_free(void*);
}

namespace {

constexpr long kNever = std::numeric_limits<long>::max();
std::atomic<long> asked = 0, first = kNever, last = kNever, live = 0;

bool refuses() {
  const long n = asked.fetch_add(1) + 1;
  return n >= first && n <= last;
}

void* counted(void* memory) {
  if (memory != nullptr) ++live;
  return memory;
}

template <typename Allocate>
void* allocated(const Allocate& allocate) {
  if (!refuses()) return counted(allocate());
  errno = ENOMEM;
  return nullptr;
}

void* or_throw(void* memory) {
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

}  // namespace

namespace flexjit::test {

void fail_allocation(long n, Failing failing) {
  asked = 0;
  last = failing == Failing::kOne ? n : kNever;
  first = n;
}

long stop_failing() {
  first = kNever;
  return asked;
}

long live_blocks() { return live; }

}  // namespace flexjit::test

extern "C" {

void* malloc(std::size_t bytes) {
  return allocated([&] { return __libc_malloc(bytes); });
}

void* calloc(std::size_t count, std::size_t bytes) {
  return allocated([&] { return __libc_calloc(count, bytes); });
}

void* realloc(void* memory, std::size_t bytes) {
  if (refuses()) {
    errno = ENOMEM;
    return nullptr;
  }
  void* grown = __libc_realloc(memory, bytes);
  if (memory == nullptr) counted(grown);
  return grown;
}

void* aligned_alloc(std::size_t alignment, std::size_t bytes) {
  return allocated([&] { return __libc_memalign(alignment, bytes); });
}

void* memalign(std::size_t alignment, std::size_t bytes) {
  return allocated([&] { return __libc_memalign(alignment, bytes); });
}

int posix_memalign(void** memory, std::size_t alignment, std::size_t bytes) {
  void* found = allocated([&] { return __libc_memalign(alignment, bytes); });
  if (found == nullptr) return ENOMEM;
  *memory = found;
  return 0;
}

void free(void* memory) {
  if (memory != nullptr) --live;
  __libc_free(memory);
}

void* mmap(void* address, std::size_t bytes, int protection, int flags, int file, off_t offset) {
  if (refuses()) {
    errno = ENOMEM;
    return MAP_FAILED;
  }
  return reinterpret_cast<void*>(::syscall(SYS_mmap, address, bytes, protection, flags, file, offset));
}

}  // extern "C"

void* operator new(std::size_t bytes) { return or_throw(malloc(bytes != 0 ? bytes : 1)); }
void* operator new(std::size_t bytes, std::align_val_t alignment) {
  return or_throw(aligned_alloc(static_cast<std::size_t>(alignment), bytes));
}
void operator delete(void* memory) noexcept { free(memory); }
void operator delete(void* memory, std::size_t) noexcept { free(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { free(memory); }
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { free(memory); }
