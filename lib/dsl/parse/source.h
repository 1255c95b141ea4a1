// What the language front end is given: one *.flex file, or expression strings with the types of their free names.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "flexjit/bindings.h"
#include "support/precision.h"

namespace flexjit::dsl {

struct Origin;

struct SourceText {
  std::string name;  // shown in diagnostics
  std::string text;
  std::shared_ptr<const Origin> origin{};  // of a text that was made of others, which is what people are then shown
};

// What a text was made of, and which bytes of it stand for which.
struct Origin {
  // Bytes [begin, end) stand for [origin_begin, origin_end) of texts[text]. Pieces lie apart or inside one another, in the
  // order of their beginnings, outer ones first.
  struct Piece {
    std::uint32_t begin = 0;
    std::uint32_t end = 0;
    std::uint32_t text = 0;
    std::uint32_t origin_begin = 0;
    std::uint32_t origin_end = 0;
    std::uint32_t outer = 0;  // the piece around it; its own number where there is none
  };
  std::vector<SourceText> texts;
  std::vector<Piece> pieces;
};

// Exactly one form: `file`, or some of the others with their declarations.
struct Source {
  std::optional<SourceText> file;
  std::optional<SourceText> score;
  std::optional<SourceText> mask;
  std::optional<SourceText> feature{};  // of linear weights, as the next
  std::optional<SourceText> gate{};
  std::vector<BufferDeclaration> buffers;
  std::vector<ParamDeclaration> params;
  support::Precision precision = support::Precision::kFp32;  // of its floats
};

}  // namespace flexjit::dsl
