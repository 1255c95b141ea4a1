// What the functions of the prelude mean, by the names that it gives them: operations of the language where it has them, else
// formulas with C++'s results, for NaN and zeros too.
#include <clang/AST/Attr.h>

#include <limits>

#include "cxx/translate/mods.h"
#include "cxx/translate/translator.h"

namespace flexjit::cxx {
namespace {

constexpr std::string_view kPrefix = "flexjit:";

// Of the declaration that the prelude gives a name; "" for any other, whatever a text annotates.
std::string_view name_in_prelude(const clang::FunctionDecl& function) {
  if (!is_of_prelude(function)) return "";
  for (const auto* annotation : function.specific_attrs<clang::AnnotateAttr>()) {
    const std::string_view text = annotation->getAnnotation();
    if (text.starts_with(kPrefix)) return text.substr(kPrefix.size());
  }
  return "";
}

}  // namespace

std::optional<Location> Translator::call_named(const clang::FunctionDecl& function, const clang::CallExpr& expression) {
  const std::string_view name = name_in_prelude(function);
  if (name.empty()) return std::nullopt;
  if (name == "element") return call_element(expression);
  if (name == "item") {
    const Location array = locate(expression.getArg(0));
    const Value whole = value_at(array);
    const Aggregate* parts = std::get_if<Aggregate>(&whole);
    if (parts == nullptr || parts->parts.size() != 1) refuse_expression(expression, "this array");
    return element_at(part_of(array, parts->parts[0]), scalar(expression.getArg(1)), expression);
  }
  const auto* member = llvm::dyn_cast<clang::CXXMemberCallExpr>(&expression);
  if (member != nullptr) {
    const Location object = locate(member->getImplicitObjectArgument());
    return name == "size" ? Location{{}, size_of(object, expression)} : Location{{}, load(object, expression)};
  }
  std::vector<Scalar> x;
  for (const clang::Expr* argument : expression.arguments()) {
    const Value value = value_at(this->argument(nullptr, argument));
    const Scalar* known = std::get_if<Scalar>(&value);
    if (known == nullptr) return std::nullopt;  // min of structs: the function's own body
    x.push_back(*known);
  }
  return Location{{}, call_math(name, x), expression.isGLValue()};  // min and max refer to one of their operands
}

// array(i, j) or array[i], of a span or a Tensor.
Location Translator::call_element(const clang::CallExpr& expression) {
  Location at = locate(expression.getArg(0));
  if (expression.getNumArgs() == 1) refuse_expression(expression, "no index");
  for (unsigned i = 1; i < expression.getNumArgs(); ++i) at = element_at(at, scalar(expression.getArg(i)), expression);
  return at;
}

Value Translator::size_of(const Location& array, const clang::CallExpr& expression) {
  const Value whole = value_at(array);
  const Element* element = std::get_if<Element>(&whole);
  if (element == nullptr) refuse_expression(expression, "this size");
  const std::string& extent = element->array->extents.front();
  const ScalarType type = scalar_type_at(expression.getType(), expression.getSourceRange());
  if (extent == "?")
    refuse(Finding::kExtents, expression.getSourceRange(), "?", "do not say how many elements there are; declare the size");
  if (extent.find_first_not_of("0123456789") == std::string::npos)
    return arithmetic_.integer(type, std::strtoll(extent.c_str(), nullptr, 10));
  const Scalar size{graph_.name(extent, Type::kInt, {1, 1 << 30}), kIntType};
  return arithmetic_.convert(size, type);
}

Scalar Translator::call_math(std::string_view name, const std::vector<Scalar>& x) {
  const Scalar a = x[0], b = x.back();
  const auto compare = [&](Operator op, Scalar left, Scalar right) { return arithmetic_.binary(op, left, right).id; };
  const auto infinite = [&] { return arithmetic_.floating(a.type, std::numeric_limits<double>::infinity()); };
  // min(b, a) is `b < a ? b : a`, which is what the standard says of std::min(a, b).
  if (name == "min" || name == "max") return arithmetic_.minimum(name, b, a);
  if (name == "clamp") return arithmetic_.minimum("min", x[2], arithmetic_.minimum("max", x[1], a));
  if (name == "abs") return arithmetic_.absolute(a);
  if (name == "isnan") return {compare(Operator::kNotEqual, a, a), kBoolType};
  if (name == "isinf") return {compare(Operator::kEqual, arithmetic_.absolute(a), infinite()), kBoolType};
  if (name == "isfinite") return {compare(Operator::kLess, arithmetic_.absolute(a), infinite()), kBoolType};
  const NodeId b_is_nan = x.size() > 1 ? compare(Operator::kNotEqual, b, b) : NodeId{};
  if (name == "fmin") return select(b_is_nan, a, arithmetic_.minimum("min", a, b));
  if (name == "fmax") return select(b_is_nan, a, arithmetic_.minimum("max", a, b));
  const Scalar zero = a.type.is_floating() ? arithmetic_.floating(a.type, 0) : arithmetic_.integer(a.type, 0);
  if (name == "fmod") {  // of magnitudes, where it is the language's `%`, with the sign of a
    const Scalar y = arithmetic_.absolute(b), size = arithmetic_.absolute(a);
    const NodeId rest = graph_.binary(Operator::kMod, size.id, y.id);
    const Scalar positive{rest, a.type};
    return select(compare(Operator::kLess, a, zero), arithmetic_.unary(Operator::kNegate, positive), positive);
  }
  const auto truncated = [&] {
    return select(compare(Operator::kLess, a, zero), arithmetic_.call("ceil", {a}), arithmetic_.call("floor", {a}));
  };
  if (name == "trunc") return truncated();
  if (name == "round_away") {
    const Scalar whole = truncated(), half = arithmetic_.floating(a.type, 0.5), one = arithmetic_.floating(a.type, 1);
    const Scalar rest = arithmetic_.absolute(arithmetic_.binary(Operator::kSub, a, whole));
    const Scalar unit = select(compare(Operator::kLess, a, zero), arithmetic_.unary(Operator::kNegate, one), one);
    return select(compare(Operator::kGreaterEqual, rest, half), arithmetic_.binary(Operator::kAdd, whole, unit), whole);
  }
  if (name == "pow") return arithmetic_.call("pow", {a, b});
  return arithmetic_.call(name, {a});
}

}  // namespace flexjit::cxx
