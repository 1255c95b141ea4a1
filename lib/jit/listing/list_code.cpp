// One code generation with line table and remarks -> assembly text -> listing with costs.
#include "jit/listing/list_code.h"

#include <llvm/CodeGen/MachineOptimizationRemarkEmitter.h>
#include <llvm/IR/DiagnosticHandler.h>
#include <llvm/IR/DiagnosticInfo.h>

#include "jit/listing/assembly_text.h"
#include "jit/listing/machine_model.h"
#include "jit/object/generate.h"
#include "jit/object/internal_error.h"
#include "support/check.h"

namespace flexjit::jit {
namespace {

// The register allocator says what it spilled in remarks of missed optimisations.
class SpillListener final : public llvm::DiagnosticHandler {
 public:
  explicit SpillListener(std::vector<plan::SpillRemark>& remarks) : remarks_(remarks) {}
  bool isMissedOptRemarkEnabled(llvm::StringRef pass) const override { return pass == "regalloc"; }
  bool isAnyRemarkEnabled() const override { return true; }

  bool handleDiagnostics(const llvm::DiagnosticInfo& info) override {
    const auto* remark = llvm::dyn_cast<llvm::MachineOptimizationRemarkMissed>(&info);
    if (remark == nullptr || remark->getPassName() != "regalloc") return false;
    const llvm::DiagnosticLocation at = remark->getLocation();
    remarks_.push_back({.function = remark->getFunction().getName().str(),
                        .where = at.isValid() ? plan::provenance_of(at.getLine(), at.getColumn()) : std::nullopt,
                        .message = remark->getMsg()});
    return true;
  }

 private:
  std::vector<plan::SpillRemark>& remarks_;
};

}  // namespace

Result<plan::CodeListing> list_code(const plan::KernelKey& key, plan::Costs costs) try {
  PhaseClock clock;
  auto emitted = emit(key, clock, codegen::Lines::kParts);
  if (!emitted) return emitted.diagnostics();
  plan::CodeListing listing;
  emitted->context->setDiagnosticHandler(std::make_unique<SpillListener>(listing.spills));
  emitted->machine->Options.MCOptions.AsmVerbose = true;  // block names, loops and spills are in its comments
  auto assembly = generate(*emitted->machine, *emitted->module, llvm::CodeGenFileType::AssemblyFile);
  if (!assembly) return assembly.diagnostics();
  assembly->push_back('\0');
  const llvm::StringRef text(assembly->data(), assembly->size() - 1);
  ParsedAssembly parsed =
      parse_assembly(text, plan::has(key.target.isa, plan::kSlashComments) ? AsmComment::kSlashes : AsmComment::kHash);
  listing.functions = std::move(parsed.functions);
  add_intel_syntax(listing, parsed.offsets, text, *emitted->machine, key);
  if (costs == plan::Costs::kSimulated) add_costs(listing, parsed.offsets, text, *emitted->machine, key);
  return listing;
} catch (const support::InternalError& error) {
  return internal_error(error.what());
}

}  // namespace flexjit::jit
