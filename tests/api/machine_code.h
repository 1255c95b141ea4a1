// A few bytes of real machine code, so that the cache is tested without a compiler.
#pragma once

#include <cstdint>
#include <vector>

namespace flexjit::test {

// int f() { return value; } for value 0..255.
inline std::vector<std::uint8_t> code_that_returns(std::uint8_t value) {
#if defined(__x86_64__)
  return {0xB8, value, 0, 0, 0, 0xC3};  // mov eax, value; ret
#else
  // movz w0, #value; ret
  const std::uint32_t move = 0x52800000U | (std::uint32_t{value} << 5);
  std::vector<std::uint8_t> code;
  for (std::uint32_t word : {move, 0xD65F03C0U}) {
    for (int shift = 0; shift < 32; shift += 8) code.push_back(static_cast<std::uint8_t>(word >> shift));
  }
  return code;
#endif
}

}  // namespace flexjit::test
