// Bytes of machine code -> an executable mapping. Pages are written first and made executable after, never both at once, so
// it works where the system forbids writable code. The mapping lives as long as its owner.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace flexjit::cache {

// Move-only owner of one read + execute mapping.
class CodeMemory {
 public:
  // Throws std::system_error when the system refuses the pages or their protection.
  explicit CodeMemory(std::span<const std::uint8_t> code);
  ~CodeMemory();
  CodeMemory(CodeMemory&& other) noexcept;
  CodeMemory& operator=(CodeMemory&& other) noexcept;

  // What the mapping costs: whole pages.
  std::size_t bytes() const noexcept { return bytes_; }
  // The function at `offset` bytes from the start of the code.
  template <typename Function>
  Function function(std::uint64_t offset) const noexcept {
    return reinterpret_cast<Function>(static_cast<unsigned char*>(pages_) + offset);
  }

 private:
  void* pages_ = nullptr;
  std::size_t bytes_ = 0;
};

}  // namespace flexjit::cache
