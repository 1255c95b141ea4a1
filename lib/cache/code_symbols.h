// A loaded kernel and the name of its pattern -> the functions in its code, named as a person looks for them in a profile.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cache/kernel_cache.h"

namespace flexjit::cache {

struct CodeSymbol {
  std::string name;                    // "flexjit:alibi_causal:attend[f32,d64]"
  std::span<const std::uint8_t> code;  // lives as long as the kernel
};

// By address. A function ends where the next one begins; the last one's constants are counted as part of it.
std::vector<CodeSymbol> symbols_of(const LoadedKernel& kernel, const plan::KernelKey& key, std::string_view pattern);

}  // namespace flexjit::cache
