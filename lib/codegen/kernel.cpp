// Puts the functions of a kernel into one module and gives them the target's attributes.
#include "codegen/kernel.h"

#include "codegen/backward/gradient_tile.h"
#include "codegen/emit/target_names.h"
#include "codegen/nests/nests.h"
#include "codegen/prefill/pack.h"

namespace flexjit::codegen {

std::unique_ptr<llvm::Module> emit_kernel(llvm::LLVMContext& context, const plan::KernelKey& key, Lines lines) {
  auto module = std::make_unique<llvm::Module>("flexjit", context);
  const TargetNames names = target_names(key.target);
  module->setTargetTriple(llvm::Triple(names.triple));
  module->setPICLevel(llvm::PICLevel::BigPIC);
  std::unique_ptr<LineTable> table;
  if (lines == Lines::kParts) {
    table = make_part_lines(*module);
  } else if (key.debug) {
    table = make_text_lines(*module, *key.debug);
  }
  Emitter emitter(*module, key.target.isa, plan::arithmetic_of(key), table.get());
  switch (key.nest) {
    case plan::Nest::kPrefill:
      emit_prefill(emitter, key);
      emit_pack(emitter, key);
      break;
    case plan::Nest::kDecode: emit_decode(emitter, key); break;
    case plan::Nest::kLinear: emit_linear(emitter, key); break;
    case plan::Nest::kLinearRows: emit_linear_rows(emitter, key); break;
    case plan::Nest::kBackward:
      emit_backward(emitter, key);
      emit_gradient_rows(emitter, key);
      break;
  }
  if (table) table->finish();
  for (llvm::Function& function : *module) {
    if (function.isDeclaration()) continue;
    function.addFnAttr("target-cpu", names.cpu);
    if (!names.features.empty()) function.addFnAttr("target-features", names.features);
    if (!key.target.tuning.empty()) function.addFnAttr("tune-cpu", key.target.tuning);
  }
  return module;
}

}  // namespace flexjit::codegen
