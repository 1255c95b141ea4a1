// Registers the targets once; everything else is per machine.
#include "jit/object/target_machine.h"

#include <llvm/MC/TargetRegistry.h>
#include <llvm/Support/TargetSelect.h>
#include <llvm/Target/TargetOptions.h>

#include <mutex>

#include "codegen/emit/target_names.h"

namespace flexjit::jit {
namespace {

void initialize_once() {
  static std::once_flag once;
  std::call_once(once, [] {
    LLVMInitializeX86TargetInfo();
    LLVMInitializeX86Target();
    LLVMInitializeX86TargetMC();
    LLVMInitializeX86AsmPrinter();
    LLVMInitializeX86AsmParser();
    LLVMInitializeAArch64TargetInfo();
    LLVMInitializeAArch64Target();
    LLVMInitializeAArch64TargetMC();
    LLVMInitializeAArch64AsmPrinter();
    LLVMInitializeAArch64AsmParser();
  });
}

}  // namespace

Result<std::unique_ptr<llvm::TargetMachine>> make_target_machine(const plan::Target& target) {
  initialize_once();
  const codegen::TargetNames names = codegen::target_names(target);
  const llvm::Triple triple(names.triple);
  std::string problem;
  const llvm::Target* found = llvm::TargetRegistry::lookupTarget(triple, problem);
  std::unique_ptr<llvm::TargetMachine> machine;
  if (found != nullptr) {
    machine.reset(found->createTargetMachine(triple, names.cpu, names.features, llvm::TargetOptions(), llvm::Reloc::PIC_,
                                             llvm::CodeModel::Small, llvm::CodeGenOptLevel::Default));
  }
  if (machine == nullptr) {
    Diagnostic diagnostic;
    diagnostic.kind = "unsupported-target";
    diagnostic.source_name = "compile";
    diagnostic.message =
        "this build of LLVM has no code generator for " + names.triple + (problem.empty() ? "" : ": " + problem);
    return diagnostic;
  }
  return machine;
}

}  // namespace flexjit::jit
