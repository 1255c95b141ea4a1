// Statements are summarised in their order: a name is defined before it is used.
#include "dsl/parse/part_names.h"

#include <algorithm>

#include "dsl/vocabulary/vocabulary.h"

namespace flexjit::dsl {

PartNames::PartNames(const Ast& ast)
    : ast_(ast), needed_by_score_(ast.statements.size(), false), needed_by_mask_(ast.statements.size(), false) {
  for (std::size_t i = 0; i < ast.statements.size(); ++i) {
    const Statement& statement = ast.statements[i];
    Summary own;
    own.statements.resize(ast.statements.size(), false);
    if (statement.value.valid() && statement.kind != StatementKind::kParam) own = summary(statement.value);
    if (statement.kind == StatementKind::kParam || statement.kind == StatementKind::kBuffer) own.varies = true;
    // Its value depends on what it is given.
    if (statement.kind == StatementKind::kDef && !statement.arguments.empty()) own.varies = true;
    own.statements[i] = true;
    if (statement.kind == StatementKind::kScore) needed_by_score_ = own.statements;
    if (statement.kind == StatementKind::kMask) needed_by_mask_ = own.statements;
    summaries_.push_back(std::move(own));
  }
}

std::optional<std::size_t> PartNames::statement_of(std::string_view name) const {
  for (std::size_t i = 0; i < ast_.statements.size(); ++i) {
    const Statement& statement = ast_.statements[i];
    if (!statement.is_result() && statement.name.text == name) return i;
  }
  return std::nullopt;
}

void PartNames::add(const Expr& expr, Summary& summary) const {
  if (expr.kind != ExprKind::kName && expr.kind != ExprKind::kIndex && expr.kind != ExprKind::kCall) return;
  // One that is not summarised yet is this very statement's: an argument, or a nested let.
  if (const auto at = statement_of(expr.name.text); at && *at < summaries_.size()) {
    const Summary& other = summaries_[*at];
    summary.varies = summary.varies || other.varies;
    summary.has_score = summary.has_score || other.has_score;
    for (std::size_t i = 0; i < other.statements.size(); ++i) {
      if (other.statements[i]) summary.statements[i] = true;
    }
    return;
  }
  if (expr.kind != ExprKind::kName) return;
  const std::string_view why = why_reserved(expr.name.text);
  summary.varies = summary.varies || why != "a constant";
  summary.has_score = summary.has_score || find_builtin(expr.name.text) == Builtin::kScore;
}

// Depth is bounded by the parser, work by the length of the text.
PartNames::Summary PartNames::summary(ExprId id) const {
  Summary result;
  result.statements.resize(ast_.statements.size(), false);
  std::vector<ExprId> open = {id};
  while (!open.empty()) {
    const ExprId next = open.back();
    open.pop_back();
    if (!next.valid()) continue;
    add(ast_.expr(next), result);
    const auto operands = ast_.operands_of(next);
    open.insert(open.end(), operands.begin(), operands.end());
  }
  return result;
}

std::vector<std::string> PartNames::params(ExprId id) const {
  const Summary found = summary(id);
  std::vector<std::string> names;
  for (std::size_t i = 0; i < found.statements.size(); ++i) {
    const Statement& statement = ast_.statements[i];
    if (found.statements[i] && statement.kind == StatementKind::kParam) names.emplace_back(statement.name.text);
  }
  return names;
}

}  // namespace flexjit::dsl
