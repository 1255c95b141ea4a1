// The code generator alone; IR passes are the caller's business.
#include "jit/generate.h"

#include <llvm/IR/LegacyPassManager.h>
#include <llvm/Support/raw_ostream.h>

#include "jit/internal_error.h"

namespace flexjit::jit {

Result<llvm::SmallVector<char, 0>> generate(llvm::TargetMachine& machine, llvm::Module& module, llvm::CodeGenFileType type) {
  llvm::SmallVector<char, 0> buffer;
  llvm::raw_svector_ostream out(buffer);
  llvm::legacy::PassManager passes;
  if (machine.addPassesToEmitFile(passes, out, nullptr, type)) {
    return internal_error("this target cannot emit the wanted file type");
  }
  passes.run(module);
  return buffer;
}

}  // namespace flexjit::jit
