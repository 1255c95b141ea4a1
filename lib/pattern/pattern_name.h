// The name by which a person knows a pattern, for profilers and debuggers.
#pragma once

#include <string>

#include "flexjit/spec.h"

namespace flexjit::engine {

// The stem of program_name ("alibi_causal" of "patterns/alibi_causal.flex"), else the text itself in one line, cut where it is
// long; then "+causal" and the like for each flag. Printable, never empty.
std::string pattern_name(const AttentionSpec& spec);

}  // namespace flexjit::engine
