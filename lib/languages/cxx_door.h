// The one door between libflexjit and libflexjit-cxx, the only library that holds Clang. libflexjit opens it with dlopen when a
// C++ text comes.
#pragma once

#include <string>
#include <vector>

#include "dsl/parse/source.h"
#include "flexjit/result.h"
#include "support/library_door.h"
#include "support/precision.h"
#ifndef FLEXJIT_BUILD_ID
#include "build_id.h"  // made by cmake/FlexjitLibrary.cmake
#endif

namespace flexjit::languages {

struct CxxRequest {
  std::vector<dsl::SourceText> texts;
  std::vector<std::string> names;  // text i is a lambda or a function's name that defines it; empty: the one text is a program
  support::Precision precision = support::Precision::kFp32;
};

struct CxxTranslation {
  dsl::SourceText program;  // its origin is the request's texts
  Diagnostics warnings;
};

struct CxxDoor : support::DoorHead {
  // Everything that is wrong with the texts at once. Thread-safe.
  Result<CxxTranslation> (*translate)(const CxxRequest& request);
};

inline constexpr const char* kCxxBuildId = FLEXJIT_BUILD_ID;
inline constexpr const char* kCxxDoorSymbol = "flexjit_cxx_door";  // extern "C" const CxxDoor* flexjit_cxx_door()

}  // namespace flexjit::languages
