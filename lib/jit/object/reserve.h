// Memory for LLVM where the process has none left. LLVM cannot fail to allocate: it ends the process. So what it asks for and
// the process refuses comes from this reserve, which is part of the library and there since it was opened; a compilation that
// took anything from it is finished, thrown away and reported as `out-of-memory`.
#pragma once

#include <cstddef>

namespace flexjit::jit::reserve {

// Enough for any pattern within the limits of the language. Pages cost nothing before they are taken.
inline constexpr std::size_t kBytes = std::size_t{256} << 20;

// Thread-safe. Null: the reserve is used up. `alignment` is a power of two.
void* take(std::size_t bytes, std::size_t alignment) noexcept;
// `memory` is of the reserve.
void give(void* memory) noexcept;
bool owns(const void* memory) noexcept;
std::size_t size_of(const void* memory) noexcept;  // what take() gave, at least

// Whether this thread took anything since it began a compilation.
void begin() noexcept;
bool is_taken() noexcept;

}  // namespace flexjit::jit::reserve
