// How a type is written in what is said of it. A few lines make types whose names would fill the memory: template arguments
// double with every alias that holds the last one twice.
#pragma once

#include <llvm/ADT/ArrayRef.h>

#include <cstdint>
#include <string>

namespace clang {
class Diagnostic;
class QualType;
class TemplateArgument;
}  // namespace clang

namespace flexjit::cxx {

inline constexpr std::uint64_t kMaxNamedParts = 256;  // names in a type's name

// As Clang writes it; of a longer one only what it is.
std::string spelled(clang::QualType type);

// Whether there are more names in these arguments, counted as often as they would be written.
bool has_more_names(llvm::ArrayRef<clang::TemplateArgument> arguments, std::uint64_t limit);

// Whether a message of Clang's would name a longer type.
bool names_long_type(const clang::Diagnostic& message);

}  // namespace flexjit::cxx
