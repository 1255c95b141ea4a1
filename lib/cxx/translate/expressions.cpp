// Expressions that are values. Clang has made every conversion of C++ a node of its own, so that operands come with one type.
#include <clang/AST/APValue.h>

#include "cxx/translate/translator.h"

namespace flexjit::cxx {
namespace {

std::optional<Operator> operator_of(clang::BinaryOperatorKind opcode) {
  using namespace clang;
  switch (opcode) {
    case BO_Mul:
    case BO_MulAssign: return Operator::kMul;
    case BO_Div:
    case BO_DivAssign: return Operator::kDiv;
    case BO_Rem:
    case BO_RemAssign: return Operator::kMod;
    case BO_Add:
    case BO_AddAssign: return Operator::kAdd;
    case BO_Sub:
    case BO_SubAssign: return Operator::kSub;
    case BO_Shl:
    case BO_ShlAssign: return Operator::kShiftLeft;
    case BO_Shr:
    case BO_ShrAssign: return Operator::kShiftRight;
    case BO_And:
    case BO_AndAssign: return Operator::kBitAnd;
    case BO_Xor:
    case BO_XorAssign: return Operator::kBitXor;
    case BO_Or:
    case BO_OrAssign: return Operator::kBitOr;
    case BO_LT: return Operator::kLess;
    case BO_LE: return Operator::kLessEqual;
    case BO_GT: return Operator::kGreater;
    case BO_GE: return Operator::kGreaterEqual;
    case BO_EQ: return Operator::kEqual;
    case BO_NE: return Operator::kNotEqual;
    default: return std::nullopt;
  }
}

}  // namespace

Value Translator::evaluate(const clang::Expr* expression) {
  step(*expression);
  const dsl::Span outer = graph_.place();
  dsl::Span here = outer;
  if (tree_.place(expression->getSourceRange(), here)) graph_.set_place(here);
  Value value = evaluate_here(*expression);
  graph_.set_place(outer);
  return value;
}

Scalar Translator::scalar(const clang::Expr* expression) {
  const Value value = evaluate(expression);
  if (const Scalar* known = std::get_if<Scalar>(&value)) return *known;
  if (std::holds_alternative<Element>(value)) refuse(Finding::kPointer, expression->getSourceRange(), "");
  refuse_expression(*expression, "a value of this type");
}

NodeId Translator::condition(const clang::Expr* expression) { return arithmetic_.convert(scalar(expression), kBoolType).id; }

// A line a kind of expression.
Value Translator::evaluate_here(const clang::Expr& expression) {
  using namespace clang;
  switch (expression.getStmtClass()) {
    case Stmt::ParenExprClass: return evaluate(llvm::cast<ParenExpr>(expression).getSubExpr());
    case Stmt::ConstantExprClass: return evaluate(llvm::cast<ConstantExpr>(expression).getSubExpr());
    case Stmt::ExprWithCleanupsClass: return evaluate(llvm::cast<ExprWithCleanups>(expression).getSubExpr());
    case Stmt::CXXBindTemporaryExprClass: return evaluate(llvm::cast<CXXBindTemporaryExpr>(expression).getSubExpr());
    case Stmt::SubstNonTypeTemplateParmExprClass:
      return evaluate(llvm::cast<SubstNonTypeTemplateParmExpr>(expression).getReplacement());
    case Stmt::CXXDefaultArgExprClass: return evaluate(llvm::cast<CXXDefaultArgExpr>(expression).getExpr());
    case Stmt::CXXDefaultInitExprClass:
      return initialised_by_default(llvm::cast<CXXDefaultInitExpr>(expression).getExpr(), expression.getSourceRange());
    case Stmt::ArrayInitLoopExprClass: return copied_array(llvm::cast<ArrayInitLoopExpr>(expression));
    case Stmt::CXXStdInitializerListExprClass: {  // as a std::array
      const Location array = locate(llvm::cast<CXXStdInitializerListExpr>(expression).getSubExpr());
      return build(1, [&](unsigned) { return value_at(array); });
    }
    case Stmt::IntegerLiteralClass:
      return arithmetic_.integer(scalar_type_at(expression.getType(), expression.getSourceRange()),
                                 llvm::cast<IntegerLiteral>(expression).getValue().getSExtValue());
    case Stmt::CharacterLiteralClass:
      return arithmetic_.integer(scalar_type_at(expression.getType(), expression.getSourceRange()),
                                 llvm::cast<CharacterLiteral>(expression).getValue());
    case Stmt::CXXBoolLiteralExprClass:
      return Scalar{graph_.constant(llvm::cast<CXXBoolLiteralExpr>(expression).getValue()), kBoolType};
    case Stmt::FloatingLiteralClass: {
      const ScalarType type = scalar_type_at(expression.getType(), expression.getSourceRange());
      return arithmetic_.floating(type, llvm::cast<FloatingLiteral>(expression).getValueAsApproximateDouble());
    }
    case Stmt::UnaryOperatorClass: return unary(llvm::cast<UnaryOperator>(expression));
    case Stmt::BinaryOperatorClass: return binary(llvm::cast<BinaryOperator>(expression));
    case Stmt::CompoundAssignOperatorClass:
      return load(compound_assign(llvm::cast<CompoundAssignOperator>(expression)), expression);
    case Stmt::ConditionalOperatorClass: {
      const auto& choice = llvm::cast<ConditionalOperator>(expression);
      return conditional(choice, condition(choice.getCond()));
    }
    case Stmt::InitListExprClass: return list(llvm::cast<InitListExpr>(expression));
    case Stmt::ImplicitValueInitExprClass:
    case Stmt::CXXScalarValueInitExprClass: return zero_of(expression.getType(), expression);
    case Stmt::CallExprClass:
    case Stmt::CXXMemberCallExprClass:
    case Stmt::CXXOperatorCallExprClass: return call(llvm::cast<CallExpr>(expression));
    case Stmt::CXXConstructExprClass:
    case Stmt::CXXTemporaryObjectExprClass: return construct(llvm::cast<CXXConstructExpr>(expression));
    case Stmt::LambdaExprClass: return lambda(llvm::cast<LambdaExpr>(expression));
    case Stmt::CXXRewrittenBinaryOperatorClass:
      return evaluate(llvm::cast<CXXRewrittenBinaryOperator>(expression).getSemanticForm());
    default: break;
  }
  if (const auto* conversion = dyn_cast<CastExpr>(&expression)) return convert(*conversion);
  if (isa<clang::StringLiteral>(expression)) refuse_expression(expression, "a string");
  if (expression.isGLValue()) {
    if (!isa<DeclRefExpr, MemberExpr, ArraySubscriptExpr, MaterializeTemporaryExpr>(expression))
      refuse_expression(expression, "this expression");
    return load(locate_here(expression), expression);
  }
  if (std::optional<Value> known = constant(expression)) return *std::move(known);
  refuse_expression(expression, "this expression");
}

Value Translator::convert(const clang::CastExpr& expression) {
  using namespace clang;
  const Expr* inner = expression.getSubExpr();
  switch (expression.getCastKind()) {
    case CK_LValueToRValue: return load(locate(inner), *inner);
    case CK_NoOp:
    case CK_ConstructorConversion:
    case CK_UserDefinedConversion: return evaluate(inner);
    case CK_ArrayToPointerDecay: return value_at(locate(inner));
    case CK_ToVoid: evaluate(inner); return Nothing{};
    case CK_IntegralCast:
    case CK_IntegralToBoolean:
    case CK_IntegralToFloating:
    case CK_FloatingToIntegral:
    case CK_FloatingToBoolean:
    case CK_FloatingCast:
    case CK_BooleanToSignedIntegral:
      return arithmetic_.convert(scalar(inner), scalar_type_at(expression.getType(), expression.getSourceRange()));
    default: break;
  }
  if (std::optional<Value> known = constant(expression)) return *std::move(known);
  refuse_expression(expression, "this conversion");
}

Value Translator::unary(const clang::UnaryOperator& expression) {
  using namespace clang;
  switch (expression.getOpcode()) {
    case UO_Plus:
    case UO_Extension: return evaluate(expression.getSubExpr());
    case UO_Minus: return arithmetic_.unary(Operator::kNegate, scalar(expression.getSubExpr()));
    case UO_Not: return arithmetic_.unary(Operator::kBitNot, scalar(expression.getSubExpr()));
    case UO_LNot: return Scalar{graph_.unary(Operator::kNot, condition(expression.getSubExpr())), kBoolType};
    case UO_PreInc:
    case UO_PreDec:
    case UO_PostInc:
    case UO_PostDec: return load(increment(expression), expression);
    case UO_AddrOf: refuse(Finding::kPointer, expression.getSourceRange(), "");
    default: refuse_expression(expression, "this operator");
  }
}

Value Translator::binary(const clang::BinaryOperator& expression) {
  using namespace clang;
  if (expression.isLogicalOp()) return logical(expression);
  if (expression.getOpcode() == BO_Assign) return load(assign(expression), expression);
  if (expression.getOpcode() == BO_Comma) {
    evaluate(expression.getLHS());
    return evaluate(expression.getRHS());
  }
  if (expression.getLHS()->getType()->isPointerType() || expression.getRHS()->getType()->isPointerType())
    refuse(Finding::kPointer, expression.getSourceRange(), "");
  const auto op = operator_of(expression.getOpcode());
  if (!op) refuse_expression(expression, "this operator");
  const Scalar a = scalar(expression.getLHS());
  return arithmetic_.binary(*op, a, scalar(expression.getRHS()));
}

Location Translator::assign(const clang::BinaryOperator& expression) {
  if (expression.getType()->isPointerType()) refuse(Finding::kPointer, expression.getSourceRange(), "");
  Value value = copy(evaluate(expression.getRHS()));  // first, as C++17 has it
  Location location = locate(expression.getLHS());
  store(location, std::move(value), expression);
  return location;
}

Location Translator::compound_assign(const clang::CompoundAssignOperator& expression) {
  const Scalar right = scalar(expression.getRHS());
  Location location = locate(expression.getLHS());
  const Value before = load(location, *expression.getLHS());
  const Scalar* left = std::get_if<Scalar>(&before);
  const auto op = operator_of(expression.getOpcode());
  if (left == nullptr || !op) refuse(Finding::kPointer, expression.getSourceRange(), "");
  const ScalarType type = scalar_type_at(expression.getComputationLHSType(), expression.getSourceRange());
  const Scalar made = arithmetic_.binary(*op, arithmetic_.convert(*left, type), right);
  store(location, arithmetic_.convert(made, left->type), expression);
  return location;
}

// Ints of fewer than 32 bits are promoted, and wrapped again.
Location Translator::increment(const clang::UnaryOperator& expression) {
  Location location = locate(expression.getSubExpr());
  Value before = load(location, *expression.getSubExpr());
  const Scalar* known = std::get_if<Scalar>(&before);
  if (known == nullptr || known->type == kBoolType) refuse(Finding::kPointer, expression.getSourceRange(), "");
  const Operator op = expression.isIncrementOp() ? Operator::kAdd : Operator::kSub;
  const bool is_short = known->type.is_int() && known->type.bits < 32;
  const ScalarType type = is_short ? kIntType : known->type;
  const Scalar one = type.is_floating() ? arithmetic_.floating(type, 1) : arithmetic_.integer(type, 1);
  const Scalar after = arithmetic_.convert(arithmetic_.binary(op, arithmetic_.convert(*known, type), one), known->type);
  store(location, after, expression);
  return expression.isPrefix() ? location : Location{{}, std::move(before)};
}

// The right side is executed only where the left one leaves it open.
Value Translator::logical(const clang::BinaryOperator& expression) {
  const bool is_and = expression.getOpcode() == clang::BO_LAnd;
  const NodeId left = condition(expression.getLHS());
  if (const auto known = graph_.bool_value(left); known && *known != is_and) return Scalar{left, kBoolType};
  NodeId right = left;
  const auto run = [&] {
    right = condition(expression.getRHS());
    return none();
  };
  const auto skip = [&] { return none(); };
  is_and ? branch(left, run, skip) : branch(left, skip, run);
  return Scalar{graph_.binary(is_and ? Operator::kAnd : Operator::kOr, left, right), kBoolType};
}

Value Translator::conditional(const clang::ConditionalOperator& expression, NodeId holds) {
  Value yes, no;
  const auto side = [&](const clang::Expr* of, Value& value) {
    return [this, of, &value] {
      value = of->isGLValue() && !of->getType()->isVoidType() ? load(locate(of), *of) : evaluate(of);
      return none();
    };
  };
  branch(holds, side(expression.getTrueExpr(), yes), side(expression.getFalseExpr(), no));
  if (const auto known = graph_.bool_value(holds)) return *known ? yes : no;
  return merged(holds, yes, no);
}

std::optional<Value> Translator::constant(const clang::Expr& expression) {
  clang::Expr::EvalResult result;
  if (expression.isValueDependent() || !expression.EvaluateAsRValue(result, context_) || result.HasSideEffects)
    return std::nullopt;
  if (!result.Val.isInt() && !result.Val.isFloat()) return std::nullopt;
  return from_constant(result.Val, expression.getType(), expression.getSourceRange());
}

Value Translator::from_constant(const clang::APValue& value, clang::QualType type, clang::SourceRange at) {
  if (const auto scalar = scalar_type(type)) {
    if (value.isInt()) return arithmetic_.integer(*scalar, value.getInt().getExtValue());
    if (value.isFloat()) {
      llvm::APFloat wide = value.getFloat();
      bool loses = false;
      wide.convert(llvm::APFloat::IEEEdouble(), llvm::APFloat::rmNearestTiesToEven, &loses);
      return arithmetic_.floating(*scalar, wide.convertToDouble());
    }
  }
  Aggregate made;
  const auto add = [&](const clang::APValue& part, clang::QualType of) {
    Value known = from_constant(part, of, at);
    made.parts.push_back(new_slot(std::move(known)));
  };
  if (value.isArray() && value.getArraySize() <= 4096) {
    const clang::QualType element = context_.getAsArrayType(type)->getElementType();
    for (unsigned i = 0; i < value.getArraySize(); ++i)
      add(i < value.getArrayInitializedElts() ? value.getArrayInitializedElt(i) : value.getArrayFiller(), element);
    return made;
  }
  const auto* record = type->getAsCXXRecordDecl();
  if (value.isStruct() && record != nullptr && value.getStructNumBases() == 0) {
    for (const clang::FieldDecl* field : record->fields()) add(value.getStructField(field->getFieldIndex()), field->getType());
    return made;
  }
  refuse(Finding::kUnsupported, at, "a constant of this type", "");
}

}  // namespace flexjit::cxx
