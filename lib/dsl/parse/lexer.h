// Text -> tokens. New lines inside brackets and after a joining operator are dropped here, so the grammar never sees them.
#pragma once

#include <vector>

#include "dsl/findings/diagnostic_engine.h"
#include "dsl/parse/token.h"

namespace flexjit::dsl {

inline constexpr std::size_t kMaxSourceBytes = 64 * 1024;

// Tokens of text number `number`, ending in kEnd. Brackets are balanced in the result, or a kProblem stands where they are not.
std::vector<Token> lex(const SourceText& source, std::uint32_t number, DiagnosticEngine& diagnostics);

}  // namespace flexjit::dsl
