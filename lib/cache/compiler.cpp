// A failed search for libflexjit-compiler -> one `no-compiler` finding with a line for each attempt.
#include "cache/compiler.h"

#include <string>

#include "diagnostics/report.h"

namespace flexjit::engine {

Result<const plan::CompilerDoor*> open_compiler(cache::CompilerLoader& loader, const std::string& searched) {
  const cache::OpenedCompiler opened = loader.open();
  if (opened.door != nullptr) return opened.door;
  std::string attempts;
  for (const std::string& failure : opened.failures) attempts += "\n  " + failure;
  return single_finding("compile", Finding::kNoCompiler, attempts + searched);
}

bool lacks_compiler(const Diagnostics& diagnostics) {
  return diagnostics.size() == 1 && diagnostics.front().kind == kind_of(Finding::kNoCompiler);
}

}  // namespace flexjit::engine
