// Words in colour, where a person sees them.
#pragma once

#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>

namespace flexjit::tools {

enum class Ink : std::uint8_t { kGood, kBad, kWarning, kMark };

// The stream is a terminal that has colours and NO_COLOR is not set to anything.
bool has_colours(std::FILE* stream);

// As it is where the stream has no colours.
std::string coloured(std::string_view text, Ink ink, std::FILE* stream);

// What render() made: the words `error` and `warning`, and the marks below the text.
std::string coloured_diagnostics(const std::string& rendered, std::FILE* stream);

}  // namespace flexjit::tools
