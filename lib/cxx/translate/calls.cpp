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
    return {new_slot(value_at(array)), {}};
  }
  if (by_reference) {
    Location location = locate(expression);
    require_place(location, parameter->getType(), *expression);
    if (location.slot.valid()) return location;
    const SlotId slot = new_slot(std::move(location.value));
    if (location.is_chosen) copies_.insert(slot);
    return {slot, {}};
  }
  Value value = copy(evaluate(expression));
  return {new_slot(std::move(value)), {}};
}

Value Translator::call(const clang::CallExpr& expression) {
  const Location location = call_location(expression);
  if (expression.isGLValue()) return load(location, expression);
  return value_at(location);
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
  const bool assigns = method != nullptr && (method->isCopyAssignmentOperator() || method->isMoveAssignmentOperator());
  if (assigns && method->isTrivial()) return assign_object(expression);
  const Arguments arguments = arguments_of(*function, expression);
  const Value whole = value_at(arguments.object);
  if (const auto* closure = std::get_if<std::shared_ptr<const Closure>>(&whole))
    return call_closure(**closure, *function, arguments, expression.getSourceRange());
  return call_function(*function, arguments, expression.getSourceRange());
}

Translator::Arguments Translator::arguments_of(const clang::FunctionDecl& function, const clang::CallExpr& expression) {
  const auto* method = llvm::dyn_cast<clang::CXXMethodDecl>(&function);
  const auto* operation = llvm::dyn_cast<clang::CXXOperatorCallExpr>(&expression);
  const bool is_operator = operation != nullptr && method != nullptr;
  const clang::Expr* object = nullptr;
  if (is_operator && !method->isStatic()) object = expression.getArg(0);
  if (const auto* member = llvm::dyn_cast<clang::CXXMemberCallExpr>(&expression)) object = member->getImplicitObjectArgument();
  Arguments made;
  const auto freeze = [&](const Location& location, const clang::Expr& of) {
    if (may_be_stale(location, of)) add_variables(of, made.frozen);
  };
  const auto add_object = [&] {
    made.object = locate(object);
    if (!method->isConst()) require_place(made.object, object->getType(), *object);
    freeze(made.object, *object);
  };
  const bool is_last = is_operator && operation->isAssignmentOp();  // as C++17 has it
  if (object != nullptr && !is_last) add_object();
  for (unsigned i = object != nullptr && is_operator ? 1 : 0; i < expression.getNumArgs(); ++i) {
    const auto number = static_cast<unsigned>(made.values.size());
    const clang::ParmVarDecl* parameter = number < function.getNumParams() ? function.getParamDecl(number) : nullptr;
    made.values.push_back(argument(parameter, expression.getArg(i)));
    freeze(made.values.back(), *expression.getArg(i));
  }
  if (object != nullptr && is_last) add_object();
  return made;
}

Location Translator::call_function(const clang::FunctionDecl& called, const Arguments& arguments, clang::SourceRange at) {
  const clang::FunctionDecl* function = nullptr;
  if (called.getBody(function) == nullptr)
    refuse(Finding::kUnsupported, at, "`" + called.getNameAsString() + "`, which the text does not define,", "");
  const auto is_same = [&](const Frame& frame) { return frame.function == function; };
  if (std::ranges::any_of(frames_, is_same)) refuse(Finding::kRecursion, at, called.getNameAsString());
  if (frames_.size() >= kMaxCalls) refuse(Finding::kTooComplex, at, Graph::kMaxNodes);
  frames_.push_back({function, slots_.size(), arguments.object, arguments.frozen});
  for (std::size_t i = 0; i < arguments.values.size() && i < function->getNumParams(); ++i) {
    const clang::ParmVarDecl* parameter = function->getParamDecl(static_cast<unsigned>(i));
    variables_[parameter] = arguments.values[i];
    const Value value = value_at(arguments.values[i]);
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
Location Translator::call_closure(const Closure& closure, const clang::FunctionDecl& function, const Arguments& arguments,
                                  clang::SourceRange at) {
  std::map<const clang::ValueDecl*, Location> hidden;
  for (const auto& [variable, slot] : closure.captures) {
    if (const auto known = variables_.find(variable); known != variables_.end()) hidden.emplace(variable, known->second);
    variables_[variable] = {slot, {}};
  }
  Arguments given = arguments;
  given.object = {};  // a lambda has no members
  Location value = call_function(function, given, at);
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
    require_variable(location, *from);
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

}  // namespace flexjit::cxx
