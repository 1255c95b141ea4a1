// What every finding must be, in fuzzers; what is not ends the process, which the fuzzer reports.
#pragma once

#include <cstdio>
#include <cstdlib>

#include "flexjit/diagnostic.h"

namespace flexjit::fuzz {

inline void require(bool condition, const char* what) {
  if (condition) return;
  std::fprintf(stderr, "fuzz: %s\n", what);
  std::abort();
}

inline void check_diagnostics(const Diagnostics& diagnostics) {
  require(!diagnostics.empty(), "a failure without a diagnostic");
  for (const Diagnostic& diagnostic : diagnostics) {
    require(!render(diagnostic).empty(), "a diagnostic that renders as nothing");
    if (diagnostic.line == 0) continue;
    const std::size_t end = std::size_t{diagnostic.column} - 1 + diagnostic.length;
    require(diagnostic.column >= 1 && end <= diagnostic.snippet.size(), "an underline outside its line");
  }
}

}  // namespace flexjit::fuzz
