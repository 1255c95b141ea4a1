// Clang's types -> what the translator and the language call them.
#include <clang/AST/DeclTemplate.h>
#include <clang/Basic/SourceManager.h>

#include "cxx/parse/spelling.h"
#include "cxx/translate/mods.h"
#include "cxx/translate/translator.h"

namespace flexjit::cxx {
namespace {

std::optional<DType> dtype_of(ScalarType type) {
  using Base = ScalarType::Base;
  switch (type.base) {
    case Base::kBool: return DType::kBool;
    case Base::kFloat: return DType::kF32;
    case Base::kDouble: return DType::kF64;
    case Base::kInt: break;
  }
  if (type.bits == 8) return type.is_signed ? DType::kI8 : DType::kU8;
  if (type.bits == 32 && type.is_signed) return DType::kI32;
  if (type.bits == 64 && type.is_signed) return DType::kI64;
  return std::nullopt;
}

// Of the prelude's types of small floats, which read as float.
std::optional<DType> small_float(clang::QualType type) {
  const auto* record = type->getAsCXXRecordDecl();
  if (record == nullptr || record->getDeclContext()->isTranslationUnit()) return std::nullopt;
  const auto* space = llvm::dyn_cast<clang::NamespaceDecl>(record->getDeclContext());
  if (space == nullptr || space->getName() != "flexjit") return std::nullopt;
  for (const DType dtype : {DType::kF16, DType::kBF16, DType::kE4M3, DType::kE5M2}) {
    if (record->getName() == llvm::StringRef(name_of(dtype))) return dtype;
  }
  return std::nullopt;
}

void set_element(Signature& signature, clang::QualType type, const clang::ASTContext& context) {
  signature.is_const = type.isConstQualified();
  signature.dtype = small_float(type);
  if (signature.dtype) {
    signature.element = kFloatType;
  } else if (const auto scalar = scalar_type_of(type, context)) {
    signature.dtype = dtype_of(*scalar);
    if (signature.dtype) signature.element = scalar;
  }
}

}  // namespace

Signature signature_of(const clang::ParmVarDecl& parameter, const clang::ASTContext& context) {
  Signature signature;
  clang::QualType type = parameter.getOriginalType().getNonReferenceType();
  if (const auto* adjusted = type->getAs<clang::DecayedType>()) type = adjusted->getOriginalType();
  const auto add_arrays = [&] {
    while (const auto* array = context.getAsConstantArrayType(type)) {
      signature.extents.push_back(std::to_string(array->getSize().getLimitedValue(INT32_MAX)));
      type = array->getElementType();
    }
  };
  const auto* record = type->getAsCXXRecordDecl();
  const auto* instance = llvm::dyn_cast_or_null<clang::ClassTemplateSpecializationDecl>(record);
  if (instance != nullptr) {
    const clang::TemplateArgumentList& arguments = instance->getTemplateArgs();
    const bool is_span = instance->isInStdNamespace() && instance->getName() == "span";
    const bool is_tensor = instance->getName() == "Tensor" && !instance->isInStdNamespace();
    if ((!is_span && !is_tensor) || arguments.size() < 2) return signature;
    const std::int64_t count = arguments[1].getAsIntegral().getExtValue();
    if (is_span) signature.extents.push_back(count < 0 ? "?" : std::to_string(count));
    if (is_tensor) signature.extents.assign(static_cast<std::size_t>(std::clamp<std::int64_t>(count, 1, 8)), "?");
    set_element(signature, arguments[0].getAsType(), context);
    return signature;
  }
  if (type->isPointerType()) {
    signature.extents.emplace_back("?");
    type = type->getPointeeType();
  } else if (const auto* array = context.getAsIncompleteArrayType(type)) {
    signature.extents.emplace_back("?");
    type = array->getElementType();
  }
  add_arrays();
  if (!signature.extents.empty()) set_element(signature, type, context);
  return signature;
}

std::optional<ScalarType> scalar_type_of(clang::QualType type, const clang::ASTContext& context) {
  type = type.getNonReferenceType().getCanonicalType();
  if (const auto* choices = type->getAsEnumDecl(); choices != nullptr && choices->getIntegerType()->isBooleanType())
    return kBoolType;
  if (type->isBooleanType()) return kBoolType;
  if (type->isSpecificBuiltinType(clang::BuiltinType::Float)) return kFloatType;
  if (type->isSpecificBuiltinType(clang::BuiltinType::Double)) return kDoubleType;
  if (!type->isIntegralOrEnumerationType() || type->isBitIntType()) return std::nullopt;
  const std::uint64_t bits = context.getIntWidth(type);
  if (bits > 64) return std::nullopt;
  return ScalarType{ScalarType::Base::kInt, static_cast<std::uint8_t>(bits), type->isSignedIntegerOrEnumerationType()};
}

bool is_of_prelude(const clang::Decl& declaration) {
  return declaration.getASTContext().getSourceManager().isLoadedSourceLocation(declaration.getLocation());
}

bool is_const(clang::QualType type, const clang::ASTContext& context) {
  return context.getBaseElementType(type.getNonReferenceType()).isConstQualified();
}

// A value is its parts, each a variable: what C++ does beside that when one is made, copied or ended has no place here.
void Translator::require_plain(clang::QualType type, clang::SourceRange at) {
  if (type->isVectorType()) refuse(Finding::kUnsupported, at, "a vector", "");
  if (type->isPointerType()) refuse(Finding::kPointer, at, "");
  const auto* record = type->getAsCXXRecordDecl();
  if (record == nullptr || record->isLambda() || is_of_prelude(*record) || !record->hasDefinition()) return;
  const auto refuse_struct = [&](std::string_view what) {
    refuse(Finding::kUnsupported, at, fmt::format("a struct with {}", what), "");
  };
  if (record->getNumBases() > 0) refuse_struct("a base");
  if (!record->hasTrivialDestructor()) refuse_struct("a destructor of its own");
  for (const clang::FieldDecl* field : record->fields()) {
    if (field->getType()->isReferenceType()) refuse_struct("a reference as a member");
    if (field->getType()->isPointerType()) refuse_struct("a pointer as a member");
    if (field->isBitField()) refuse_struct("a bit-field");
  }
}

std::optional<ScalarType> Translator::scalar_type(clang::QualType type) const { return scalar_type_of(type, context_); }

ScalarType Translator::scalar_type_at(clang::QualType type, clang::SourceRange at) {
  if (const auto known = scalar_type(type)) return *known;
  if (type->isPointerType()) refuse(Finding::kPointer, at, "");
  refuse(Finding::kUnsupported, at, "a value of type `" + spelled(type) + "`", "");
}

void Translator::step(const clang::Stmt& at) {
  if (++steps_ > kMaxSteps || graph_.is_full()) refuse(Finding::kTooComplex, at.getSourceRange(), Graph::kMaxNodes);
}

void Translator::charge(std::size_t steps) {
  steps_ += steps;
  if (steps_ > kMaxSteps) refuse(Finding::kTooComplex, {}, Graph::kMaxNodes);
}

void Translator::refuse_expression(const clang::Stmt& at, std::string_view what) {
  refuse(Finding::kUnsupported, at.getSourceRange(), what, "");
}

}  // namespace flexjit::cxx
