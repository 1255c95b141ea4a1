// One compile unit without types or variables: lines are all that is asked for.
#include "codegen/line_table.h"

#include <llvm/IR/Module.h>

namespace flexjit::codegen {

LineTable::LineTable(llvm::Module& module) : builder_(module), file_(builder_.createFile("kernel", "")) {
  module.addModuleFlag(llvm::Module::Warning, "Debug Info Version", llvm::DEBUG_METADATA_VERSION);
  builder_.createCompileUnit(llvm::DISourceLanguageName(llvm::dwarf::DW_LANG_C), file_, "flexjit", true, "", 0, "",
                             llvm::DICompileUnit::DebugEmissionKind::LineTablesOnly);
}

void LineTable::begin_function(llvm::Function& function) {
  auto* type = builder_.createSubroutineType(builder_.getOrCreateTypeArray({}));
  function_ = builder_.createFunction(file_, function.getName(), function.getName(), file_, 1, type, 1, llvm::DINode::FlagZero,
                                      llvm::DISubprogram::SPFlagDefinition);
  function.setSubprogram(function_);
}

llvm::DebugLoc LineTable::location(const plan::Provenance& from) const {
  return llvm::DILocation::get(function_->getContext(), plan::line_of(from), plan::column_of(from), function_);
}

}  // namespace flexjit::codegen
