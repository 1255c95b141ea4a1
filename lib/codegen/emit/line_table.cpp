// One compile unit without types or variables: functions and lines are all that is asked for.
#include "codegen/emit/line_table.h"

#include <llvm/IR/DIBuilder.h>

#include <filesystem>

namespace flexjit::codegen {
namespace {

class LinesOfOneFile : public LineTable {
 public:
  LinesOfOneFile(llvm::Module& module, llvm::StringRef path) : builder_(module), file_(file_at(path)) {
    module.addModuleFlag(llvm::Module::Warning, "Debug Info Version", llvm::DEBUG_METADATA_VERSION);
    module.addModuleFlag(llvm::Module::Warning, "Dwarf Version", 4);
    builder_.createCompileUnit(llvm::DISourceLanguageName(llvm::dwarf::DW_LANG_C), file_, "flexjit", true, "", 0);
  }

  void begin_function(llvm::Function& function) override {
    function_ = add_function(function.getName(), file_);
    function.setSubprogram(function_);
  }
  void finish() override { builder_.finalize(); }

 protected:
  llvm::DIFile* file_at(llvm::StringRef path) {
    const std::filesystem::path file(path.str());
    return builder_.createFile(file.filename().string(), file.parent_path().string());
  }
  llvm::DISubprogram* add_function(llvm::StringRef name, llvm::DIFile* file) {
    auto* type = builder_.createSubroutineType(builder_.getOrCreateTypeArray({}));
    return builder_.createFunction(file, name, name, file, 1, type, 1, llvm::DINode::FlagZero,
                                   llvm::DISubprogram::SPFlagDefinition | llvm::DISubprogram::SPFlagOptimized);
  }
  llvm::DISubprogram* function() const { return function_; }

 private:
  llvm::DIBuilder builder_;
  llvm::DIFile* file_;
  llvm::DISubprogram* function_ = nullptr;
};

class PartLines final : public LinesOfOneFile {
 public:
  explicit PartLines(llvm::Module& module) : LinesOfOneFile(module, "kernel") {}
  llvm::DebugLoc location(const plan::Provenance& from) const override {
    return llvm::DILocation::get(function()->getContext(), plan::line_of(from), plan::column_of(from), function());
  }
};

class TextLines final : public LinesOfOneFile {
 public:
  TextLines(llvm::Module& module, const plan::DebugSource& source)
      : LinesOfOneFile(module, source.files.front()), source_(source) {
    for (const std::string& path : source.files) {
      llvm::DIFile* file = file_at(path);
      mods_.push_back({add_function("score_mod", file), add_function("mask_mod", file)});
    }
  }

  llvm::DebugLoc location(const plan::Provenance& from) const override {
    auto& context = function()->getContext();
    auto* nowhere = llvm::DILocation::get(context, 0, 0, function());
    if (!from.node || !source_.nodes[from.node->index]) return nowhere;
    const plan::SourcePosition& at = *source_.nodes[from.node->index];
    llvm::DISubprogram* mod = at.mod == plan::Mod::kScore ? mods_[at.file].score : mods_[at.file].mask;
    return llvm::DILocation::get(context, at.line, at.column, mod, nowhere);
  }

 private:
  struct Mods {
    llvm::DISubprogram *score, *mask;
  };
  const plan::DebugSource& source_;
  std::vector<Mods> mods_;  // by file
};

}  // namespace

std::unique_ptr<LineTable> make_part_lines(llvm::Module& module) { return std::make_unique<PartLines>(module); }

std::unique_ptr<LineTable> make_text_lines(llvm::Module& module, const plan::DebugSource& source) {
  return std::make_unique<TextLines>(module, source);
}

}  // namespace flexjit::codegen
