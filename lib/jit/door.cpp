// The only symbol that libflexjit-compiler exports.
#include "flexjit/export.h"
#include "jit/compile.h"
#include "jit/list_code.h"

extern "C" FLEXJIT_API const flexjit::plan::CompilerDoor* flexjit_compiler_door();

const flexjit::plan::CompilerDoor* flexjit_compiler_door() {
  static const flexjit::plan::CompilerDoor door{flexjit::plan::kBuildId,         &flexjit::jit::compile,
                                                &flexjit::jit::print_ir,         &flexjit::jit::list_code,
                                                &flexjit::jit::compile_counting, &flexjit::jit::time_passes};
  return &door;
}
