// By way of the tree, so that what stands on the same line stays.
#include "dsl/parse/edit_statement.h"

#include "dsl/parse/parser.h"
#include "dsl/parse/print_ast.h"

namespace flexjit::dsl {

std::optional<std::string> edit_statement(const SourceText& file, const StatementEdit& edit) {
  DiagnosticEngine silent(std::span(&file, 1));
  const Ast ast = parse(file, 0, Form::kFile, silent);
  for (std::size_t i = 0; i < ast.statements.size(); ++i) {
    const Statement& statement = ast.statements[i];
    if (statement.kind != edit.kind || statement.name.text != edit.name) continue;
    std::string text(edit.head);
    text.append(edit.name).append(" : ").append(statement.type.text).append(edit.tail);
    Replacements replacements;
    replacements.statements[i] = std::move(text);
    return print_ast(ast, replacements);
  }
  return std::nullopt;
}

}  // namespace flexjit::dsl
