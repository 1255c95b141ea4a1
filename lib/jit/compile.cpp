// The phases of one compilation, and the two texts of the inspector that need LLVM.
#include "jit/compile.h"

#include <llvm/IR/LLVMContext.h>
#include <llvm/IR/OptBisect.h>
#include <llvm/IR/Verifier.h>
#include <llvm/Support/raw_ostream.h>

#include <chrono>

#include "codegen/kernel.h"
#include "jit/generate.h"
#include "jit/internal_error.h"
#include "jit/link_image.h"
#include "jit/target_machine.h"
#include "support/check.h"

namespace flexjit::jit {
namespace {

// Leaves out loop strength reduction, a third of a compilation's time: the templates' loops already carry the addresses that
// their instructions encode.
class PassGate : public llvm::OptPassGate {
 public:
  bool shouldRunPass(llvm::StringRef name, llvm::StringRef) const override {
    return name != "Loop Strength Reduction" && name != "Canonicalize Freeze Instructions in Loops";
  }
  bool isEnabled() const override { return true; }
};

struct Emitted {
  std::unique_ptr<llvm::LLVMContext> context;
  std::unique_ptr<llvm::Module> module;
  std::unique_ptr<llvm::TargetMachine> machine;
};

Result<Emitted> emit(const plan::KernelKey& key) {
  Emitted emitted;
  auto machine = make_target_machine(key.target);
  if (!machine) return machine.diagnostics();
  emitted.machine = std::move(*machine);
  emitted.context = std::make_unique<llvm::LLVMContext>();
  static PassGate gate;
  emitted.context->setOptPassGate(gate);
  emitted.module = codegen::emit_kernel(*emitted.context, key);
  emitted.module->setDataLayout(emitted.machine->createDataLayout());
  std::string problem;
  llvm::raw_string_ostream out(problem);
  if (llvm::verifyModule(*emitted.module, &out)) {
    return internal_error("the emitted module is invalid: " + problem + "\n" + plan::canonical_text(key));
  }
  return emitted;
}

}  // namespace

Result<plan::CodeImage> compile(const plan::KernelKey& key) try {
  const auto start = std::chrono::steady_clock::now();
  auto emitted = emit(key);
  if (!emitted) return emitted.diagnostics();
  auto object = generate(*emitted->machine, *emitted->module, llvm::CodeGenFileType::ObjectFile);
  if (!object) return object.diagnostics();
  auto linked = link_image(llvm::MemoryBufferRef({object->data(), object->size()}, "kernel"));
  if (!linked) return linked.diagnostics();
  plan::CodeImage image;
  image.bytes = std::move(linked->bytes);
  switch (key.nest) {
    case plan::Nest::kPrefill:
      image.attend_offset = linked->symbols.at("attend");
      image.pack_offset = linked->symbols.at("pack");
      break;
    case plan::Nest::kDecode: image.decode_offset = linked->symbols.at("decode"); break;
  }
  image.key_text = plan::canonical_text(key);
  image.compile_ms = std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
  return image;
} catch (const support::InternalError& error) {
  return internal_error(error.what());
}

Result<std::string> inspect(const plan::KernelKey& key, plan::View view) try {
  auto emitted = emit(key);
  if (!emitted) return emitted.diagnostics();
  if (view == plan::View::kLlvm) {
    std::string text;
    llvm::raw_string_ostream out(text);
    emitted->module->print(out, nullptr);
    return text;
  }
  emitted->machine->Options.MCOptions.AsmVerbose = true;  // the loops of the template by name
  auto assembly = generate(*emitted->machine, *emitted->module, llvm::CodeGenFileType::AssemblyFile);
  if (!assembly) return assembly.diagnostics();
  return std::string(assembly->data(), assembly->size());
} catch (const support::InternalError& error) {
  return internal_error(error.what());
}

}  // namespace flexjit::jit
