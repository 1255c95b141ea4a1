// LibraryRequest -> the bytes of an object, an archive or a shared library.
#pragma once

#include <cstdint>
#include <vector>

#include "flexjit/result.h"
#include "plan/compiler_door.h"

namespace flexjit::jit {

// Thread-safe.
Result<std::vector<std::uint8_t>> write_library(const plan::LibraryRequest& request);

}  // namespace flexjit::jit
