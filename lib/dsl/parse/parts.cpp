// One walk over the results and what they need. A replacement is the first of a few candidates with which the text still
// checks, so nothing here knows types. An index is one part and is not entered: a piece of it would leave the buffer.
#include "dsl/parse/parts.h"

#include <algorithm>
#include <utility>

#include "dsl/check/check.h"
#include "dsl/parse/parser.h"
#include "dsl/parse/part_names.h"
#include "dsl/parse/print_ast.h"

namespace flexjit::dsl {
namespace {

constexpr std::size_t kMaxParts = 64;

bool is_arithmetic(Operator op) { return op == Operator::kAdd || op == Operator::kSub || op == Operator::kMul; }
bool is_division(Operator op) { return op == Operator::kDiv || op == Operator::kFloorDiv || op == Operator::kMod; }
bool is_logic(Operator op) { return op == Operator::kAnd || op == Operator::kOr; }

class PartWalk {
 public:
  PartWalk(const SourceText& file, const Ast& ast) : file_(file), ast_(ast), names_(ast) {}

  std::vector<Part> run() {
    for (StatementKind kind : {StatementKind::kScore, StatementKind::kMask}) add_result(kind);
    for (std::size_t i = 0; i < ast_.statements.size(); ++i) walk_statement(i);
    return std::move(parts_);
  }

 private:
  static constexpr std::int32_t kNone = -1;

  void add_result(StatementKind kind) {
    const auto found = std::ranges::find(ast_.statements, kind, &Statement::kind);
    if (found == ast_.statements.end()) return;
    statement_ = static_cast<std::size_t>(found - ast_.statements.begin());
    const bool is_mask = kind == StatementKind::kMask;
    (is_mask ? mask_part_ : score_part_) =
        add(is_mask ? PartRole::kMask : PartRole::kScore, found->value, {is_mask ? "true" : "score"}, kNone);
  }

  void walk_statement(std::size_t number) {
    statement_ = number;
    const Statement& statement = ast_.statements[number];
    const bool for_score = names_.needed_by_score()[number], for_mask = names_.needed_by_mask()[number];
    const std::int32_t root = for_score ? score_part_ : mask_part_;
    if (!for_score && !for_mask) return;
    switch (statement.kind) {
      case StatementKind::kParam:
      case StatementKind::kConst:
      case StatementKind::kBuffer:
      case StatementKind::kFeature:
      case StatementKind::kGate: return;
      case StatementKind::kLet: {
        const bool whole = is_worth_it(statement.value) && !names_.has_score(statement.value);
        const std::int32_t part = whole ? add(PartRole::kLet, statement.value, {"0", "1", "true"}, root) : root;
        return visit(statement.value, part);
      }
      case StatementKind::kDef:
      case StatementKind::kScore:
      case StatementKind::kMask:
      case StatementKind::kResult: return visit(statement.value, root);
    }
  }

  // More than a name, and known only when the kernel runs.
  bool is_worth_it(ExprId id) const {
    const Expr& expr = ast_.expr(id);
    if (expr.kind != ExprKind::kName) return names_.varies(id);
    const auto statement = names_.statement_of(expr.name.text);
    return statement && ast_.statements[*statement].kind == StatementKind::kLet &&
           is_worth_it(ast_.statements[*statement].value);
  }

  std::string text(ExprId id) const { return print_expression(ast_, id); }

  void visit_all(std::span<const ExprId> ids, std::int32_t parent) {
    for (ExprId id : ids) visit(id, parent);
  }

  void visit(ExprId id, std::int32_t parent) {
    if (!id.valid() || !names_.varies(id)) return;
    const auto operands = ast_.operands_of(id);
    switch (ast_.expr(id).kind) {
      case ExprKind::kInt:
      case ExprKind::kFloat:
      case ExprKind::kName:
      case ExprKind::kSlice: return;
      case ExprKind::kUnary:
      case ExprKind::kMember: return visit_all(operands, parent);
      case ExprKind::kBinary: return visit_binary(id, parent);
      case ExprKind::kConditional: return visit_choice(id, operands, parent);
      case ExprKind::kIndex: return visit_read(id, parent);
      case ExprKind::kCall: return visit_call(id, parent);
      case ExprKind::kReduction:
      case ExprKind::kBlock: {
        const bool reduces = ast_.expr(id).kind == ExprKind::kReduction;
        const std::size_t outer = std::exchange(nested_lets_, nested_lets_ + 1);
        visit_all(reduces ? operands.subspan(2) : operands, parent);
        nested_lets_ = outer;
        return;
      }
    }
  }

  void visit_binary(ExprId id, std::int32_t parent) {
    const Operator op = ast_.expr(id).op;
    const auto operands = ast_.operands_of(id);
    if (is_division(op)) {
      const std::int32_t part = add(PartRole::kDivision, id, {text(operands[0])}, parent);
      visit(operands[0], parent);
      return visit(operands[1], part);
    }
    for (std::size_t side : {0U, 1U}) visit(operands[side], operand_part(id, side, parent));
  }

  // The part that one side of a sum, product or condition is, or `parent` where it is none.
  std::int32_t operand_part(ExprId id, std::size_t side, std::int32_t parent) {
    const Operator op = ast_.expr(id).op;
    const ExprId own = ast_.operands_of(id)[side], other = ast_.operands_of(id)[1 - side];
    if (!(is_arithmetic(op) || is_logic(op)) || names_.has_score(own)) return parent;
    if (is_logic(op) ? !names_.varies(own) : !is_worth_it(own)) return parent;
    const std::string rest = op == Operator::kSub && side == 0 ? "(-" + text(other) + ")" : text(other);
    const PartRole role = is_logic(op) ? PartRole::kCondition : op == Operator::kMul ? PartRole::kFactor : PartRole::kTerm;
    const std::int32_t part = add(role, id, {rest}, parent);
    if (part != parent) describe(part, own);
    return part;
  }

  // operands: condition, yes, no. A side stays in place of all, unless that loses the score.
  void visit_choice(ExprId id, std::span<const ExprId> operands, std::int32_t parent) {
    std::int32_t inner = parent;
    for (std::size_t side : {1U, 2U}) {
      if (names_.has_score(id) && !names_.has_score(operands[side])) continue;
      const std::int32_t part = add(PartRole::kBranch, id, {text(operands[side])}, parent);
      if (inner == parent) inner = part;
    }
    visit_all(operands, inner);
  }

  void visit_read(ExprId id, std::int32_t parent) {
    const bool is_part = parent != kNone && parts_[static_cast<std::size_t>(parent)].span == whole_span(id);
    const std::int32_t read = is_part ? parent : add(PartRole::kRead, id, {"0", "true"}, parent);
    for (ExprId index : ast_.operands_of(id)) {
      if (is_worth_it(index)) add(PartRole::kIndex, index, {"0"}, read);
    }
  }

  void visit_call(ExprId id, std::int32_t parent) {
    const Expr& expr = ast_.expr(id);
    const auto operands = ast_.operands_of(id);
    const std::optional<Function> function = find_function(expr.name.text);
    if (!function) return visit_all(operands, parent);
    switch (info_of(*function).rule) {
      case FunctionRule::kCast: return visit_all(operands, parent);
      case FunctionRule::kDot: add(PartRole::kRead, id, {"0.0"}, parent); return;
      case FunctionRule::kWhere: return visit_choice(id, operands, parent);
      case FunctionRule::kNumeric:
      case FunctionRule::kFloat: break;
    }
    const auto kept = std::ranges::find_if(operands, [&](ExprId operand) { return names_.has_score(operand); });
    const std::int32_t part = add(PartRole::kCall, id, {text(kept != operands.end() ? *kept : operands[0])}, parent);
    if (part != parent) parts_[static_cast<std::size_t>(part)].function = expr.name.text;
    visit_all(operands, part);
  }

  // The number of a new part whose place `where` a candidate takes, or `parent` where none checks.
  std::int32_t add(PartRole role, ExprId where, const std::vector<std::string>& candidates, std::int32_t parent) {
    for (const std::string& candidate : candidates) {
      if (parts_.size() == kMaxParts) break;
      Replacements replacements;
      replacements.expressions[where.index] = candidate;
      std::string variant = print_ast(ast_, replacements);
      if (!checks(variant)) continue;
      Part& part = parts_.emplace_back();
      part.role = role;
      part.parent = parent;
      part.decides_mask = names_.needed_by_mask()[statement_];
      part.replacement = candidate;
      part.variant = std::move(variant);
      if (role == PartRole::kDivision) part.divisors = names_.params(ast_.operands_of(where)[1]);
      describe(static_cast<std::int32_t>(parts_.size()) - 1, where);
      return static_cast<std::int32_t>(parts_.size()) - 1;
    }
    return parent;
  }

  void describe(std::int32_t number, ExprId id) {
    Part& part = parts_[static_cast<std::size_t>(number)];
    part.span = whole_span(id);
    part.depends_on_score = names_.has_score(id);
    part.probe = probe_of(id);
  }

  // What stands before the statement, and the part as a result.
  std::string probe_of(ExprId id) const {
    if (nested_lets_ > 0 || ast_.statements[statement_].kind == StatementKind::kDef) return "";
    Replacements replacements;
    for (std::size_t i = 0; i < ast_.statements.size(); ++i) {
      const StatementKind kind = ast_.statements[i].kind;
      if (i >= statement_ || kind == StatementKind::kScore || kind == StatementKind::kMask) replacements.statements[i] = "";
    }
    const std::string before = print_ast(ast_, replacements);
    for (const char* result : {"score = ", "mask = "}) {
      if (std::string probe = before + result + text(id) + "\n"; checks(probe)) return probe;
    }
    return "";
  }

  bool checks(const std::string& text) const {
    Source source;
    source.file = SourceText{file_.name, text};
    return check_source(source).has_value();
  }

  // The tree has no brackets, so those that are cut through are taken in.
  Span whole_span(ExprId id) const {
    Span span = ast_.expr(id).span;
    const std::string_view all = file_.text;
    int depth = 0, lowest = 0;
    for (const char c : all.substr(span.begin, span.end - span.begin)) {
      if (c == '(') ++depth;
      if (c == ')') lowest = std::min(lowest, --depth);
    }
    for (int missing = -lowest; missing > 0 && span.begin > 0;) {
      if (all[--span.begin] == '(') --missing;
    }
    for (int missing = depth - lowest; missing > 0 && span.end < all.size();) {
      if (all[span.end++] == ')') --missing;
    }
    return span;
  }

  const SourceText& file_;
  const Ast& ast_;
  PartNames names_;
  std::vector<Part> parts_;
  std::size_t statement_ = 0;  // that is walked
  std::size_t nested_lets_ = 0;
  std::int32_t score_part_ = kNone, mask_part_ = kNone;
};

}  // namespace

std::vector<Part> list_parts(const SourceText& file) {
  DiagnosticEngine silent(std::span(&file, 1));
  const Ast ast = parse(file, 0, Form::kFile, silent);
  return PartWalk(file, ast).run();
}

}  // namespace flexjit::dsl
