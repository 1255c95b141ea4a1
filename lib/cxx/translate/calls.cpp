// Calls, executed where they stand: functions of the text, members of its structs, lambdas.
#include <algorithm>

#include "cxx/translate/translator.h"

namespace flexjit::cxx {

// What a parameter becomes: a reference names its argument, anything else is a variable of its own.
Location Translator::argument(const clang::ParmVarDecl* parameter, const clang::Expr* expression) {
  const bool by_reference = parameter != nullptr && parameter->getType()->isReferenceType();
  const bool is_pointer = parameter != nullptr && parameter->getType()->isPointerType();
  if (is_pointer) {  // to the elements of an array, which are the caller's
    const Location array = locate(expression);
    require_place(array, parameter->getType()->getPointeeType(), *expression);
    return {new_slot(array.slot.valid() ? slots_[array.slot.index] : array.value), {}};
  }
  if (by_reference) {
    Location location = locate(expression);
    require_place(location, parameter->getType(), *expression);
    if (!location.slot.valid()) location = {new_slot(std::move(location.value)), {}};
    return location;
  }
  Value value = copy(evaluate(expression));
  return {new_slot(std::move(value)), {}};
}

Value Translator::call(const clang::CallExpr& expression) {
  const Location location = call_location(expression);
  if (expression.isGLValue()) return load(location, expression);
  return location.slot.valid() ? slots_[location.slot.index] : location.value;
}

Location Translator::call_location(const clang::CallExpr& expression) {
  using namespace clang;
  const FunctionDecl* function = expression.getDirectCallee();
  if (function == nullptr) refuse_expression(expression, "a call of something that only the call of the pattern decides");
  if (std::optional<Location> named = call_named(*function, expression)) return *std::move(named);
  if (function->isConstexpr()) {
    if (std::optional<Value> known = constant(expression)) return {{}, *std::move(known)};
  }
  const auto* method = dyn_cast<CXXMethodDecl>(function);
  const bool is_operator = isa<CXXOperatorCallExpr>(expression) && method != nullptr;
  const Expr* object = nullptr;
  if (is_operator && !method->isStatic()) object = expression.getArg(0);
  if (const auto* member = dyn_cast<CXXMemberCallExpr>(&expression)) object = member->getImplicitObjectArgument();
  Location self;
  if (object != nullptr) self = locate(object);
  if (object != nullptr && method != nullptr && !method->isConst()) require_place(self, object->getType(), *object);
  std::vector<Location> arguments;
  for (unsigned i = object != nullptr && is_operator ? 1 : 0; i < expression.getNumArgs(); ++i) {
    const auto number = static_cast<unsigned>(arguments.size());
    const ParmVarDecl* parameter = number < function->getNumParams() ? function->getParamDecl(number) : nullptr;
    arguments.push_back(argument(parameter, expression.getArg(i)));
  }
  const Value whole = self.slot.valid() ? slots_[self.slot.index] : self.value;
  if (const auto* closure = std::get_if<std::shared_ptr<const Closure>>(&whole))
    return call_closure(**closure, *function, arguments, expression.getSourceRange());
  return call_function(*function, arguments, self, expression.getSourceRange());
}

Location Translator::call_function(const clang::FunctionDecl& called, const std::vector<Location>& arguments,
                                   const Location& object, clang::SourceRange at) {
  const clang::FunctionDecl* function = nullptr;
  if (called.getBody(function) == nullptr)
    refuse(Finding::kUnsupported, at, "`" + called.getNameAsString() + "`, which the text does not define,", "");
  const auto is_same = [&](const Frame& frame) { return frame.function == function; };
  if (std::ranges::any_of(frames_, is_same)) refuse(Finding::kRecursion, at, called.getNameAsString());
  if (frames_.size() >= kMaxCalls) refuse(Finding::kTooComplex, at, Graph::kMaxNodes);
  frames_.push_back({function, slots_.size(), object});
  for (std::size_t i = 0; i < arguments.size() && i < function->getNumParams(); ++i) {
    const clang::ParmVarDecl* parameter = function->getParamDecl(static_cast<unsigned>(i));
    variables_[parameter] = arguments[i];
    const Value& value = arguments[i].slot.valid() ? slots_[arguments[i].slot.index] : arguments[i].value;
    if (const Scalar* known = std::get_if<Scalar>(&value)) graph_.set_hint(known->id, parameter->getName());
  }
  const Flow flow = execute(function->getBody());
  const SlotId place = place_of(flow.returns);
  Location returned{place, {}};
  if (!place.valid()) returned = {{}, value_of(flow.returns), function->getReturnType()->isReferenceType()};
  frames_.pop_back();
  return returned;
}

// `function`: the instance for these arguments, where the lambda is generic.
Location Translator::call_closure(const Closure& closure, const clang::FunctionDecl& function,
                                  const std::vector<Location>& arguments, clang::SourceRange at) {
  std::map<const clang::ValueDecl*, Location> hidden;
  for (const auto& [variable, slot] : closure.captures) {
    if (const auto known = variables_.find(variable); known != variables_.end()) hidden.emplace(variable, known->second);
    variables_[variable] = {slot, {}};
  }
  Location value = call_function(function, arguments, {}, at);
  for (const auto& [variable, slot] : closure.captures) variables_.erase(variable);
  variables_.merge(hidden);
  return value;
}

Value Translator::lambda(const clang::LambdaExpr& expression) {
  auto made = std::make_shared<Closure>();
  made->record = expression.getLambdaClass();
  if (expression.isMutable()) refuse_expression(expression, "a lambda that is mutable");
  auto initialiser = expression.capture_init_begin();
  for (const clang::LambdaCapture& capture : expression.captures()) {
    const clang::Expr* from = *initialiser++;
    if (!capture.capturesVariable()) refuse_expression(expression, "a capture of this kind");
    const bool by_reference = capture.getCaptureKind() == clang::LCK_ByRef;
    Location location = by_reference ? locate(from) : Location{};
    require_place(location, from->getType(), *from);
    if (by_reference && !location.slot.valid()) location.slot = new_slot(std::move(location.value));
    if (!by_reference) {
      if (from->getType()->isPointerType()) refuse(Finding::kPointer, from->getSourceRange(), "");
      Value value = copy(evaluate(from));
      location.slot = new_slot(std::move(value));
    }
    made->captures.emplace(capture.getCapturedVar(), location.slot);
  }
  return std::shared_ptr<const Closure>(std::move(made));
}

// Copies, and structs without constructors of their own.
Value Translator::construct(const clang::CXXConstructExpr& expression) {
  const clang::CXXConstructorDecl& constructor = *expression.getConstructor();
  require_plain(expression.getType(), expression);
  if (constructor.isCopyOrMoveConstructor() && !constructor.isTrivial())
    refuse_expression(expression, "a struct that is copied by a constructor of its own");
  if (constructor.isCopyOrMoveConstructor() && expression.getNumArgs() == 1) {
    const clang::Expr* from = expression.getArg(0);
    if (!from->isGLValue()) return evaluate(from);
    const Location location = locate(from);
    return copy(location.slot.valid() ? slots_[location.slot.index] : location.value);
  }
  if (!constructor.isDefaultConstructor() || constructor.isUserProvided())
    refuse_expression(expression, "a constructor of a struct's own");
  if (expression.getType()->isArrayType()) refuse_expression(expression, "an array of structs without its `{}`");
  Aggregate made;
  for (const clang::FieldDecl* field : constructor.getParent()->fields()) {
    Value value = Nothing{};
    if (field->hasInClassInitializer()) {
      value = copy(evaluate(field->getInClassInitializer()));
    } else if (expression.requiresZeroInitialization()) {
      value = zero_of(field->getType(), expression);
    }
    made.parts.push_back(new_slot(std::move(value)));
  }
  return made;
}

}  // namespace flexjit::cxx
