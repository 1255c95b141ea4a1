// Loops, turn by turn while their condition may hold: one that is known ends them, one that is not ends them for those pairs
// where it is false. A switch is the sequence of its statements, each where a label before it was reached.
#include <algorithm>
#include <utility>

#include "cxx/translate/mods.h"
#include "cxx/translate/translator.h"

namespace flexjit::cxx {

// What comes after a turn is executed inside of it, so that variables of pairs that have left are merged with those of the
// others at the end alone: a counter stays known.
Flow Translator::repeat(const Loop& loop) {
  const std::function<Flow(int)> from = [&](int count) -> Flow {
    step(*loop.at);
    if (count == kMaxTurns) refuse(Finding::kLoop, loop.at->getBeginLoc(), kMaxTurns);
    Flow checked = none();
    if (count > 0 || loop.is_checked_first) {
      if (const std::optional<NodeId> holds = loop.condition()) checked.broken = graph_.unary(Operator::kNot, *holds);
    }
    return after(std::move(checked), [&] { return execute_turn(loop.body, loop.step, [&] { return from(count + 1); }); });
  };
  Flow flow = from(0);
  flow.broken = graph_.constant(false);
  return flow;
}

// The body, what comes between it and the next condition, and the turns after it; `continue` ends the body alone.
Flow Translator::execute_turn(const clang::Stmt* body, const clang::Expr* step_expression, const std::function<Flow()>& next) {
  Flow flow = execute(body);
  flow.continued = graph_.constant(false);
  return after(std::move(flow), [&] {
    if (step_expression != nullptr) evaluate(step_expression);
    return next();
  });
}

Flow Translator::execute_for(const clang::ForStmt& statement) {
  execute(statement.getInit());
  const Loop loop{.at = &statement,
                  .condition = [&]() -> std::optional<NodeId> {
                    if (statement.getConditionVariableDeclStmt() != nullptr) execute(statement.getConditionVariableDeclStmt());
                    if (statement.getCond() == nullptr) return std::nullopt;
                    return condition(statement.getCond());
                  },
                  .body = statement.getBody(),
                  .step = statement.getInc()};
  return repeat(loop);
}

Flow Translator::execute_while(const clang::WhileStmt& statement) {
  const Loop loop{.at = &statement,
                  .condition = [&]() -> std::optional<NodeId> {
                    if (statement.getConditionVariableDeclStmt() != nullptr) execute(statement.getConditionVariableDeclStmt());
                    return condition(statement.getCond());
                  },
                  .body = statement.getBody()};
  return repeat(loop);
}

Flow Translator::execute_do(const clang::DoStmt& statement) {
  const Loop loop{.at = &statement,
                  .condition = [&]() -> std::optional<NodeId> { return condition(statement.getCond()); },
                  .body = statement.getBody(),
                  .is_checked_first = false};
  return repeat(loop);
}

// Over an array that is known element by element.
Flow Translator::execute_range_for(const clang::CXXForRangeStmt& statement) {
  execute(statement.getInit());
  const auto* record = statement.getRangeInit()->getType()->getAsCXXRecordDecl();
  if (record != nullptr && !is_of_prelude(*record))
    refuse_expression(*statement.getRangeInit(), "a loop over anything but an array of constants or of its own");
  Location range = locate(statement.getRangeInit());
  Value whole = value_at(range);
  const Aggregate* parts = std::get_if<Aggregate>(&whole);
  if (parts != nullptr && parts->parts.size() == 1 && statement.getRangeInit()->getType()->isRecordType()) {  // std::array
    whole = Value(slots_[parts->parts[0].index]);
    parts = std::get_if<Aggregate>(&whole);
  }
  if (parts == nullptr)
    refuse_expression(*statement.getRangeInit(), "a loop over anything but an array of constants or of its own");
  const std::vector<SlotId> all = parts->parts;
  const clang::VarDecl& variable = *statement.getLoopVariable();
  const bool is_reference = variable.getType()->isReferenceType();
  if (is_reference) require_variable(range, *statement.getRangeInit());
  Frame frame = frames_.empty() ? Frame{} : frames_.back();
  if (may_be_stale(range, *statement.getRangeInit())) add_variables(*statement.getRangeInit(), frame.frozen);
  frames_.push_back(std::move(frame));
  const std::function<Flow(std::size_t)> from = [&](std::size_t number) -> Flow {
    if (number == all.size()) return none();
    Location element{all[number], {}};
    if (!is_reference) {
      Value value = copy(slots_[all[number].index]);
      element.slot = new_slot(std::move(value));
    }
    variables_[&variable] = element;
    return execute_turn(statement.getBody(), nullptr, [&] { return from(number + 1); });
  };
  Flow flow = from(0);
  frames_.pop_back();
  flow.broken = graph_.constant(false);
  return flow;
}

namespace {

void collect(const clang::Stmt* statement, std::vector<const clang::SwitchCase*>& labels, const clang::Stmt*& inner) {
  inner = statement;
  while (const auto* label = llvm::dyn_cast_or_null<clang::SwitchCase>(inner)) {
    labels.push_back(label);
    inner = label->getSubStmt();
  }
}

}  // namespace

// Every label stands before a statement of the switch itself; one inside of a block would be reached past what is before it.
void Translator::require_labels(const clang::SwitchStmt& statement, const std::vector<const clang::Stmt*>& parts) {
  std::vector<const clang::SwitchCase*> labels;
  const clang::Stmt* inner = nullptr;
  for (const clang::Stmt* part : parts) collect(part, labels, inner);
  for (const clang::SwitchCase* label = statement.getSwitchCaseList(); label != nullptr; label = label->getNextSwitchCase()) {
    if (std::ranges::find(labels, label) == labels.end())
      refuse(Finding::kUnsupported, label->getKeywordLoc(), "a label inside of another statement",
             "; put it into the switch itself");
  }
}

// Variables that stand before the first label are there, without what would initialise them.
void Translator::declare_only(const clang::Stmt& statement) {
  const auto* declarations = llvm::dyn_cast<clang::DeclStmt>(&statement);
  if (declarations == nullptr) return;
  for (const clang::Decl* declaration : declarations->decls()) {
    const auto* variable = llvm::dyn_cast<clang::VarDecl>(declaration);
    const clang::Expr* initialiser = variable != nullptr ? variable->getInit() : nullptr;
    if (variable != nullptr && (initialiser == nullptr || llvm::isa<clang::CXXConstructExpr>(initialiser))) define(*variable);
  }
}

NodeId Translator::condition_of_label(const clang::SwitchCase& label, const Switch& at, const Labels& passed) {
  const auto equals = [&](const clang::CaseStmt& one) {
    if (one.getRHS() != nullptr) refuse_expression(one, "a range of cases");
    return arithmetic_.binary(Operator::kEqual, at.value, scalar(one.getLHS())).id;
  };
  if (const auto* one = llvm::dyn_cast<clang::CaseStmt>(&label)) return equals(*one);
  NodeId any = graph_.constant(false);  // default: none of the others, wherever they stand
  for (const clang::SwitchCase* other = at.statement.getSwitchCaseList(); other != nullptr;
       other = other->getNextSwitchCase()) {
    const auto* one = llvm::dyn_cast<clang::CaseStmt>(other);
    if (one != nullptr && !passed.contains(one)) any = graph_.binary(Operator::kOr, equals(*one), any);
  }
  return graph_.unary(Operator::kNot, any);
}

// From a label on. `inside`: whether it was reached through the labels `entered` before it; `passed` were not. What follows a
// segment that always leaves is executed where that one is not, so that a variable has a value where all of them give it one.
Flow Translator::execute_segments(const Switch& at, std::size_t number, NodeId inside, Labels entered, const Labels& passed) {
  if (number == at.segments.size()) return none();
  const Segment& segment = at.segments[number];
  for (const clang::SwitchCase* label : segment.labels)
    inside = graph_.binary(Operator::kOr, inside, condition_of_label(*label, at, passed));
  entered.insert(segment.labels.begin(), segment.labels.end());
  bool leaves = false;
  const auto run = [&] {
    Flow made = execute_all(segment.statements);
    leaves = graph_.bool_value(left(made)) == true;
    return made;
  };
  Flow flow = branch(inside, run, [&] {
    if (!leaves) return none();
    entered.insert(passed.begin(), passed.end());
    return execute_segments(at, number + 1, graph_.constant(false), {}, entered);
  });
  if (leaves) return flow;
  return after(std::move(flow), [&] { return execute_segments(at, number + 1, inside, entered, passed); });
}

Flow Translator::execute_switch(const clang::SwitchStmt& statement) {
  execute(statement.getInit());
  if (statement.getConditionVariableDeclStmt() != nullptr) execute(statement.getConditionVariableDeclStmt());
  std::vector<const clang::Stmt*> parts = {statement.getBody()};
  if (const auto* body = llvm::dyn_cast<clang::CompoundStmt>(statement.getBody()))
    parts.assign(body->body_begin(), body->body_end());
  require_labels(statement, parts);
  Switch at{statement, scalar(statement.getCond()), {}};
  for (const clang::Stmt* part : parts) {
    if (llvm::isa<clang::SwitchCase>(part)) {
      const clang::Stmt* inner = nullptr;
      collect(part, at.segments.emplace_back().labels, inner);
      at.segments.back().statements.push_back(inner);
    } else if (at.segments.empty()) {
      declare_only(*part);
    } else {
      at.segments.back().statements.push_back(part);
    }
  }
  Flow flow = execute_segments(at, 0, graph_.constant(false), {}, {});
  flow.broken = graph_.constant(false);
  return flow;
}

}  // namespace flexjit::cxx
