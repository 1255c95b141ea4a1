// Diagnostics are data: every mistake in a text, a shape or a binding becomes one self-contained value that carries the
// offending line, so rendering needs no source buffer. Nothing in the library prints or aborts on a user's mistake.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "flexjit/export.h"

namespace flexjit {

enum class Severity : std::uint8_t { kError, kWarning };

// One finding. Text diagnostics have `line >= 1`; those about tensors, bindings or files have `line == 0` and no snippet.
struct Diagnostic {
  std::string kind;  // stable identifier, e.g. "unknown-name"; listed in lib/dsl/findings/diagnostics.def and docs/language.md
  Severity severity = Severity::kError;
  std::string source_name;   // "score_mod", "mask_mod", a file name, or the call ("run", "compile")
  std::uint32_t line = 0;    // 1-based
  std::uint32_t column = 0;  // 1-based, in bytes
  std::uint32_t length = 0;  // of the underlined text, in bytes, within `snippet`
  std::string snippet;       // the whole source line, without its newline
  std::string message;       // what was seen, what was expected, and what to do
};

using Diagnostics = std::vector<Diagnostic>;

// "score_mod:1:9: error: message\n  source line\n          ^~~~~\n"; without a snippet only the first line.
// Thread-safe; never throws except std::bad_alloc.
FLEXJIT_API std::string render(const Diagnostic& diagnostic);
FLEXJIT_API std::string render(const Diagnostics& diagnostics);

// The one finding `out-of-memory`, made before it is needed: when memory is gone a finding cannot be. Lives as long as the
// library.
FLEXJIT_API const Diagnostics& out_of_memory() noexcept;
FLEXJIT_API const Diagnostics& no_diagnostics() noexcept;  // empty

}  // namespace flexjit
