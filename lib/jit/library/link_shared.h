// An object -> a shared library that needs libflexjit, by LLVM's linker, for every architecture alike.
#pragma once

#include <llvm/ADT/ArrayRef.h>

#include <cstdint>
#include <string>
#include <vector>

#include "flexjit/result.h"

namespace flexjit::jit {

// What libflexjit-linker exports: LLVM's linker is a library of its own, because it is seldom wanted and needs every target's
// code.
struct LinkerDoor {
  const char* build_id;  // as in plan::CompilerDoor
  Result<std::vector<std::uint8_t>> (*link_shared)(llvm::ArrayRef<char> object, llvm::ArrayRef<char> stub,
                                                   const std::string& soname);
};
inline constexpr const char* kLinkerDoorSymbol = "flexjit_linker_door";  // extern "C" const LinkerDoor* flexjit_linker_door()

// `stub` is the object of emit_engine_stub. Thread-safe. Errors: `system` where the temporary folder cannot be written,
// `no-compiler` where libflexjit-linker cannot be opened.
Result<std::vector<std::uint8_t>> link_shared(llvm::ArrayRef<char> object, llvm::ArrayRef<char> stub,
                                              const std::string& soname);

}  // namespace flexjit::jit
