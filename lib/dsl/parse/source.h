// What the language front end is given: one *.flex file, or expression strings with the types of their free names.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "flexjit/bindings.h"
#include "support/precision.h"

namespace flexjit::dsl {

struct SourceText {
  std::string name;  // shown in diagnostics
  std::string text;
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
