// Relocatable object -> one flat span of bytes that runs at any page-aligned address.
#pragma once

#include <llvm/Support/MemoryBufferRef.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "flexjit/result.h"

namespace flexjit::jit {

struct FlatImage {
  std::vector<std::uint8_t> bytes;
  std::map<std::string, std::uint64_t> symbols;   // offsets of the defined, visible symbols
  std::map<std::string, std::uint64_t> sections;  // offsets of the sections that were laid out
};

// Error `internal` when the object refers to an external symbol or needs an absolute address: such code could not be moved.
Result<FlatImage> link_image(llvm::MemoryBufferRef object);

}  // namespace flexjit::jit
