// What an expression depends on, through every name that it mentions: constants alone, the score, which params, which results
// need it. Names are those of statements; an argument or nested let that hides one is taken for it, which errs on the side of
// measuring too much.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "dsl/parse/ast.h"

namespace flexjit::dsl {

class PartNames {
 public:
  // `ast` must outlive it.
  explicit PartNames(const Ast& ast);

  bool varies(ExprId id) const { return summary(id).varies; }
  bool has_score(ExprId id) const { return summary(id).has_score; }
  std::vector<std::string> params(ExprId id) const;
  // The statement of that name that stands before the results: a let, a def, ...
  std::optional<std::size_t> statement_of(std::string_view name) const;
  // Statements that the score, or the mask, needs.
  const std::vector<bool>& needed_by_score() const { return needed_by_score_; }
  const std::vector<bool>& needed_by_mask() const { return needed_by_mask_; }

 private:
  struct Summary {
    bool varies = false;
    bool has_score = false;
    std::vector<bool> statements{};  // that are mentioned, directly or not
  };
  Summary summary(ExprId id) const;
  void add(const Expr& expr, Summary& summary) const;

  const Ast& ast_;
  std::vector<Summary> summaries_;  // by statement
  std::vector<bool> needed_by_score_, needed_by_mask_;
};

}  // namespace flexjit::dsl
