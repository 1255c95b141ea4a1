// Source -> typed graph, or everything that is wrong with it.
//
// Names. A name is defined once and holds from there to the end of its text; builtin values, functions, constants and keywords
// cannot be redefined. The arguments of a `def` and the lets inside parentheses are scopes of their own: there a name may hide
// any outer value. A `def` sees what was defined before it, wherever it is called (hygiene), and is typed anew by each call. In
// the string form the score and the mask share the declared buffers and params, not their lets.
//
// Conversions. Only int to float is implicit; bool is no number and a number is no condition.
#pragma once

#include "dsl/check/checked.h"
#include "flexjit/result.h"

namespace flexjit::dsl {

inline constexpr std::size_t kMaxNodes = 20'000;   // with every function inlined
inline constexpr std::uint32_t kMaxLevels = 1000;  // of the typed graph
inline constexpr std::size_t kMaxSteps = 100'000;  // expressions visited, repeated ones counted each time
inline constexpr std::int32_t kMaxDotExtent = 512;
inline constexpr std::int32_t kMaxIterations = 256;  // of one reduction
inline constexpr std::int32_t kMaxParamBound = 32;   // of a param that is itself the bound of a reduction

// All diagnostics of all texts at once, at most about twenty, in the order of the text.
Result<Checked> check_source(const Source& source);

}  // namespace flexjit::dsl
