// A text with one of its declarations put differently; the rest means what it meant.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "dsl/parse/ast.h"
#include "dsl/parse/source.h"

namespace flexjit::dsl {

// The declaration of `name` of this kind becomes `head` + name + " : " + type + `tail`; none: the text has no such declaration.
struct StatementEdit {
  StatementKind kind;
  std::string_view name;
  std::string_view head;
  std::string_view tail;
};
std::optional<std::string> edit_statement(const SourceText& file, const StatementEdit& edit);

}  // namespace flexjit::dsl
