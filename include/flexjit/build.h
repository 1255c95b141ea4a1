// Patterns compiled ahead of time: a library with C functions and the header that declares them. What it links against is
// libflexjit alone, which holds no compiler; see `flexjit build --help` and docs/api.md.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "flexjit/export.h"
#include "flexjit/library_kind.h"
#include "flexjit/result.h"
#include "flexjit/spec.h"

namespace flexjit {

// `name` is a C identifier: the functions are <name>_args_init, <name>_run and <name>_attention; with kernels of gradients also
// <name>_gradients_init and <name>_run_backward.
struct BuildPattern {
  std::string name;
  AttentionSpec spec;
};

enum class BuildPasses : std::uint8_t {
  kForward,
  kBoth  // the backward pass too: with the gradients of all captured buffers of floats that the score reads, and with none
};

struct BuildOptions {
  // As in EngineOptions::target; this machine need not be able to execute them, but all are of one architecture. A target that
  // is named twice counts once. Code is tiled for the caches of this machine where it can execute the target.
  std::vector<std::string> targets = {"host"};
  LibraryKind kind = LibraryKind::kArchive;
  BuildPasses passes = BuildPasses::kForward;
  std::string soname{};         // of a shared library, usually its file name
  std::string compiler_path{};  // as in EngineOptions
};

struct BuiltLibrary {
  std::vector<std::uint8_t> bytes;   // of the library's file
  std::string header;                // C99 and C++
  std::vector<std::string> targets;  // what it holds code for, the best last
  std::size_t kernels = 0;           // over all patterns and targets
};

// Compiles every pattern for every target. Thread-safe. Errors: those of Engine::compile() for each pattern; `build-name`,
// `build-targets`, `unsupported-target`, `no-compiler`.
FLEXJIT_API Result<BuiltLibrary> build_library(std::span<const BuildPattern> patterns, const BuildOptions& options = {});

}  // namespace flexjit
