// The lexical gate before Clang: what could read files, run long or has no meaning in a mod is refused as a word, so that Clang
// never sees it. Includes of headers that the prelude stands for are blanked.
#pragma once

#include "cxx/findings.h"
#include "cxx/parse/unit.h"

namespace flexjit::cxx {

inline constexpr std::size_t kMaxBytes = 64 << 10;
inline constexpr std::size_t kMaxTokens = 16 << 10;
inline constexpr std::size_t kMaxOperators = 64;  // in a row: Clang takes time with the square of how deep they nest

// False where something was refused; all of it is in `findings`.
bool pass_gate(Unit& unit, Findings& findings);

}  // namespace flexjit::cxx
