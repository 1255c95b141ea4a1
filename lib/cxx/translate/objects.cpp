// Structs and arrays, each a variable a part: as lists, defaults and constructors of the language's own make them, copied, and
// assigned.
#include <utility>

#include "cxx/translate/translator.h"

namespace flexjit::cxx {

// While parts are made, those before them can be read by the initialisers of members.
Value Translator::build(std::uint64_t count, const std::function<Value(unsigned)>& part) {
  const Location whole{new_slot(Aggregate{}), {}};
  const Location outer = std::exchange(built_, whole);
  for (unsigned i = 0; i < count; ++i) {
    Value value = part(i);
    const SlotId made = new_slot(std::move(value));
    std::get<Aggregate>(slots_[whole.slot.index]).parts.push_back(made);
  }
  built_ = outer;
  return value_at(whole);
}

Value Translator::list(const clang::InitListExpr& expression) {
  constexpr unsigned kMaxParts = 4096;
  if (scalar_type(expression.getType()))
    return expression.getNumInits() > 0 ? evaluate(expression.getInit(0)) : zero_of(expression.getType(), expression);
  require_plain(expression.getType(), expression.getSourceRange());
  std::uint64_t count = expression.getNumInits();
  const auto* array = context_.getAsConstantArrayType(expression.getType());
  if (array != nullptr) count = array->getSize().getLimitedValue();
  if (count > kMaxParts)
    refuse(Finding::kUnsupported, expression.getSourceRange(), "an array of more than 4096 elements", "; capture it");
  return build(count, [&](unsigned i) {
    const clang::Expr* part = i < expression.getNumInits() ? expression.getInit(i) : expression.getArrayFiller();
    return part != nullptr ? copy(evaluate(part)) : zero_of(array->getElementType(), expression);
  });
}

// Without a list: members by their defaults, or else zeros, or else without a value.
Value Translator::initialised(clang::QualType type, clang::SourceRange at, bool with_zeros) {
  if (const auto scalar = scalar_type(type)) {
    if (!with_zeros) return Nothing{};
    return scalar->is_floating() ? arithmetic_.floating(*scalar, 0) : arithmetic_.integer(*scalar, 0);
  }
  require_plain(type, at);
  if (const auto* array = context_.getAsConstantArrayType(type)) {
    if (array->getSize().getLimitedValue() > 4096) refuse(Finding::kUnsupported, at, "an array of more than 4096 elements", "");
    return build(array->getSize().getLimitedValue(),
                 [&](unsigned) { return initialised(array->getElementType(), at, with_zeros); });
  }
  const auto* record = type->getAsCXXRecordDecl();
  if (record == nullptr || record->isLambda()) refuse(Finding::kUnsupported, at, "a value of this type", "");
  if (record->hasUserProvidedDefaultConstructor()) refuse(Finding::kUnsupported, at, "a constructor of a struct's own", "");
  const std::vector<const clang::FieldDecl*> fields(record->field_begin(), record->field_end());
  return build(fields.size(), [&](unsigned i) {
    const clang::FieldDecl& field = *fields[i];
    return field.hasInClassInitializer() ? copy(initialised_by_default(field.getInClassInitializer(), at))
                                         : initialised(field.getType(), at, with_zeros);
  });
}

// In which `this` is the object that is being built.
Value Translator::initialised_by_default(const clang::Expr* initialiser, clang::SourceRange at) {
  if (initialiser == nullptr) refuse(Finding::kUnsupported, at, "a member whose initialiser is not known", "");
  frames_.push_back({.first_slot = slots_.size(), .object = built_});
  Value value = evaluate(initialiser);
  frames_.pop_back();
  return value;
}

// Copies, and structs without constructors of their own.
Value Translator::construct(const clang::CXXConstructExpr& expression) {
  const clang::CXXConstructorDecl& constructor = *expression.getConstructor();
  require_plain(expression.getType(), expression.getSourceRange());
  if (constructor.isCopyOrMoveConstructor() && !constructor.isTrivial())
    refuse_expression(expression, "a struct that is copied by a constructor of its own");
  if (constructor.isCopyOrMoveConstructor() && expression.getNumArgs() == 1) {
    const clang::Expr* from = expression.getArg(0);
    return from->isGLValue() ? copy(value_at(locate(from))) : evaluate(from);
  }
  if (!constructor.isDefaultConstructor() || constructor.isUserProvided())
    refuse_expression(expression, "a constructor of a struct's own");
  return initialised(expression.getType(), expression.getSourceRange(), expression.requiresZeroInitialization());
}

// Of a lambda or a structured binding that holds it by value.
Value Translator::copied_array(const clang::ArrayInitLoopExpr& expression) {
  if (!expression.getType().isTriviallyCopyableType(context_))
    refuse_expression(expression, "a struct that is copied by a constructor of its own");
  return copy(value_at(locate(expression.getCommonExpr()->getSourceExpr())));
}

// By the operator that every struct has, which writes its parts.
Location Translator::assign_object(const clang::CallExpr& expression) {
  const auto* member = llvm::dyn_cast<clang::CXXMemberCallExpr>(&expression);
  const clang::Expr* object = member != nullptr ? member->getImplicitObjectArgument() : expression.getArg(0);
  Value value = copy(value_at(locate(expression.getArg(member != nullptr ? 0 : 1))));
  Location location = locate(object);
  require_place(location, object->getType(), *object);
  store(location, std::move(value), expression);
  return location;
}

}  // namespace flexjit::cxx
