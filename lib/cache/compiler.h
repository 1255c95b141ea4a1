// The compiler's door, or the diagnostic that says where it was looked for.
#pragma once

#include <string>

#include "cache/compiler_loader.h"
#include "flexjit/result.h"

namespace flexjit::engine {

// `searched` names what was looked at before the compiler became necessary; one line each, and it may be empty.
Result<const plan::CompilerDoor*> open_compiler(cache::CompilerLoader& loader, const std::string& searched = {});

// Whether a compilation failed for want of the compiler alone.
bool lacks_compiler(const Diagnostics& diagnostics);

}  // namespace flexjit::engine
