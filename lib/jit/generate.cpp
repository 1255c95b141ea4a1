// One legacy pass manager run; LLVM is used as a code generator only.
#include "jit/generate.h"

#include <llvm/IR/LegacyPassManager.h>
#include <llvm/IR/OptBisect.h>
#include <llvm/IR/Verifier.h>
#include <llvm/Support/raw_ostream.h>

#include <mutex>
#include <shared_mutex>

#include "jit/internal_error.h"
#include "jit/pass_times.h"
#include "jit/target_machine.h"

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

// Of a large kernel most is its program, where a register more or less matters little; the time of a thorough code generation
// grows faster than the kernel does, to many seconds.
constexpr unsigned kMaxThorough = 10'000;

llvm::CodeGenOptLevel effort_for(const llvm::Module& module) {
  return module.getInstructionCount() > kMaxThorough ? llvm::CodeGenOptLevel::None : llvm::CodeGenOptLevel::Default;
}

// Held alone while passes are timed, shared by every other generation.
std::shared_mutex& timers() {
  static std::shared_mutex mutex;
  return mutex;
}

Result<llvm::SmallVector<char, 0>> run_passes(llvm::TargetMachine& machine, llvm::Module& module, llvm::CodeGenFileType type) {
  llvm::SmallVector<char, 0> buffer;
  llvm::raw_svector_ostream out(buffer);
  llvm::legacy::PassManager passes;
  if (machine.addPassesToEmitFile(passes, out, nullptr, type)) {
    return internal_error("this target cannot emit the wanted file type");
  }
  passes.run(module);
  return buffer;
}

}  // namespace

Result<Emitted> emit(const plan::KernelKey& key, PhaseClock& clock, codegen::Lines lines) {
  Emitted emitted;
  emitted.context = std::make_unique<llvm::LLVMContext>();
  static PassGate gate;
  emitted.context->setOptPassGate(gate);
  emitted.module = codegen::emit_kernel(*emitted.context, key, lines);
  clock.lap("emit");
  auto machine = make_target_machine(key.target, effort_for(*emitted.module));
  if (!machine) return machine.diagnostics();
  emitted.machine = std::move(*machine);
  emitted.module->setDataLayout(emitted.machine->createDataLayout());
  clock.lap("target machine");
  std::string problem;
  llvm::raw_string_ostream out(problem);
  if (llvm::verifyModule(*emitted.module, &out)) {
    return internal_error("the emitted module is invalid: " + problem + "\n" + plan::canonical_text(key));
  }
  clock.lap("verify");
  return emitted;
}

Result<llvm::SmallVector<char, 0>> generate(llvm::TargetMachine& machine, llvm::Module& module, llvm::CodeGenFileType type) {
  const std::shared_lock lock(timers());
  return run_passes(machine, module, type);
}

Result<std::vector<plan::PhaseTime>> times_of_generating(Emitted& emitted) {
  const std::unique_lock lock(timers());
  Diagnostics problems;
  auto times = times_of_passes([&] {
    auto object = run_passes(*emitted.machine, *emitted.module, llvm::CodeGenFileType::ObjectFile);
    if (!object) problems = object.diagnostics();
  });
  if (!problems.empty()) return problems;
  return times;
}

}  // namespace flexjit::jit
