// The image keeps entry points alone, so the sizes follow from what lies behind each.
#include "cache/code_symbols.h"

#include <fmt/format.h>

#include <algorithm>

namespace flexjit::cache {

namespace {

struct Entry {
  const char* name;
  const std::uint8_t* address;
};

// "f32,d64"; what is as usual is left out.
std::string variant_of(const plan::KernelKey& key) {
  std::string text(name_of(key.types.q));
  if (key.types.kv != key.types.q) text += fmt::format(",kv {}", name_of(key.types.kv));
  if (key.types.out != key.types.q) text += fmt::format(",out {}", name_of(key.types.out));
  text += fmt::format(",d{}", key.head_dim);
  if (key.v_head_dim != key.head_dim) text += fmt::format(",v{}", key.v_head_dim);
  return text;
}

}  // namespace

std::vector<CodeSymbol> symbols_of(const LoadedKernel& kernel, const plan::KernelKey& key, std::string_view pattern) {
  std::vector<Entry> entries;
  const auto add = [&](const char* name, auto function) {
    if (function != nullptr) entries.push_back({name, reinterpret_cast<const std::uint8_t*>(function)});
  };
#define FLEXJIT_ENTRY(nest, name, function, type) add(#function, kernel.kernel.function);
#include "plan/nests.def"
  std::ranges::sort(entries, {}, &Entry::address);
  // The zeros that fill the last page are no code.
  const std::uint8_t* end = kernel.code.function<const std::uint8_t*>(kernel.code.bytes());
  while (!entries.empty() && end > entries.back().address && end[-1] == 0) --end;
  std::vector<CodeSymbol> symbols;
  for (std::size_t i = 0; i < entries.size(); ++i) {
    const std::uint8_t* next = i + 1 < entries.size() ? entries[i + 1].address : end;
    symbols.push_back(
        {fmt::format("flexjit:{}:{}[{}]", pattern, entries[i].name, variant_of(key)), {entries[i].address, next}});
  }
  return symbols;
}

}  // namespace flexjit::cache
