// One function for each shape of node; the depth of the tree bounds the recursion.
#include "dsl/print_ast.h"

#include <fmt/format.h>

#include <array>
#include <bit>

#include "dsl/check.h"
#include "dsl/parser.h"

namespace flexjit::dsl {
namespace {

class Printer {
 public:
  explicit Printer(const Ast& ast) : ast_(ast) {}

  std::string statement(const Statement& statement) const {
    const std::string_view name = statement.name.text;
    switch (statement.kind) {
      case StatementKind::kParam: {
        const std::string head = fmt::format("param {} : {}", name, statement.type.text);
        return statement.value.valid() ? head + " = " + expression(statement.value) : head;
      }
      case StatementKind::kConst:
        return fmt::format("const {} : {} = {}", name, statement.type.text, expression(statement.value));
      case StatementKind::kBuffer: return fmt::format("buffer {} : {}[{}]", name, statement.type.text, list(statement.extents));
      case StatementKind::kLet: return fmt::format("let {} = {}", name, expression(statement.value));
      case StatementKind::kDef: return fmt::format("def {}({}) = {}", name, arguments(statement), expression(statement.value));
      case StatementKind::kScore: return "score = " + expression(statement.value);
      case StatementKind::kMask: return "mask = " + expression(statement.value);
      case StatementKind::kResult: return expression(statement.value);
    }
    return "";
  }

 private:
  std::string expression(ExprId id) const {
    const Expr& expr = ast_.expr(id);
    const auto operands = ast_.operands_of(id);
    switch (expr.kind) {
      case ExprKind::kInt: return fmt::format("{}", static_cast<std::int64_t>(expr.value));
      case ExprKind::kFloat: return fmt::format("{}", std::bit_cast<double>(expr.value));
      case ExprKind::kName: return std::string(expr.name.text);
      case ExprKind::kUnary: return fmt::format("({}{})", spelling_of(expr.op), expression(operands[0]));
      case ExprKind::kBinary:
        return fmt::format("({} {} {})", expression(operands[0]), spelling_of(expr.op), expression(operands[1]));
      case ExprKind::kConditional:
        return fmt::format("({} ? {} : {})", expression(operands[0]), expression(operands[1]), expression(operands[2]));
      case ExprKind::kMember: return fmt::format("({} in {{{}}})", expression(operands[0]), list(operands.subspan(1)));
      case ExprKind::kIndex: return fmt::format("{}[{}]", expr.name.text, list(operands));
      case ExprKind::kSlice: return ":";
      case ExprKind::kCall: return fmt::format("{}({})", expr.name.text, list(operands));
      case ExprKind::kBlock: return block(expr, operands);
    }
    return "";
  }

  std::string block(const Expr& expr, std::span<const ExprId> operands) const {
    std::string text = "(";
    for (std::size_t i = 0; i + 1 < operands.size(); ++i) {
      text += fmt::format("let {} = {}; ", ast_.block_lets[expr.value + i].text, expression(operands[i]));
    }
    return text + expression(operands.back()) + ")";
  }

  std::string list(std::span<const ExprId> items) const {
    std::string text;
    for (ExprId item : items) text += (text.empty() ? "" : ", ") + (item.valid() ? expression(item) : "?");
    return text;
  }

  static std::string arguments(const Statement& statement) {
    std::string text;
    for (const Identifier& name : statement.arguments) text += (text.empty() ? "" : ", ") + std::string(name.text);
    return text;
  }

  const Ast& ast_;
};

}  // namespace

std::string print_ast(const Ast& ast) {
  std::string text;
  for (const Statement& statement : ast.statements) text += Printer(ast).statement(statement) + "\n";
  return text;
}

Result<std::string> print_ast(const Source& source) {
  const Result<Checked> checked = check_source(source);
  if (!checked) return checked.diagnostics();
  const std::vector<SourceText>& texts = checked->texts;
  DiagnosticEngine silent(texts);
  std::string printed;
  for (std::uint32_t number = 0; number < texts.size(); ++number) {
    const Ast ast = parse(texts[number], number, source.file ? Form::kFile : Form::kExpression, silent);
    if (!source.file) printed += "# " + texts[number].name + "\n";
    printed += print_ast(ast);
  }
  return printed;
}

}  // namespace flexjit::dsl
