// The checker's class, private to check_*.cpp: one walk over the statements of a text, which resolves names, types expressions
// and inlines functions into the typed graph. An invalid TypedId stands for "wrong, and already reported".
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "dsl/check/scope.h"
#include "dsl/check/typed_builder.h"
#include "dsl/findings/diagnostic_engine.h"
#include "dsl/parse/ast.h"

namespace flexjit::dsl {

// A typed expression and where it stands in the text that is being checked (its node may come from elsewhere, through a let).
struct Operand {
  TypedId id;
  Span span;
};

class Checker {
 public:
  Checker(Checked& checked, DiagnosticEngine& diagnostics)
      : checked_(checked), build_(checked, diagnostics), diagnostics_(diagnostics) {}

  // Declares names of the string form; both vectors must outlive the checker.
  void declare_buffers(const std::vector<BufferDeclaration>& buffers, const std::string& source_name);
  void declare_params(const std::vector<ParamDeclaration>& params, const std::string& source_name);

  // `result_is` tells what a kResult is. Names that the text defines are forgotten afterwards.
  void check_text(const Ast& ast, StatementKind result_is);

 private:
  struct UserFunction {
    const Statement* statement = nullptr;
    std::size_t visible_globals = 0;
    bool broken = false;    // its body is wrong whatever it is given: calls are not inlined
    bool complete = false;  // false while its own body is being checked
  };

  // What a text sets, in the order of its words.
  enum class ResultKind : std::uint8_t { kScore, kMask, kFeature, kGate };
  bool has(ResultKind result) const { return has_[static_cast<std::size_t>(result)]; }
  bool in(ResultKind result) const { return result_ == result; }

  // Statements: check_statement.cpp.
  void check_statement(const Statement& statement);
  bool define(const Symbol& symbol);
  void check_param(const Statement& statement);
  void check_const(const Statement& statement);
  void check_buffer(const Statement& statement);
  void check_def(const Statement& statement);
  void check_result(const Statement& statement, StatementKind kind);
  bool check_type_of_result(const Operand& value, ResultKind result);
  // No position in a feature map, no query in a gate.
  bool check_place(const Operand& value, ResultKind result);
  bool check_argument_names(const Statement& statement);
  CheckedExtent check_extent(ExprId id);
  Type check_declared_type(const Statement& statement, std::string_view what);
  // The constant value of a declaration, converted to its type; invalid when there is none.
  TypedId check_constant(const Statement& statement, Type type);
  bool check_caller_name(std::string_view what, const std::string& name, const std::string& source_name);
  void report_exhausted(Span span);

  // Names and who reads them: check_unused.cpp.
  const Symbol* look_up(std::string_view name);
  std::vector<bool> needed_statements() const;
  std::string unused_hint(const Statement& statement) const;
  void report_unused();

  // Expressions: check_expression.cpp.
  Operand check(ExprId id);
  TypedId check_expression(ExprId id);
  TypedId check_int(const Expr& expr);
  TypedId check_float(const Expr& expr);
  TypedId check_name(const Expr& expr);
  TypedId check_builtin_name(const Expr& expr, bool& found);
  TypedId add_builtin(const Expr& expr, Builtin builtin);
  TypedId check_symbol(const Expr& expr, const Symbol& symbol);
  TypedId check_block(ExprId id);
  TypedId check_unary(ExprId id);
  TypedId check_conditional(ExprId id);
  void report_unknown_name(const Identifier& name);
  std::string name_hint(std::string_view name) const;
  bool defined_later(std::string_view name) const;

  // Operators: check_operator.cpp. `what` names the operation in a diagnostic.
  TypedId check_binary(ExprId id);
  TypedId add_int_operator(const Expr& expr, Operand a, Operand b);
  TypedId check_arithmetic(const Expr& expr, Operand a, Operand b);
  TypedId check_bits(const Expr& expr, Operand a, Operand b);
  TypedId check_shift(const Expr& expr, Operand a, Operand b);
  void warn_of_shift_count(const Operand& count, std::int32_t most);
  TypedId check_comparison(const Expr& expr, Operand a, Operand b);
  TypedId check_logic(const Expr& expr, Operand a, Operand b);
  TypedId check_member(ExprId id);
  TypedId select(std::string_view what, Span span, const std::vector<Operand>& operands);
  bool require_number(const Operand& operand, std::string_view what);
  bool require_bool(const Operand& operand, std::string_view what);
  // Makes all operands one type: float when one is, else int64 when one is, else int. False after a report about a bool.
  bool unify_numbers(std::vector<Operand>& operands, std::string_view what);
  TypedId add_operator(const Expr& expr, Type type, std::initializer_list<TypedId> operands);

  // Reductions: check_reduction.cpp.
  struct Iterations {
    std::int64_t begin = 0, end = 0;
    TypedId count{};  // where the end is known only at run: `end` is the largest that it can be
  };
  TypedId check_reduction(ExprId id);
  std::optional<Iterations> check_bounds(ExprId id);
  std::optional<std::int64_t> largest_bound(TypedId id) const;
  bool limit_param(std::uint32_t slot, Span span);
  Operand check_term(ExprId id, std::int64_t number);
  bool require_term(const Operand& term, std::string_view name);
  TypedId neutral_term(const Expr& expr, Type type);
  TypedId is_below(const Expr& expr, const Iterations& iterations, std::size_t number);
  TypedId choose(const Expr& expr, TypedId condition, TypedId yes, TypedId no);
  TypedId only_below(const Expr& expr, const Iterations& iterations, std::size_t number, TypedId term);
  TypedId join_pairs(const Expr& expr, std::vector<TypedId> terms);
  TypedId sum_of(const Expr& expr, const Iterations& iterations, const std::vector<TypedId>& terms);

  // Calls and reads: check_call.cpp.
  TypedId check_call(ExprId id);
  TypedId check_builtin_call(ExprId id, Function function);
  TypedId check_cast(const Expr& expr, Type to, const Operand& operand);
  TypedId check_user_call(ExprId id, std::uint32_t function_index);
  TypedId inline_call(const Expr& expr, UserFunction& function, const std::vector<Operand>& arguments);
  bool check_arity(const Expr& expr, std::uint32_t fewest, std::uint32_t most);
  TypedId check_index(ExprId id);
  const Symbol* find_buffer(const Identifier& name);
  bool check_indices(ExprId id, std::size_t count, std::vector<TypedId>& indices);
  TypedId check_sum_of_squares(ExprId id);
  TypedId check_projection(ExprId id);
  bool is_row(ExprId id) const;  // the `x` of a feature map
  TypedId check_dot(ExprId id);
  bool check_dot_row(ExprId id, std::uint32_t& buffer, std::vector<TypedId>& indices);
  bool check_dot_extents(Span span, DotRead& dot);

  void report(Kind kind, Span span, std::initializer_list<std::string_view> arguments) {
    diagnostics_.report(kind, span, arguments);
  }
  void warn(Kind kind, Span span, std::initializer_list<std::string_view> arguments) {
    diagnostics_.warn(kind, span, arguments);
  }
  std::string source_of(Span span) const;
  std::string at_line(Span span) const;

  Checked& checked_;
  TypedBuilder build_;
  DiagnosticEngine& diagnostics_;
  Scope scope_;
  const Ast* ast_ = nullptr;
  std::size_t statement_index_ = 0;
  std::vector<UserFunction> functions_;
  std::vector<std::vector<std::size_t>> reads_;  // by statement: the statements whose names it reads
  std::vector<Identifier> unused_lets_;          // nested ones
  std::uint32_t level_ = 0;                      // of the recursion
  std::size_t steps_ = 0;                        // expressions visited
  std::optional<ResultKind> result_;             // that is being checked
  std::array<bool, 4> has_{};                    // by ResultKind: it was set, rightly or not
  bool has_plain_row_ = false;                   // the feature map reads `x` that is not projected
  bool inlining_ = true;                         // false while a body is checked for its own sake: calls in it are not followed
};

}  // namespace flexjit::dsl
