// An object -> a shared library that needs libflexjit, by LLVM's linker, for every architecture alike.
#pragma once

#include <llvm/ADT/ArrayRef.h>

#include <cstdint>
#include <string>
#include <vector>

#include "flexjit/result.h"

namespace flexjit::jit {

// `stub` is the object of emit_engine_stub. Thread-safe. Errors: `system` where the temporary folder cannot be written.
Result<std::vector<std::uint8_t>> link_shared(llvm::ArrayRef<char> object, llvm::ArrayRef<char> stub,
                                              const std::string& soname);

}  // namespace flexjit::jit
