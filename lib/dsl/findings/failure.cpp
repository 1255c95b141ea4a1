// The lists of findings that a result can give without memory of its own.
#include "flexjit/diagnostic.h"

namespace flexjit {
namespace {

Diagnostics one_out_of_memory() {
  Diagnostic diagnostic;
  diagnostic.kind = "out-of-memory";
  diagnostic.source_name = "flexjit";
  diagnostic.message = "not enough memory";
  return {diagnostic};
}

[[maybe_unused]] const Diagnostics& made_as_the_library_is_loaded = out_of_memory();

}  // namespace

const Diagnostics& out_of_memory() noexcept {
  static const Diagnostics list = one_out_of_memory();
  return list;
}

const Diagnostics& no_diagnostics() noexcept {
  static const Diagnostics list;
  return list;
}

}  // namespace flexjit
