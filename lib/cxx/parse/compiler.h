// The C++ that mods and their prelude are written in, and Clang set up for a text of it.
#pragma once

#include <clang/Basic/LangOptions.h>

#include <memory>
#include <string>

namespace clang {
class CompilerInstance;
class DiagnosticConsumer;
}  // namespace clang

namespace flexjit::cxx {

// C++20 without exceptions, types at run time and modules, with bounds on what recurses or repeats.
clang::LangOptions mod_language();

struct CompilerRequest {
  const std::string& code;                        // outlives the compiler
  const std::string& name;                        // by which Clang knows it
  std::string_view prelude;                       // precompiled; outlives the compiler; empty: none
  clang::DiagnosticConsumer* listener = nullptr;  // becomes the compiler's
};

// Ready for a consumer and createSema. No file is opened: its file system has the prelude alone.
std::unique_ptr<clang::CompilerInstance> make_compiler(const CompilerRequest& request);

}  // namespace flexjit::cxx
