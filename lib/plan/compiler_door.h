// The one door between libflexjit and libflexjit-compiler, the only library that links LLVM. libflexjit opens it with dlopen
// when a key is in no cache.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "flexjit/library_kind.h"
#include "flexjit/result.h"
#include "plan/code_listing.h"
#include "plan/kernel_key.h"
#include "plan/phase_time.h"
#include "support/library_door.h"
#ifndef FLEXJIT_BUILD_ID
#include "build_id.h"  // made by cmake/FlexjitLibrary.cmake
#endif

namespace flexjit::plan {

// Closed, position-independent machine code: no external symbol, no absolute relocation. The same bytes go to memory, to disk
// and to an ahead-of-time file. Load at any address aligned to 4096 and mark read + execute.
struct CodeImage {
  std::vector<std::uint8_t> bytes;
  EntryOffsets entries;
  std::string key_text;  // canonical_text of the key it was compiled from
  double compile_ms = 0;
  // Where the key has debug information: the object file with it, section addresses relative to the first of `bytes`.
  std::vector<std::uint8_t> debug_object{};
  std::vector<PhaseTime> phases;  // that compile_ms is made of, in their order
};

// A kernel that counts how often its blocks run; by count, the block as "function/name" of the listing.
struct CountingImage {
  CodeImage image;
  std::vector<std::string> blocks;
};

// A pattern of a library, as bytes: what libflexjit reads back, and what its arguments are before the caller sets any.
struct LibraryPattern {
  std::string name;  // a C identifier
  std::vector<std::uint8_t> bundle;
  std::vector<std::uint8_t> initial_arguments;
  std::vector<std::uint8_t> initial_gradients{};  // empty: it has no backward pass
};

struct LibraryRequest {
  std::vector<LibraryPattern> patterns;
  Isa isa = Isa::kX86_64;  // the architecture; code for the least of its processors calls libflexjit
  LibraryKind kind = LibraryKind::kArchive;
  std::string soname;  // kShared
};

// Its build_id must equal kBuildId of the caller: the structs above cross this door by reference.
struct CompilerDoor : support::DoorHead {
  Result<CodeImage> (*compile)(const KernelKey& key);
  // For the inspector; a test's stand-in for the compiler has none.
  Result<std::string> (*print_ir)(const KernelKey& key) = nullptr;
  Result<CodeListing> (*list_code)(const KernelKey& key, Costs costs) = nullptr;
  Result<CountingImage> (*compile_counting)(const KernelKey& key) = nullptr;
  // The passes of LLVM's code generator in one more compilation, by their names in LLVM. Other compilations wait meanwhile.
  Result<std::vector<PhaseTime>> (*time_passes)(const KernelKey& key) = nullptr;
  Result<std::vector<std::uint8_t>> (*write_library)(const LibraryRequest& request) = nullptr;
};

// Both libraries of one build share it.
inline constexpr const char* kBuildId = FLEXJIT_BUILD_ID;
inline constexpr const char* kLlvmVersion = FLEXJIT_LLVM_VERSION;
inline constexpr const char* kDoorSymbol = "flexjit_compiler_door";  // extern "C" const CompilerDoor* flexjit_compiler_door()

}  // namespace flexjit::plan
