// One spec -> how long each phase of its compilation takes, each run several times on its own.
#pragma once

#include "pattern/pattern.h"
#include "study/subject/subject.h"

namespace flexjit::engine {

// `pattern` is what the spec became, `key` that of one of its kernels. Errors: those of the compiler.
Result<study::PhaseTimes> time_phases(const AttentionSpec& spec, const Pattern& pattern, const plan::KernelKey& key,
                                      const plan::CompilerDoor& door);

}  // namespace flexjit::engine
