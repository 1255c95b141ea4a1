// Short ways to make a dsl::Source, and what a text becomes: its tree, its errors, its program.
#pragma once

#include <initializer_list>
#include <string>
#include <vector>

#include "dsl/parse/print_ast.h"
#include "dsl/parse/source.h"
#include "ir/lower/lower.h"
#include "ir/passes/passes.h"

namespace flexjit::dsl_test {

inline dsl::Source file(std::string text) {
  return {.file = dsl::SourceText{"test", std::move(text)}, .score = {}, .mask = {}, .buffers = {}, .params = {}};
}

inline dsl::Source score(std::string text, std::vector<BufferDeclaration> buffers = {},
                         std::vector<ParamDeclaration> params = {}) {
  return {.file = {},
          .score = dsl::SourceText{"score_mod", std::move(text)},
          .mask = {},
          .buffers = std::move(buffers),
          .params = std::move(params)};
}

inline dsl::Source mask(std::string text, std::vector<BufferDeclaration> buffers = {},
                        std::vector<ParamDeclaration> params = {}) {
  return {.file = {},
          .score = {},
          .mask = dsl::SourceText{"mask_mod", std::move(text)},
          .buffers = std::move(buffers),
          .params = std::move(params)};
}

// The kinds of all errors, in order, separated by blanks; "" when there is none.
inline std::string errors(const dsl::Source& source) {
  const Result<ir::Lowered> lowered = ir::lower_source(source);
  std::string kinds;
  if (lowered) return kinds;
  for (const Diagnostic& diagnostic : lowered.diagnostics()) kinds += (kinds.empty() ? "" : " ") + diagnostic.kind;
  return kinds;
}

// The IR as text, or the rendered errors.
inline std::string program(const dsl::Source& source) {
  const Result<ir::Lowered> lowered = ir::lower_source(source);
  return lowered ? ir::print(lowered->program, lowered->interface) : render(lowered.diagnostics());
}

inline std::string tree(const dsl::Source& source) {
  const Result<std::string> text = dsl::print_ast(source);
  return text ? *text : render(text.diagnostics());
}

}  // namespace flexjit::dsl_test
