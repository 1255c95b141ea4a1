// Expressions that name a place: variables, elements, fields; and reading and writing there.
#include "cxx/translate/mods.h"
#include "cxx/translate/translator.h"

namespace flexjit::cxx {

SlotId Translator::new_slot(Value value) {
  charge(1);
  slots_.push_back(std::move(value));
  return {static_cast<std::uint32_t>(slots_.size() - 1)};
}

Value Translator::copy(const Value& value) {
  const Aggregate* parts = std::get_if<Aggregate>(&value);
  if (parts == nullptr) return value;
  Aggregate made;
  for (const SlotId part : std::vector<SlotId>(parts->parts)) {
    Value of_part = copy(slots_[part.index]);
    made.parts.push_back(new_slot(std::move(of_part)));
  }
  return made;
}

Location Translator::locate(const clang::Expr* expression) {
  step(*expression);
  const dsl::Span outer = graph_.place();
  dsl::Span here = outer;
  if (tree_.place(expression->getSourceRange(), here)) graph_.set_place(here);
  Location location = locate_here(*expression);
  graph_.set_place(outer);
  return location;
}

// A line a kind of expression.
Location Translator::locate_here(const clang::Expr& expression) {
  using namespace clang;
  if (const auto* inner = dyn_cast<ParenExpr>(&expression)) return locate(inner->getSubExpr());
  if (const auto* inner = dyn_cast<ExprWithCleanups>(&expression)) return locate(inner->getSubExpr());
  if (const auto* inner = dyn_cast<MaterializeTemporaryExpr>(&expression)) return {new_slot(evaluate(inner->getSubExpr())), {}};
  if (const auto* inner = dyn_cast<SubstNonTypeTemplateParmExpr>(&expression)) return locate(inner->getReplacement());
  if (const auto* inner = dyn_cast<CXXDefaultArgExpr>(&expression)) return locate(inner->getExpr());
  if (isa<CXXThisExpr>(&expression)) {
    if (frames_.empty()) refuse_expression(expression, "`this` outside of a function");
    return frames_.back().object;
  }
  if (const auto* name = dyn_cast<DeclRefExpr>(&expression)) return variable(*name->getDecl(), name->getSourceRange());
  if (const auto* at = dyn_cast<MemberExpr>(&expression)) return member(*at);
  if (const auto* at = dyn_cast<ArraySubscriptExpr>(&expression)) return subscript(*at);
  if (const auto* at = dyn_cast<CallExpr>(&expression)) return call_location(*at);
  if (const auto* list = dyn_cast<InitListExpr>(&expression); list != nullptr && expression.isGLValue())
    return locate(list->getInit(0));
  if (const auto* cast = dyn_cast<CastExpr>(&expression)) {
    const CastKind kind = cast->getCastKind();
    const QualType from = cast->getSubExpr()->getType(), to = cast->getType();
    if (isa<ExplicitCastExpr>(cast) && expression.isGLValue() && is_const(from, context_) && !is_const(to, context_))
      refuse_expression(expression, "a cast that takes `const` away");
    const bool is_same = kind == CK_NoOp || kind == CK_ArrayToPointerDecay || kind == CK_LValueToRValue;
    const bool is_this = isa<CXXThisExpr>(cast->getSubExpr());  // of a function that reads the object only
    if (is_same && (cast->getSubExpr()->isGLValue() || kind == CK_ArrayToPointerDecay || is_this))
      return locate(cast->getSubExpr());
  }
  if (const auto* operation = dyn_cast<UnaryOperator>(&expression)) {
    const auto opcode = operation->getOpcode();
    if (opcode == UO_Deref && isa<CXXThisExpr>(operation->getSubExpr()->IgnoreParenImpCasts()))
      return locate(operation->getSubExpr()->IgnoreParenImpCasts());
    if (opcode == UO_Deref) return element_at(locate(operation->getSubExpr()), arithmetic_.integer(kIntType, 0), expression);
    if (opcode == UO_PreInc || opcode == UO_PreDec) return increment(*operation);
    if (opcode == UO_Extension) return locate(operation->getSubExpr());
  }
  if (const auto* operation = dyn_cast<BinaryOperator>(&expression)) {
    if (const auto* compound = dyn_cast<CompoundAssignOperator>(operation)) return compound_assign(*compound);
    if (operation->isAssignmentOp()) return assign(*operation);
    if (operation->getOpcode() == BO_Comma) {
      evaluate(operation->getLHS());
      return locate(operation->getRHS());
    }
    const bool is_sum = operation->getOpcode() == BO_Add && operation->getType()->isPointerType();
    if (is_sum) refuse(Finding::kPointer, expression.getSourceRange(), ", as `table[i]`");
  }
  if (const auto* choice = dyn_cast<ConditionalOperator>(&expression); choice != nullptr && expression.isGLValue()) {
    const NodeId holds = condition(choice->getCond());
    if (const auto known = graph_.bool_value(holds)) return locate(*known ? choice->getTrueExpr() : choice->getFalseExpr());
    return {{}, conditional(*choice, holds), true};
  }
  return {{}, evaluate_here(expression)};
}

Location Translator::variable(const clang::ValueDecl& declaration, clang::SourceRange at) {
  if (const auto known = variables_.find(&declaration); known != variables_.end()) return known->second;
  if (const auto* binding = llvm::dyn_cast<clang::BindingDecl>(&declaration)) return locate(binding->getBinding());
  const auto* variable = llvm::dyn_cast<clang::VarDecl>(&declaration);
  if (variable == nullptr) refuse(Finding::kUnsupported, at, "`" + declaration.getNameAsString() + "` as a value", "");
  const clang::Expr* initialiser = variable->getAnyInitializer();
  const bool is_constant = variable->isConstexpr() || (variable->getType().isConstQualified() && initialiser != nullptr);
  if (is_constant && initialiser != nullptr) {
    const auto* record = variable->getType()->getAsCXXRecordDecl();
    if (record != nullptr && record->isLambda()) return variables_[variable] = {new_slot(evaluate(initialiser)), {}};
    if (const clang::APValue* value = variable->evaluateValue())
      return variables_[variable] = {{}, from_constant(*value, variable->getType(), at)};
    if (scalar_type(variable->getType())) return variables_[variable] = constant_of_functions(*variable);
  }
  refuse(Finding::kGlobal, at, declaration.getNameAsString());
}

// A constant that Clang does not compute, as functions of floats have no body: it is computed where it is used.
Location Translator::constant_of_functions(const clang::VarDecl& variable) {
  const SlotId slot = new_slot(Nothing{});
  variables_[&variable] = {slot, {}};  // where its initialiser reads it, it has no value yet
  const Scalar value = scalar(variable.getAnyInitializer());
  if (graph_.depends_on_call(value.id)) refuse(Finding::kGlobal, variable.getSourceRange(), variable.getNameAsString());
  slots_[slot.index] = value;
  return {slot, {}};
}

Location Translator::member(const clang::MemberExpr& expression) {
  const auto* field = llvm::dyn_cast<clang::FieldDecl>(expression.getMemberDecl());
  if (field == nullptr) {
    if (const auto* variable = llvm::dyn_cast<clang::VarDecl>(expression.getMemberDecl()))
      return this->variable(*variable, expression.getSourceRange());
    refuse_expression(expression, "this member");
  }
  const Location object = locate(expression.getBase());
  const Value whole = value_at(object);
  const Aggregate* parts = std::get_if<Aggregate>(&whole);
  if (parts == nullptr || field->getFieldIndex() >= parts->parts.size()) refuse_expression(expression, "this member");
  return part_of(object, parts->parts[field->getFieldIndex()]);
}

// Those of a value that is chosen among variables are copies.
Location Translator::part_of(const Location& whole, SlotId part) {
  return whole.is_chosen ? Location{{}, slots_[part.index], true} : Location{part, {}};
}

namespace {

// Whether it names a variable that is declared const, or a part of one: nothing writes there.
bool names_constant(const clang::Expr& expression, const clang::ASTContext& context) {
  using namespace clang;
  const Expr& at = *expression.IgnoreParenImpCasts();
  if (const auto* name = dyn_cast<DeclRefExpr>(&at))
    return !name->getDecl()->getType()->isReferenceType() && is_const(name->getDecl()->getType(), context);
  if (const auto* of = dyn_cast<MemberExpr>(&at)) return !of->isArrow() && names_constant(*of->getBase(), context);
  if (const auto* of = dyn_cast<ArraySubscriptExpr>(&at)) return names_constant(*of->getBase(), context);
  if (const auto* of = dyn_cast<CXXOperatorCallExpr>(&at)) return names_constant(*of->getArg(0), context);
  if (const auto* of = dyn_cast<ConditionalOperator>(&at))
    return names_constant(*of->getTrueExpr(), context) && names_constant(*of->getFalseExpr(), context);
  return false;
}

}  // namespace

// Whether it is a copy of a variable that may be written while the copy is read in its place.
bool Translator::may_be_stale(const Location& location, const clang::Expr& of) const {
  const bool is_copy = location.is_chosen || (location.slot.valid() && copies_.contains(location.slot));
  return is_copy && !names_constant(of, context_);
}

// Of all variables that an expression names, those that hold numbers.
void Translator::add_variables(const clang::Stmt& of, std::set<SlotId>& slots) const {
  if (const auto* name = llvm::dyn_cast<clang::DeclRefExpr>(&of)) {
    if (const auto known = variables_.find(name->getDecl()); known != variables_.end()) add_variables(known->second, slots);
  }
  if (llvm::isa<clang::CXXThisExpr>(&of) && !frames_.empty()) add_variables(frames_.back().object, slots);
  for (const clang::Stmt* part : of.children()) {
    if (part != nullptr) add_variables(*part, slots);
  }
}

void Translator::add_variables(const Location& at, std::set<SlotId>& slots) const {
  const Value value = value_at(at);
  if (const Aggregate* whole = std::get_if<Aggregate>(&value)) {
    for (const SlotId part : whole->parts) add_variables(Location{part, {}}, slots);
  } else if (const auto* closure = std::get_if<std::shared_ptr<const Closure>>(&value)) {
    for (const auto& [variable, slot] : (*closure)->captures) add_variables(Location{slot, {}}, slots);
  } else if (at.slot.valid()) {
    slots.insert(at.slot);
  }
}

// What a reference is to name as long as it lives.
void Translator::require_variable(const Location& location, const clang::Expr& at) {
  if (may_be_stale(location, at))
    refuse(Finding::kUnsupported, at.getSourceRange(), "a reference to a variable that the call of the pattern chooses",
           "; copy its value");
}

// A reference to one of several variables is refused, but for what cannot be written: that is its value.
void Translator::require_place(const Location& location, clang::QualType type, const clang::Stmt& at) {
  if (location.is_chosen && !is_const(type, context_))
    refuse_expression(at, "a reference to a variable that the call of the pattern chooses");
}

Location Translator::subscript(const clang::ArraySubscriptExpr& expression) {
  const Location base = locate(expression.getBase());
  return element_at(base, scalar(expression.getIdx()), expression);
}

Location Translator::element_at(const Location& array, Scalar index, const clang::Expr& at) {
  const Value whole = value_at(array);
  if (const Element* element = std::get_if<Element>(&whole)) {
    Element inner = *element;
    if (inner.indices.size() >= inner.array->extents.size()) refuse_expression(at, "more indices than the array has extents");
    const bool is_short = index.type.bits < 64;
    inner.indices.push_back(is_short && !index.type.is_signed && graph_.range(index.id).lo < 0
                                ? arithmetic_.convert(index, kLongType).id
                                : index.id);
    return {{}, std::move(inner)};
  }
  if (const Aggregate* parts = std::get_if<Aggregate>(&whole)) return pick(array, *parts, index, at);
  refuse(Finding::kPointer, at.getSourceRange(), "");
}

// An element of an array of its own: that variable, or a choice among all of them.
Location Translator::pick(const Location& array, const Aggregate& parts, Scalar index, const clang::Expr& at) {
  constexpr std::size_t kMaxChoice = 64;
  const auto known = graph_.int_value(index.id);
  const std::size_t count = parts.parts.size();
  if (known) {
    if (*known < 0 || static_cast<std::size_t>(*known) >= count)
      refuse(Finding::kUnsupported, at.getSourceRange(), fmt::format("element {} of an array of {}", *known, count), "");
    return part_of(array, parts.parts[static_cast<std::size_t>(*known)]);
  }
  if (count > kMaxChoice || count == 0)
    refuse(Finding::kUnsupported, at.getSourceRange(), "an index that the call decides into an array of more than 64 elements",
           "; capture the array");
  Value value = slots_[parts.parts[count - 1].index];
  for (std::size_t i = count - 1; i-- > 0;) {
    const Scalar number = arithmetic_.integer(index.type, static_cast<std::int64_t>(i));
    value = merged(arithmetic_.binary(Operator::kEqual, index, number).id, slots_[parts.parts[i].index], value);
  }
  return {{}, std::move(value), true};
}

Value Translator::load(const Location& location, const clang::Expr& at) {
  const Value& value = location.slot.valid() ? slots_[location.slot.index] : location.value;
  if (const Element* element = std::get_if<Element>(&value)) {
    const Captured& array = *element->array;
    if (element->indices.size() != array.extents.size()) return value;
    const NodeId read = graph_.read(array.name, array.type, array.range, element->indices);
    return Scalar{read, array.element};
  }
  if (std::holds_alternative<Nothing>(value)) {
    const auto* name = llvm::dyn_cast<clang::DeclRefExpr>(at.IgnoreParenImpCasts());
    refuse(Finding::kUninitialised, at.getSourceRange(), name != nullptr ? name->getDecl()->getNameAsString() : "this value");
  }
  return value;
}

void Translator::store(const Location& location, Value value, const clang::Expr& at) {
  if (!location.slot.valid()) refuse(Finding::kWrite, at.getSourceRange(), "this");
  for (const Frame& frame : frames_) {
    if (frame.frozen.contains(location.slot))
      refuse_expression(at, "a write to a variable that a reference or a loop may name, as the call of the pattern chooses,");
  }
  if (std::holds_alternative<Element>(slots_[location.slot.index]))
    refuse(Finding::kWrite, at.getSourceRange(), "a captured array");
  if (const Aggregate* parts = std::get_if<Aggregate>(&slots_[location.slot.index])) {
    const Aggregate* given = std::get_if<Aggregate>(&value);
    const std::vector<SlotId> to = parts->parts;
    if (given == nullptr || given->parts.size() != to.size()) refuse_expression(at, "this assignment");
    std::vector<Value> values;
    for (const SlotId part : given->parts) values.push_back(slots_[part.index]);
    for (std::size_t i = 0; i < to.size(); ++i) store({to[i], {}}, values[i], at);
    return;
  }
  slots_[location.slot.index] = std::move(value);
}

}  // namespace flexjit::cxx
