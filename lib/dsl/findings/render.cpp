// Diagnostic -> the three lines that a compiler prints. The caret line repeats tabs and counts characters, not bytes, so that
// it points at the right place in any terminal.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

#include "dsl/parse/source_location.h"
#include "flexjit/diagnostic.h"

namespace flexjit {
namespace {

char32_t decode(std::string_view text, std::size_t at, std::uint32_t length) {
  constexpr std::array<unsigned, 5> kFirstByteBits = {0, 0x7f, 0x1f, 0x0f, 0x07};
  char32_t code = static_cast<unsigned char>(text[at]) & kFirstByteBits[length];
  for (std::uint32_t i = 1; i < length; ++i) code = (code << 6) | (static_cast<unsigned char>(text[at + i]) & 0x3fu);
  return code;
}

// Terminal columns: 0 for combining marks, 2 for East Asian wide characters and emoji, else 1.
std::size_t display_width(char32_t code) {
  constexpr std::array<std::pair<char32_t, char32_t>, 11> kWide = {{{0x1100, 0x115f},
                                                                    {0x2e80, 0xa4cf},
                                                                    {0xac00, 0xd7a3},
                                                                    {0xf900, 0xfaff},
                                                                    {0xfe30, 0xfe6f},
                                                                    {0xff00, 0xff60},
                                                                    {0xffe0, 0xffe6},
                                                                    {0x1f300, 0x1f64f},
                                                                    {0x1f680, 0x1f6ff},
                                                                    {0x1f900, 0x1f9ff},
                                                                    {0x20000, 0x3fffd}}};
  if ((code >= 0x300 && code <= 0x36f) || code == 0x200b || code == 0xfe0f) return 0;
  for (auto [first, last] : kWide) {
    if (code >= first && code <= last) return 2;
  }
  return 1;
}

std::string caret_line(const Diagnostic& diagnostic) {
  const std::string_view line = diagnostic.snippet;
  const std::size_t begin = diagnostic.column - 1;
  const std::size_t end = begin + diagnostic.length;
  std::string carets;
  bool marked = false;
  for (std::size_t i = 0; i < line.size() && (i < begin || i < end);) {
    const std::uint32_t length = std::max(dsl::utf8_length(line, i), 1u);
    if (i < begin) {
      carets += line[i] == '\t' ? "\t" : std::string(display_width(decode(line, i, length)), ' ');
    } else {
      const std::size_t width = line[i] == '\t' ? 1 : display_width(decode(line, i, length));
      for (std::size_t w = 0; w < width; ++w, marked = true) carets += marked ? '~' : '^';
    }
    i += length;
  }
  if (!marked) carets += '^';
  return carets;
}

}  // namespace

std::string render(const Diagnostic& diagnostic) {
  const std::string_view severity = diagnostic.severity == Severity::kError ? "error" : "warning";
  if (diagnostic.line == 0) return fmt::format("{}: {}: {}\n", diagnostic.source_name, severity, diagnostic.message);
  return fmt::format("{}:{}:{}: {}: {}\n  {}\n  {}\n", diagnostic.source_name, diagnostic.line, diagnostic.column, severity,
                     diagnostic.message, diagnostic.snippet, caret_line(diagnostic));
}

std::string render(const Diagnostics& diagnostics) {
  std::string text;
  for (const Diagnostic& diagnostic : diagnostics) text += render(diagnostic);
  return text;
}

}  // namespace flexjit
