// Opens libflexjit-compiler, the only library that links LLVM, when the first key needs it. It stays open for the life of the
// process: code that it made does not need it, but LLVM's static state does not survive being unloaded and loaded again.
#pragma once

#include <string>
#include <vector>

#include "plan/compiler_door.h"
#include "support/fork_gate.h"

namespace flexjit::cache {

struct OpenedCompiler {
  const plan::CompilerDoor* door = nullptr;  // null: none of the attempts succeeded
  std::vector<std::string> failures;         // one a path tried: what the loader said
};

// Thread-safe. A failure is not remembered: once the library is installed, the next call finds it.
class CompilerLoader {
 public:
  // `path` of the shared library; empty: beside libflexjit, then by name where the dynamic loader looks.
  explicit CompilerLoader(std::string path) : path_(std::move(path)) {}

  OpenedCompiler open();

 private:
  std::string path_;
  support::Mutex mutex_;
  const plan::CompilerDoor* door_ = nullptr;
};

}  // namespace flexjit::cache
