// How a type is written in what is said of it. A few lines make types whose names would fill the memory: template arguments
// double with every alias that holds the last one twice.
#pragma once

#include <string>

namespace clang {
class Diagnostic;
class QualType;
}  // namespace clang

namespace flexjit::cxx {

inline constexpr int kMaxNamedParts = 256;  // names in a type's name

// As Clang writes it; of a longer one only what it is.
std::string spelled(clang::QualType type);

// Whether a message of Clang's would name a longer type.
bool names_long_type(const clang::Diagnostic& message);

}  // namespace flexjit::cxx
