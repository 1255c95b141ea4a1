// Object file -> the same file with the places that its sections have in a linked image, as debuggers want it.
#pragma once

#include <llvm/ADT/ArrayRef.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace flexjit::jit {

// `object` is a 64-bit ELF file of this machine's byte order; `offsets` by section name.
std::vector<std::uint8_t> place_sections(llvm::ArrayRef<char> object, const std::map<std::string, std::uint64_t>& offsets);

}  // namespace flexjit::jit
