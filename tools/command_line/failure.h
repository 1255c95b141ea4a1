// The command's own errors, in the library's form, and the exit codes.
#pragma once

#include <string>
#include <utility>

#include "flexjit/diagnostic.h"

namespace flexjit::tools {

enum class ExitCode : int { kFine = 0, kFailed = 1, kBadInput = 2 };

inline Diagnostic failure(std::string kind, std::string source_name, std::string message) {
  Diagnostic diagnostic;
  diagnostic.kind = std::move(kind);
  diagnostic.source_name = std::move(source_name);
  diagnostic.message = std::move(message);
  return diagnostic;
}

}  // namespace flexjit::tools
