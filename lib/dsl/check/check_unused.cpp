// Definitions that no result depends on -> warnings. What each statement reads is noted wherever a name is looked up,
// functions' bodies included.
#include <algorithm>

#include "dsl/check/checker.h"
#include "dsl/findings/foreign_names.h"

namespace flexjit::dsl {

const Symbol* Checker::look_up(std::string_view name) {
  Symbol* symbol = scope_.find(name);
  if (symbol == nullptr) return nullptr;
  symbol->is_read = true;
  if (symbol->statement) reads_[statement_index_].push_back(*symbol->statement);
  return symbol;
}

std::vector<bool> Checker::needed_statements() const {
  std::vector<bool> needed(ast_->statements.size(), false);
  std::vector<std::size_t> open;
  for (std::size_t i = 0; i < needed.size(); ++i) {
    const Statement& statement = ast_->statements[i];
    if (statement.is_result() || statement.kind == StatementKind::kResult) open.push_back(i);
  }
  while (!open.empty()) {
    const std::size_t statement = open.back();
    open.pop_back();
    if (needed[statement]) continue;
    needed[statement] = true;
    open.insert(open.end(), reads_[statement].begin(), reads_[statement].end());
  }
  return needed;
}

// A condition that nothing reads, in a text without a mask, was meant to be one.
std::string Checker::unused_hint(const Statement& statement) const {
  if (std::string hint = foreign_result_hint(statement.name.text); !hint.empty()) return hint;
  const Symbol* symbol = scope_.find_global(statement.name.text);
  const bool is_value = statement.kind == StatementKind::kLet && symbol != nullptr && symbol->value.valid();
  const bool is_condition = is_value && build_.type_of(symbol->value) == Type::kBool;
  return is_condition && !has(ResultKind::kMask) ? "; a mask is set by `mask = ...`" : "";
}

// Only where nothing else is wrong: a use may stand in what could not be understood, and without a result nothing is used.
void Checker::report_unused() {
  if (diagnostics_.count() > 0 || std::ranges::find(has_, true) == has_.end()) return;
  const std::vector<bool> needed = needed_statements();
  for (std::size_t i = 0; i < needed.size(); ++i) {
    const Statement& statement = ast_->statements[i];
    if (!needed[i]) warn(Kind::kUnusedName, statement.name.span, {quoted(statement.name.text), unused_hint(statement)});
  }
  for (const Identifier& name : unused_lets_) warn(Kind::kUnusedName, name.span, {quoted(name.text), ""});
}

}  // namespace flexjit::dsl
