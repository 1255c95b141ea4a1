// Texts -> their syntax trees: a statement a line for people, nested objects for programs. The depth of a tree is bounded by
// the parser, and so is the recursion here.
#include <bit>

#include "dsl/findings/diagnostic_engine.h"
#include "dsl/parse/print_ast.h"
#include "study/subject/source_texts.h"
#include "study/views/view.h"

namespace flexjit::study {
namespace {

std::string_view kind_name(dsl::ExprKind kind) {
  switch (kind) {
    case dsl::ExprKind::kInt: return "int";
    case dsl::ExprKind::kFloat: return "float";
    case dsl::ExprKind::kName: return "name";
    case dsl::ExprKind::kUnary: return "unary";
    case dsl::ExprKind::kBinary: return "binary";
    case dsl::ExprKind::kConditional: return "conditional";
    case dsl::ExprKind::kMember: return "member";
    case dsl::ExprKind::kIndex: return "index";
    case dsl::ExprKind::kSlice: return "slice";
    case dsl::ExprKind::kCall: return "call";
    case dsl::ExprKind::kReduction: return "reduction";
    case dsl::ExprKind::kBlock: return "block";
  }
  return "";
}

std::string_view kind_name(dsl::StatementKind kind) {
  switch (kind) {
    case dsl::StatementKind::kParam: return "param";
    case dsl::StatementKind::kConst: return "const";
    case dsl::StatementKind::kBuffer: return "buffer";
    case dsl::StatementKind::kLet: return "let";
    case dsl::StatementKind::kDef: return "def";
    case dsl::StatementKind::kScore: return "score";
    case dsl::StatementKind::kMask: return "mask";
    case dsl::StatementKind::kFeature: return "feature";
    case dsl::StatementKind::kGate: return "gate";
    case dsl::StatementKind::kResult: return "result";
  }
  return "";
}

class TreeJson {
 public:
  TreeJson(const dsl::SourceText& text, const dsl::Ast& ast) : text_(text), ast_(ast) {}

  Json statements() const {
    Json all = Json::array();
    for (const dsl::Statement& statement : ast_.statements) all.push_back(of(statement));
    return all;
  }

 private:
  Json of(const dsl::Statement& statement) const {
    Json json = {{"kind", kind_name(statement.kind)}};
    if (!statement.name.text.empty()) json["name"] = statement.name.text;
    if (!statement.type.text.empty()) json["type"] = statement.type.text;
    for (const dsl::Identifier& argument : statement.arguments) json["arguments"].push_back(argument.text);
    for (dsl::ExprId extent : statement.extents) json["extents"].push_back(extent.valid() ? of(extent) : Json("?"));
    if (statement.value.valid()) json["value"] = of(statement.value);
    return json;
  }

  Json of(dsl::ExprId id) const {
    const dsl::Expr& expr = ast_.expr(id);
    Json json = {{"kind", kind_name(expr.kind)}, {"place", place_json(text_, expr.span)}};
    if (expr.kind == dsl::ExprKind::kInt) json["value"] = static_cast<std::int64_t>(expr.value);
    if (expr.kind == dsl::ExprKind::kFloat) json["value"] = std::bit_cast<double>(expr.value);
    if (expr.op != dsl::Operator::kNone) json["op"] = dsl::spelling_of(expr.op);
    if (!expr.name.text.empty()) json["name"] = expr.name.text;
    const auto operands = ast_.operands_of(id);
    if (expr.kind == dsl::ExprKind::kReduction) json["variable"] = ast_.block_lets[expr.value].text;
    if (expr.kind == dsl::ExprKind::kBlock) {
      for (std::size_t i = 0; i + 1 < operands.size(); ++i) json["lets"].push_back(ast_.block_lets[expr.value + i].text);
    }
    for (dsl::ExprId operand : operands) json["operands"].push_back(of(operand));
    return json;
  }

  const dsl::SourceText& text_;
  const dsl::Ast& ast_;
};

}  // namespace

Result<ViewResult> make_ast_view(const Subject& subject) {
  ViewResult view;
  for (const SourceText& source : source_texts(subject)) {
    dsl::DiagnosticEngine silent({source.text, 1});
    const dsl::Ast ast = dsl::parse(*source.text, 0, source.form, silent);
    view.text += source.heading + dsl::print_ast(ast);
    view.json["texts"].push_back(
        {{"name", source.text->name}, {"flag", source.flag_json()}, {"statements", TreeJson(*source.text, ast).statements()}});
  }
  return view;
}

}  // namespace flexjit::study
