// Loops, turn by turn while their condition may hold: one that is known ends them, one that is not ends them for those pairs
// where it is false. A switch is the sequence of its statements, each where a label before it was reached.
#include "cxx/translate/mods.h"
#include "cxx/translate/translator.h"

namespace flexjit::cxx {

// What comes after a turn is executed inside of it, so that variables of pairs that have left are merged with those of the
// others at the end alone: a counter stays known.
Flow Translator::repeat(const Loop& loop) {
  const std::function<Flow(int)> from = [&](int count) -> Flow {
    step(loop.at->getSourceRange());
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
  Value whole = range.slot.valid() ? slots_[range.slot.index] : range.value;
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
  if (is_reference) require_place(range, statement.getRangeInit()->getType(), *statement.getRangeInit());
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

NodeId Translator::condition_of_label(const clang::SwitchCase& label, Scalar value, const clang::SwitchStmt& statement) {
  const auto equals = [&](const clang::CaseStmt& one) {
    if (one.getRHS() != nullptr) refuse_expression(one, "a range of cases");
    return arithmetic_.binary(Operator::kEqual, value, scalar(one.getLHS())).id;
  };
  if (const auto* one = llvm::dyn_cast<clang::CaseStmt>(&label)) return equals(*one);
  NodeId any = graph_.constant(false);  // default: none of the others, wherever they stand
  for (const clang::SwitchCase* other = statement.getSwitchCaseList(); other != nullptr; other = other->getNextSwitchCase()) {
    if (const auto* one = llvm::dyn_cast<clang::CaseStmt>(other)) any = graph_.binary(Operator::kOr, equals(*one), any);
  }
  return graph_.unary(Operator::kNot, any);
}

Flow Translator::execute_switch(const clang::SwitchStmt& statement) {
  execute(statement.getInit());
  if (statement.getConditionVariableDeclStmt() != nullptr) execute(statement.getConditionVariableDeclStmt());
  const Scalar value = scalar(statement.getCond());
  const auto* body = llvm::dyn_cast<clang::CompoundStmt>(statement.getBody());
  if (body == nullptr) refuse_expression(statement, "a switch without a block");
  NodeId inside = graph_.constant(false);
  Flow flow = none();
  for (const clang::Stmt* part : body->body()) {
    std::vector<const clang::SwitchCase*> labels;
    const clang::Stmt* inner = nullptr;
    collect(part, labels, inner);
    for (const clang::SwitchCase* label : labels)
      inside = graph_.binary(Operator::kOr, inside, condition_of_label(*label, value, statement));
    bool leaves = false;
    flow = after(std::move(flow), [&] {
      const auto here = [&] {
        Flow made = execute(inner);
        leaves = graph_.bool_value(left(made)) == true;
        return made;
      };
      return branch(inside, here, [&] { return none(); });
    });
    if (leaves) inside = graph_.constant(false);  // what follows is reached through its labels alone
  }
  flow.broken = graph_.constant(false);
  return flow;
}

}  // namespace flexjit::cxx
