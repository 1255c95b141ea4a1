// Byte offsets -> lines and columns, by scanning: it happens once a diagnostic, never on the way to a kernel.
#include "dsl/parse/source_location.h"

#include <algorithm>

namespace flexjit::dsl {
namespace {

constexpr std::size_t kMaxQuoted = 40;

bool is_continuation(char c) { return (static_cast<unsigned char>(c) & 0xc0u) == 0x80u; }

// 0 for a byte that cannot start a character.
std::uint32_t length_from_first_byte(unsigned char c) {
  if (c < 0x80) return 1;
  if (c >= 0xc2 && c < 0xe0) return 2;
  if (c >= 0xe0 && c < 0xf0) return 3;
  if (c >= 0xf0 && c < 0xf5) return 4;
  return 0;
}

// Overlong forms, surrogates and values past U+10FFFF, which JSON writers refuse; only the second byte tells.
bool second_byte_fits(unsigned char first, unsigned char second) {
  if (first == 0xe0) return second >= 0xa0;
  if (first == 0xed) return second < 0xa0;
  if (first == 0xf0) return second >= 0x90;
  if (first == 0xf4) return second < 0x90;
  return true;
}

std::string printable(std::string_view line) {
  std::string result(line);
  for (std::size_t i = 0; i < line.size();) {
    const std::uint32_t length = utf8_length(line, i);
    const auto c = static_cast<unsigned char>(line[i]);
    if (length == 0 || (length == 1 && c != '\t' && (c < 0x20 || c == 0x7f))) result[i] = '?';
    i += std::max(length, 1u);
  }
  return result;
}

}  // namespace

std::uint32_t utf8_length(std::string_view text, std::size_t at) {
  const auto first = static_cast<unsigned char>(text[at]);
  const std::uint32_t length = length_from_first_byte(first);
  if (length == 0 || at + length > text.size()) return 0;
  for (std::uint32_t i = 1; i < length; ++i) {
    if (!is_continuation(text[at + i])) return 0;
  }
  if (length > 1 && !second_byte_fits(first, static_cast<unsigned char>(text[at + 1]))) return 0;
  return length;
}

Span join(Span first, Span last) { return {first.text, std::min(first.begin, last.begin), std::max(first.end, last.end)}; }

std::vector<const SourceText*> shown_texts(std::span<const SourceText> texts) {
  std::vector<const SourceText*> shown;
  for (const SourceText& text : texts) {
    if (!text.origin) {
      shown.push_back(&text);
      continue;
    }
    for (const SourceText& original : text.origin->texts) shown.push_back(&original);
  }
  return shown;
}

Place shown_place(std::span<const SourceText> texts, Span span) {
  const SourceText& text = texts[span.text];
  std::uint32_t number = 0;
  for (const SourceText& before : texts.first(span.text))
    number += before.origin ? static_cast<std::uint32_t>(before.origin->texts.size()) : 1;
  if (!text.origin) return {&text, {number, span.begin, span.end}};
  const std::vector<Origin::Piece>& pieces = text.origin->pieces;
  const auto begins_after = [](std::uint32_t at, const Origin::Piece& piece) { return at < piece.begin; };
  const auto next = std::upper_bound(pieces.begin(), pieces.end(), span.begin, begins_after);
  if (next == pieces.begin()) return {&text.origin->texts.front(), {number, 0, 0}};
  const Origin::Piece* piece = &*(next - 1);
  while (piece->end < span.end && piece != &pieces[piece->outer]) piece = &pieces[piece->outer];
  return {&text.origin->texts[piece->text], {number + piece->text, piece->origin_begin, piece->origin_end}};
}

Location locate(std::string_view text, Span span) {
  const std::size_t begin = std::min<std::size_t>(span.begin, text.size());
  const std::string_view before = text.substr(0, begin);
  const std::size_t newline = before.rfind('\n');
  const std::size_t line_begin = newline == std::string_view::npos ? 0 : newline + 1;
  std::size_t line_end = std::min(text.find('\n', begin), text.size());
  if (line_end > line_begin && text[line_end - 1] == '\r' && line_end - 1 >= begin) --line_end;

  Location location;
  location.line = static_cast<std::uint32_t>(std::count(before.begin(), before.end(), '\n')) + 1;
  location.column = static_cast<std::uint32_t>(begin - line_begin) + 1;
  location.length = static_cast<std::uint32_t>(std::clamp<std::size_t>(span.end, begin, std::max(line_end, begin)) - begin);
  location.snippet = printable(text.substr(line_begin, line_end - line_begin));
  return location;
}

std::string quoted(std::string_view text) {
  if (text.size() <= kMaxQuoted) return "`" + printable(text) + "`";
  std::size_t cut = kMaxQuoted;
  while (cut > 0 && is_continuation(text[cut])) --cut;
  return "`" + printable(text.substr(0, cut)) + "...`";
}

}  // namespace flexjit::dsl
