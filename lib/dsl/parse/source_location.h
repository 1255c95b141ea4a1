// Byte ranges of source texts and how they become the line, column and snippet that a person reads. Everything after the
// lexer carries a Span; only diagnostics and read sites ever ask for lines.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "dsl/parse/source.h"

namespace flexjit::dsl {

// Bytes [begin, end) of text number `text`.
struct Span {
  std::uint32_t text = 0;
  std::uint32_t begin = 0;
  std::uint32_t end = 0;
  bool operator==(const Span&) const = default;
};

// The smallest span that holds both; they are of one text.
Span join(Span first, Span last);

// Where a person is shown a span of one of `texts`: there, or where its text comes from, in the smallest piece around it (the
// beginning where no piece is). The text is one of `texts` or of an origin.
struct Place {
  const SourceText* text = nullptr;
  Span span{};  // its number counts through the texts that are shown, see shown_texts
};
Place shown_place(std::span<const SourceText> texts, Span span);

// `texts`, each made one replaced by what it was made of.
std::vector<const SourceText*> shown_texts(std::span<const SourceText> texts);

// As in Diagnostic: 1-based, columns and lengths in bytes, the length cut at the end of the first line.
struct Location {
  std::uint32_t line = 1;
  std::uint32_t column = 1;
  std::uint32_t length = 0;
  std::string snippet;  // control characters and broken UTF-8 replaced by '?', byte for byte, so that any terminal shows it
};

Location locate(std::string_view text, Span span);

// The bytes of the UTF-8 character that starts at `at`, or 0 when there is none.
std::uint32_t utf8_length(std::string_view text, std::size_t at);

// The text between back quotes, cut when it is too long to read.
std::string quoted(std::string_view text);

}  // namespace flexjit::dsl
