// A defect of ours while compiling -> the `internal` diagnostic that the caller sees instead of an abort.
#pragma once

#include <string>
#include <utility>

#include "flexjit/diagnostic.h"

namespace flexjit::jit {

inline Diagnostic internal_error(std::string message) {
  Diagnostic diagnostic;
  diagnostic.kind = "internal";
  diagnostic.source_name = "compile";
  diagnostic.message = std::move(message);
  return diagnostic;
}

}  // namespace flexjit::jit
