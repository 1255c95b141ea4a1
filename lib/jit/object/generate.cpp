// One legacy pass manager run; LLVM is used as a code generator only.
#include "jit/object/generate.h"

#include <llvm/IR/LegacyPassManager.h>
#include <llvm/IR/OptBisect.h>
#include <llvm/IR/Verifier.h>
#include <llvm/Support/raw_ostream.h>

#include <mutex>
#include <shared_mutex>

#include "jit/object/internal_error.h"
#include "jit/object/pass_times.h"
#include "jit/object/target_machine.h"

namespace flexjit::jit {
namespace {

// Of a large kernel most is its program, in long blocks without a loop; the time to schedule these grows faster than they do,
// to many seconds, and the processor reorders them anyway.
constexpr unsigned kMaxScheduled = 10'000;

// Leaves out loop strength reduction, a third of a compilation's time: the templates' loops already carry the addresses that
// their instructions encode. And the schedulers of a large kernel.
class PassGate : public llvm::OptPassGate {
 public:
  explicit PassGate(bool schedule) : schedule_(schedule) {}
  bool shouldRunPass(llvm::StringRef name, llvm::StringRef) const override {
    if (name == "Loop Strength Reduction" || name == "Canonicalize Freeze Instructions in Loops") return false;
    return schedule_ || (name != "machine-scheduler" && name != "post-RA-sched" && name != "postmisched");
  }
  bool isEnabled() const override { return true; }

 private:
  bool schedule_;
};

llvm::OptPassGate& gate_for(const llvm::Module& module) {
  static PassGate all(true), unscheduled(false);
  return module.getInstructionCount() > kMaxScheduled ? unscheduled : all;
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
  emitted.module = codegen::emit_kernel(*emitted.context, key, lines);
  emitted.context->setOptPassGate(gate_for(*emitted.module));
  clock.lap("emit");
  auto machine = make_target_machine(key.target);
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
