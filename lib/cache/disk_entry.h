// The bytes of one disk cache entry: header, key text, machine code, then the XXH3 checksum of all before it.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "plan/compiler_door.h"

namespace flexjit::cache {

// Names the sources that kernels are made by, in 16 characters: code of another id is another's.
std::string_view code_id();
std::uint64_t checksum_of(std::span<const std::uint8_t> bytes);

// The name of the file that holds an entry.
std::string file_of(const std::string& key_text);

std::vector<std::uint8_t> to_entry(const plan::CodeImage& image);
// No value: damaged, or of another version or build.
std::optional<plan::CodeImage> from_entry(std::span<const std::uint8_t> bytes);

}  // namespace flexjit::cache
