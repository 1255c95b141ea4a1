// What a parameter that is an array says of itself.
#pragma once

#include <clang/AST/ASTContext.h>
#include <clang/AST/Decl.h>

#include <optional>
#include <string>
#include <vector>

#include "cxx/meaning/scalar.h"
#include "flexjit/tensor.h"

namespace flexjit::cxx {

struct Signature {
  std::optional<ScalarType> element{};  // absent: it is no array of numbers
  std::optional<DType> dtype{};
  std::vector<std::string> extents{};  // of the type: a number, or "?"
  bool is_const = false;
};

Signature signature_of(const clang::ParmVarDecl& parameter, const clang::ASTContext& context);

// The arithmetic type; absent for any other.
std::optional<ScalarType> scalar_type_of(clang::QualType type, const clang::ASTContext& context);

// Whether it, or the template that it is an instance of, stands in the precompiled prelude.
bool is_of_prelude(const clang::Decl& declaration);

// Whether what a type is of cannot be written: of an array, its elements.
bool is_const(clang::QualType type, const clang::ASTContext& context);

}  // namespace flexjit::cxx
