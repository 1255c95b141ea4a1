// By counting the names of a canonical type, each part as often as it would be written, up to the limit.
#include "cxx/parse/spelling.h"

#include <clang/AST/ASTDiagnostic.h>
#include <clang/AST/DeclTemplate.h>
#include <clang/AST/DeclarationName.h>
#include <clang/AST/Type.h>
#include <clang/Basic/Diagnostic.h>
#include <fmt/format.h>

namespace flexjit::cxx {
namespace {

// What is counted ends at the limit, so that it takes no longer than what may be written.
class Names {
 public:
  explicit Names(std::uint64_t limit) : limit_(limit) {}

  bool are_too_many() const { return count_ > limit_; }

  void add(clang::QualType type) {
    if (++count_ > limit_ || type.isNull()) return;
    const clang::Type& canonical = *type.getCanonicalType();
    if (const auto* function = llvm::dyn_cast<clang::FunctionProtoType>(&canonical)) {
      add(function->getReturnType());
      for (const clang::QualType parameter : function->param_types()) add(parameter);
    } else if (const auto* array = llvm::dyn_cast<clang::ArrayType>(&canonical)) {
      add(array->getElementType());
    } else if (const clang::QualType inner = canonical.getPointeeType(); !inner.isNull()) {
      add(inner);
    } else if (const clang::TagDecl* tag = canonical.getAsTagDecl()) {
      add(*tag);
    }
  }

  void add(const clang::Decl& declaration) {
    if (++count_ > limit_) return;
    if (const auto* record = llvm::dyn_cast<clang::ClassTemplateSpecializationDecl>(&declaration))
      add(record->getTemplateArgs().asArray());
    if (const auto* variable = llvm::dyn_cast<clang::VarTemplateSpecializationDecl>(&declaration))
      add(variable->getTemplateArgs().asArray());
    const auto* function = llvm::dyn_cast<clang::FunctionDecl>(&declaration);
    if (function != nullptr && function->getTemplateSpecializationArgs() != nullptr)
      add(function->getTemplateSpecializationArgs()->asArray());
    if (const auto* outer = llvm::dyn_cast_or_null<clang::Decl>(declaration.getDeclContext())) add(*outer);
  }

  void add(llvm::ArrayRef<clang::TemplateArgument> arguments) {
    for (const clang::TemplateArgument& argument : arguments) {
      if (are_too_many()) return;
      if (argument.getKind() == clang::TemplateArgument::Type) add(argument.getAsType());
      if (argument.getKind() == clang::TemplateArgument::Pack) add(argument.pack_elements());
      ++count_;
    }
  }

 private:
  const std::uint64_t limit_;
  std::uint64_t count_ = 0;
};

}  // namespace

std::string spelled(clang::QualType type) {
  Names names(kMaxNamedParts);
  names.add(type);
  return names.are_too_many() ? fmt::format("(of more than {} names)", kMaxNamedParts) : type.getAsString();
}

bool has_more_names(llvm::ArrayRef<clang::TemplateArgument> arguments, std::uint64_t limit) {
  Names names(limit);
  names.add(arguments);
  return names.are_too_many();
}

bool names_long_type(const clang::Diagnostic& message) {
  Names names(kMaxNamedParts);
  const auto add_type = [&](std::intptr_t type) {
    names.add(clang::QualType::getFromOpaquePtr(reinterpret_cast<const void*>(type)));
  };
  using Engine = clang::DiagnosticsEngine;
  for (unsigned i = 0; i < message.getNumArgs(); ++i) {
    const Engine::ArgumentKind kind = message.getArgKind(i);
    if (kind == Engine::ak_std_string) continue;
    const auto value = static_cast<std::intptr_t>(message.getRawArg(i));
    if (kind == Engine::ak_qualtype) add_type(value);
    if (kind == Engine::ak_qualtype_pair) {
      const auto& pair = *reinterpret_cast<const clang::TemplateDiffTypes*>(value);
      add_type(pair.FromType);
      add_type(pair.ToType);
    }
    if (kind == Engine::ak_declarationname) {
      const auto name = clang::DeclarationName::getFromOpaqueInteger(static_cast<std::uintptr_t>(value));
      names.add(name.getCXXNameType());
    }
    if (value == 0) continue;
    if (kind == Engine::ak_nameddecl) names.add(*reinterpret_cast<const clang::NamedDecl*>(value));
    if (kind == Engine::ak_declcontext)
      names.add(*clang::Decl::castFromDeclContext(reinterpret_cast<const clang::DeclContext*>(value)));
  }
  return names.are_too_many();
}

}  // namespace flexjit::cxx
