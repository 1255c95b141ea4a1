// The compiler's door, or the diagnostic that says where it was looked for.
#pragma once

#include "cache/compiler_loader.h"
#include "flexjit/result.h"

namespace flexjit::api {

Result<const plan::CompilerDoor*> open_compiler(cache::CompilerLoader& loader);

}  // namespace flexjit::api
