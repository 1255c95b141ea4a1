// Statements that are executed once, and how paths that part come together again.
#include <clang/AST/Attr.h>

#include <algorithm>

#include "cxx/translate/translator.h"

namespace flexjit::cxx {

Flow Translator::none() {
  const NodeId never = graph_.constant(false);
  return {never, never, never, {}};
}

Flow Translator::execute(const clang::Stmt* statement) {
  if (statement == nullptr) return none();
  step(*statement);
  using namespace clang;
  if (const auto* expression = dyn_cast<Expr>(statement)) {
    evaluate(expression);
    return none();
  }
  switch (statement->getStmtClass()) {
    case Stmt::CompoundStmtClass: {
      const auto& block = *llvm::cast<CompoundStmt>(statement);
      return execute_all({block.body_begin(), block.body_end()});
    }
    case Stmt::DeclStmtClass: return execute_declarations(*llvm::cast<DeclStmt>(statement));
    case Stmt::ReturnStmtClass: return execute_return(*llvm::cast<ReturnStmt>(statement));
    case Stmt::IfStmtClass: return execute_if(*llvm::cast<IfStmt>(statement));
    case Stmt::SwitchStmtClass: return execute_switch(*llvm::cast<SwitchStmt>(statement));
    case Stmt::ForStmtClass: return execute_for(*llvm::cast<ForStmt>(statement));
    case Stmt::WhileStmtClass: return execute_while(*llvm::cast<WhileStmt>(statement));
    case Stmt::DoStmtClass: return execute_do(*llvm::cast<DoStmt>(statement));
    case Stmt::CXXForRangeStmtClass: return execute_range_for(*llvm::cast<CXXForRangeStmt>(statement));
    case Stmt::AttributedStmtClass: return execute(llvm::cast<AttributedStmt>(statement)->getSubStmt());
    case Stmt::NullStmtClass: return none();
    case Stmt::BreakStmtClass: {
      Flow flow = none();
      flow.broken = graph_.constant(true);
      return flow;
    }
    case Stmt::ContinueStmtClass: {
      Flow flow = none();
      flow.continued = graph_.constant(true);
      return flow;
    }
    default: refuse_expression(*statement, "this statement");
  }
}

Flow Translator::execute_all(const std::vector<const clang::Stmt*>& statements) {
  Flow flow = none();
  for (const clang::Stmt* statement : statements) {
    flow = after(std::move(flow), [&] { return execute(statement); });
    if (graph_.bool_value(left(flow)) == true) break;
  }
  return flow;
}

Flow Translator::execute_declarations(const clang::DeclStmt& statement) {
  for (const clang::Decl* declaration : statement.decls()) {
    if (const auto* variable = llvm::dyn_cast<clang::VarDecl>(declaration)) define(*variable);
  }
  return none();  // types and using declarations have done their work
}

void Translator::define(const clang::VarDecl& variable) {
  const bool is_constant = variable.getType().isConstQualified() && variable.hasConstantInitialization();
  if (variable.isStaticLocal() && !variable.isConstexpr() && !is_constant) {
    if (!variable.getType().isConstQualified() || !scalar_type(variable.getType()))
      refuse(Finding::kGlobal, variable.getSourceRange(), variable.getNameAsString());
    constant_of_functions(variable);
    return;
  }
  if (variable.hasAttr<clang::CleanupAttr>()) refuse(Finding::kUnsupported, variable.getSourceRange(), "a cleanup", "");
  const clang::Expr* initialiser = variable.getInit();
  const clang::QualType type = variable.getType();
  if (type->isPointerType()) refuse(Finding::kPointer, variable.getSourceRange(), "");
  if (type->isVectorType()) refuse(Finding::kUnsupported, variable.getSourceRange(), "a vector", "");
  if (type->isReferenceType() && initialiser != nullptr) {
    Location location = locate(initialiser);
    require_variable(location, *initialiser);
    if (!location.slot.valid() && !std::holds_alternative<Element>(location.value)) location = {new_slot(location.value), {}};
    variables_[&variable] = location;
    return;
  }
  Value value = Nothing{};
  if (initialiser != nullptr) {
    value = copy(evaluate(initialiser));
  } else if (type->isArrayType()) {  // whose elements are variables
    value = initialised(type, variable.getSourceRange(), false);
  }
  if (const Scalar* known = std::get_if<Scalar>(&value)) graph_.set_hint(known->id, variable.getName());
  variables_[&variable] = {new_slot(std::move(value)), {}};
}

Flow Translator::execute_return(const clang::ReturnStmt& statement) {
  Flow flow = none();
  const NodeId always = graph_.constant(true);
  Value value = Nothing{};
  SlotId place;
  if (statement.getRetValue() != nullptr) {
    const bool by_reference = frames_.back().function->getReturnType()->isReferenceType();
    if (by_reference) {
      const Location location = locate(statement.getRetValue());
      value = value_at(location);
      place = location.slot;
    } else {
      value = evaluate(statement.getRetValue());
    }
  }
  flow.returned = always;
  flow.returns.push_back({always, std::move(value), place});
  return flow;
}

Flow Translator::execute_if(const clang::IfStmt& statement) {
  execute(statement.getInit());
  if (statement.getConditionVariableDeclStmt() != nullptr) execute(statement.getConditionVariableDeclStmt());
  if (statement.isConsteval()) return execute(statement.isNegatedConsteval() ? statement.getThen() : statement.getElse());
  if (const auto chosen = statement.getNondiscardedCase(context_)) return *chosen != nullptr ? execute(*chosen) : none();
  const NodeId holds = condition(statement.getCond());
  return branch(holds, [&] { return execute(statement.getThen()); }, [&] { return execute(statement.getElse()); });
}

Flow Translator::branch(NodeId condition, const std::function<Flow()>& then, const std::function<Flow()>& otherwise) {
  if (const auto known = graph_.bool_value(condition)) return *known ? then() : otherwise();
  charge(slots_.size() / 8);
  const std::vector<Value> before = slots_;
  std::size_t facts = graph_.assume(condition, true);
  Flow yes = then();
  graph_.drop_facts(facts);
  std::vector<Value> after_then = slots_;
  std::ranges::copy(before, slots_.begin());  // variables of this side keep theirs: values that it returns may be made of them
  facts = graph_.assume(condition, false);
  Flow no = otherwise();
  graph_.drop_facts(facts);
  const bool yes_left = graph_.bool_value(yes.returned) == true, no_left = graph_.bool_value(no.returned) == true;
  merge(condition, after_then, yes_left, no_left);
  return joined(condition, std::move(yes), std::move(no));
}

// Variables of the function itself are not read again where it has returned.
void Translator::merge(NodeId condition, std::vector<Value>& then, bool then_returned, bool otherwise_returned) {
  const std::size_t own = frames_.empty() ? 0 : frames_.back().first_slot;
  const std::size_t count = std::min(then.size(), slots_.size());
  for (std::size_t i = 0; i < count; ++i) {
    if (i >= own && then_returned) continue;
    if (i >= own && otherwise_returned) {
      slots_[i] = then[i];
      continue;
    }
    slots_[i] = merged(condition, then[i], slots_[i]);
  }
}

// What is chosen is shown where the condition stands.
Value Translator::merged(NodeId condition, const Value& yes, const Value& no) {
  const PlaceOf place(graph_, condition);
  const Scalar *a = std::get_if<Scalar>(&yes), *b = std::get_if<Scalar>(&no);
  if (a != nullptr && b != nullptr) return a->id == b->id ? yes : Value(arithmetic_.select(condition, *a, *b));
  if (yes == no) return yes;
  const Aggregate *x = std::get_if<Aggregate>(&yes), *y = std::get_if<Aggregate>(&no);
  if (x != nullptr && y != nullptr && x->parts.size() == y->parts.size()) {
    const std::vector<SlotId> of_yes = x->parts, of_no = y->parts;  // `yes` and `no` may be slots, which move
    Aggregate made;
    for (std::size_t i = 0; i < of_yes.size(); ++i) {
      Value part = merged(condition, slots_[of_yes[i].index], slots_[of_no[i].index]);
      made.parts.push_back(new_slot(std::move(part)));
    }
    return made;
  }
  return Nothing{};  // a value on one side only, or none that can be chosen from: an error where it is read
}

Flow Translator::joined(NodeId condition, Flow then, Flow otherwise) {
  const PlaceOf place(graph_, condition);
  Flow flow;
  flow.returned = graph_.select(condition, then.returned, otherwise.returned);
  flow.broken = graph_.select(condition, then.broken, otherwise.broken);
  flow.continued = graph_.select(condition, then.continued, otherwise.continued);
  const auto returns_always = [&](const Flow& side) { return graph_.bool_value(side.returned) == true; };
  const NodeId opposite = graph_.unary(Operator::kNot, condition);
  if (returns_always(then) && returns_always(otherwise)) {
    const SlotId named = place_of(then.returns);
    flow.returns.push_back({graph_.constant(true), merged(condition, value_of(then.returns), value_of(otherwise.returns)),
                            named == place_of(otherwise.returns) ? named : SlotId{}});
    return flow;
  }
  // A side that always returns goes first; the other one is then asked only where it is taken.
  if (returns_always(otherwise)) {
    flow.returns.push_back({opposite, value_of(otherwise.returns), place_of(otherwise.returns)});
    for (Flow::Return& one : then.returns) flow.returns.push_back(std::move(one));
    return flow;
  }
  if (returns_always(then)) {
    flow.returns.push_back({condition, value_of(then.returns), place_of(then.returns)});
    for (Flow::Return& one : otherwise.returns) flow.returns.push_back(std::move(one));
    return flow;
  }
  for (Flow::Return& one : then.returns)
    flow.returns.push_back({graph_.binary(Operator::kAnd, condition, one.condition), std::move(one.value), one.place});
  for (Flow::Return& one : otherwise.returns)
    flow.returns.push_back({graph_.binary(Operator::kAnd, opposite, one.condition), std::move(one.value), one.place});
  return flow;
}

NodeId Translator::left(const Flow& flow) {
  return graph_.binary(Operator::kOr, flow.returned, graph_.binary(Operator::kOr, flow.broken, flow.continued));
}

Flow Translator::after(Flow flow, const std::function<Flow()>& next) {
  const NodeId gone = left(flow);
  if (const auto known = graph_.bool_value(gone)) {
    if (*known) return flow;
    Flow following = next();
    following.returns.insert(following.returns.begin(), std::make_move_iterator(flow.returns.begin()),
                             std::make_move_iterator(flow.returns.end()));
    return following;
  }
  charge(slots_.size() / 8);
  const bool only_returns = gone == flow.returned;
  const std::vector<Value> before = slots_;
  const std::size_t facts = graph_.assume(gone, false);
  const Flow following = next();
  graph_.drop_facts(facts);
  const PlaceOf place(graph_, gone);
  std::vector<Value> kept = before;
  merge(gone, kept, only_returns, graph_.bool_value(following.returned) == true);
  const NodeId stopped = graph_.binary(Operator::kOr, flow.broken, flow.continued);
  for (const Flow::Return& one : following.returns) {
    const NodeId holds = graph_.binary(Operator::kAnd, graph_.unary(Operator::kNot, stopped), one.condition);
    flow.returns.push_back({holds, one.value, one.place});
  }
  flow.returned = graph_.select(gone, flow.returned, following.returned);
  flow.broken = graph_.select(gone, flow.broken, following.broken);
  flow.continued = graph_.select(gone, flow.continued, following.continued);
  return flow;
}

// The last return is taken where no other is: C++ leaves open what a function gives that reaches its end.
Value Translator::value_of(const std::vector<Flow::Return>& returns) {
  if (returns.empty()) return Nothing{};
  Value value = returns.back().value;
  for (std::size_t i = returns.size() - 1; i-- > 0;) value = merged(returns[i].condition, returns[i].value, value);
  return value;
}

SlotId Translator::place_of(const std::vector<Flow::Return>& returns) {
  if (returns.empty()) return {};
  const SlotId place = returns.front().place;
  return std::ranges::all_of(returns, [&](const Flow::Return& one) { return one.place == place; }) ? place : SlotId{};
}

}  // namespace flexjit::cxx
