// One function for each shape of node; the depth of the tree bounds the recursion.
#include "dsl/parse/print_ast.h"

#include <fmt/format.h>

#include <array>
#include <bit>

#include "dsl/check/check.h"
#include "dsl/parse/parser.h"

namespace flexjit::dsl {
namespace {

class Printer {
 public:
  Printer(const Ast& ast, const Replacements& replacements) : ast_(ast), replacements_(replacements) {}

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
      case StatementKind::kFeature: return "feature = " + expression(statement.value);
      case StatementKind::kGate: return "gate = " + expression(statement.value);
      case StatementKind::kResult: return expression(statement.value);
    }
    return "";
  }

  std::string expression(ExprId id) const {
    if (const auto other = replacements_.expressions.find(id.index); other != replacements_.expressions.end()) {
      return other->second;
    }
    const Expr& expr = ast_.expr(id);
    const auto operands = ast_.operands_of(id);
    switch (expr.kind) {
      case ExprKind::kInt: return fmt::format("{}", static_cast<std::int64_t>(expr.value));
      case ExprKind::kFloat: return number(std::bit_cast<double>(expr.value));
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
      case ExprKind::kReduction:
        return fmt::format("{}({} in {}..{} : {})", expr.name.text, ast_.block_lets[expr.value].text, expression(operands[0]),
                           expression(operands[1]), expression(operands[2]));
      case ExprKind::kBlock: return block(expr, operands);
    }
    return "";
  }

 private:
  // With a point or an exponent, so that it reads back as a float.
  static std::string number(double value) {
    const std::string text = fmt::format("{}", value);
    return text.find_first_not_of("0123456789") == std::string::npos ? text + ".0" : text;
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
  const Replacements& replacements_;
};

}  // namespace

std::string print_ast(const Ast& ast, const Replacements& replacements) {
  const Printer printer(ast, replacements);
  std::string text;
  for (std::size_t i = 0; i < ast.statements.size(); ++i) {
    const auto other = replacements.statements.find(i);
    text += (other != replacements.statements.end() ? other->second : printer.statement(ast.statements[i])) + "\n";
  }
  return text;
}

std::string print_ast(const Ast& ast) { return print_ast(ast, Replacements{}); }

std::string print_expression(const Ast& ast, ExprId id) { return Printer(ast, Replacements{}).expression(id); }

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
