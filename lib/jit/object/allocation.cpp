// The allocating functions as the compiler library's own code and the LLVM inside it see them: those of the process, and the
// reserve where those refuse. The linker's --wrap sends calls of malloc and its kin here; the operators are replaced as usual.
// Linked where LLVM is linked statically, because a shared one is not the library's own.
#include <dlfcn.h>
#include <malloc.h>

#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <new>

#include "jit/object/reserve.h"

namespace reserve = flexjit::jit::reserve;

extern "C" {
void* __real_malloc(std::size_t bytes);
void* __real_calloc(std::size_t count, std::size_t bytes);
void* __real_realloc(void* memory, std::size_t bytes);
void* __real_aligned_alloc(std::size_t alignment, std::size_t bytes);
int __real_posix_memalign(void** memory, std::size_t alignment, std::size_t bytes);
void __real_free(void* memory);

void* __wrap_malloc(std::size_t bytes) {
  void* memory = __real_malloc(bytes);
  return memory != nullptr ? memory : reserve::take(bytes, alignof(std::max_align_t));
}

void* __wrap_calloc(std::size_t count, std::size_t bytes) {
  void* memory = __real_calloc(count, bytes);
  std::size_t all = 0;
  if (memory != nullptr || __builtin_mul_overflow(count, bytes, &all)) return memory;
  memory = reserve::take(all, alignof(std::max_align_t));
  if (memory != nullptr) std::memset(memory, 0, all);
  return memory;
}

void __wrap_free(void* memory) {
  if (reserve::owns(memory)) return reserve::give(memory);
  __real_free(memory);
}

void* __wrap_realloc(void* memory, std::size_t bytes) {
  if (memory == nullptr) return __wrap_malloc(bytes);
  if (!reserve::owns(memory)) {
    void* grown = __real_realloc(memory, bytes);
    if (grown != nullptr || bytes == 0) return grown;
  }
  void* grown = reserve::owns(memory) ? __wrap_malloc(bytes) : reserve::take(bytes, alignof(std::max_align_t));
  if (grown == nullptr) return nullptr;
  const std::size_t held = reserve::owns(memory) ? reserve::size_of(memory) : ::malloc_usable_size(memory);
  std::memcpy(grown, memory, held < bytes ? held : bytes);
  __wrap_free(memory);
  return grown;
}

void* __wrap_aligned_alloc(std::size_t alignment, std::size_t bytes) {
  void* memory = __real_aligned_alloc(alignment, bytes);
  return memory != nullptr ? memory : reserve::take(bytes, alignment);
}

int __wrap_posix_memalign(void** memory, std::size_t alignment, std::size_t bytes) {
  const int error = __real_posix_memalign(memory, alignment, bytes);
  if (error != ENOMEM) return error;
  *memory = reserve::take(bytes, alignment);
  return *memory != nullptr ? 0 : ENOMEM;
}
}

namespace {

// The operators of the process: what they give crosses the compiler's door, and is deleted on the other side.
template <typename Function>
Function* of_process(const char* name, Function* otherwise) {
  void* found = ::dlsym(RTLD_DEFAULT, name);
  return found != nullptr ? reinterpret_cast<Function*>(found) : otherwise;
}

void* plain_new(std::size_t bytes, const std::nothrow_t&) { return __real_malloc(bytes != 0 ? bytes : 1); }
void* aligned_new(std::size_t bytes, std::align_val_t alignment, const std::nothrow_t&) {
  const auto unit = static_cast<std::size_t>(alignment);
  return __real_aligned_alloc(unit, (bytes + unit - 1) / unit * unit);
}
void aligned_delete(void* memory, std::align_val_t) { __real_free(memory); }

void* allocate(std::size_t bytes) noexcept {
  static auto* const process = of_process("_ZnwmRKSt9nothrow_t", &plain_new);
  void* memory = process(bytes, std::nothrow);
  return memory != nullptr ? memory : reserve::take(bytes, alignof(std::max_align_t));
}

void* allocate(std::size_t bytes, std::align_val_t alignment) noexcept {
  static auto* const process = of_process("_ZnwmSt11align_val_tRKSt9nothrow_t", &aligned_new);
  void* memory = process(bytes, alignment, std::nothrow);
  return memory != nullptr ? memory : reserve::take(bytes, static_cast<std::size_t>(alignment));
}

void release(void* memory) noexcept {
  static auto* const process = of_process("_ZdlPv", &__real_free);
  if (reserve::owns(memory)) return reserve::give(memory);
  process(memory);
}

void release(void* memory, std::align_val_t alignment) noexcept {
  static auto* const process = of_process("_ZdlPvSt11align_val_t", &aligned_delete);
  if (reserve::owns(memory)) return reserve::give(memory);
  process(memory, alignment);
}

void* or_throw(void* memory) {
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

}  // namespace

// The other forms call these.
void* operator new(std::size_t bytes) { return or_throw(allocate(bytes)); }
void* operator new(std::size_t bytes, std::align_val_t alignment) { return or_throw(allocate(bytes, alignment)); }
void operator delete(void* memory) noexcept { release(memory); }
void operator delete(void* memory, std::size_t) noexcept { release(memory); }
void operator delete(void* memory, std::align_val_t alignment) noexcept { release(memory, alignment); }
void operator delete(void* memory, std::size_t, std::align_val_t alignment) noexcept { release(memory, alignment); }
