// prelude() -> a C++ source that defines precompiled_prelude(), written to the file that is named. Run when flexjit is built.
#include <clang/AST/ASTConsumer.h>
#include <clang/Frontend/CompilerInstance.h>
#include <clang/Frontend/TextDiagnosticPrinter.h>
#include <clang/Parse/ParseAST.h>
#include <clang/Sema/Sema.h>
#include <clang/Serialization/ASTWriter.h>
#include <clang/Serialization/PCHContainerOperations.h>

#include <fstream>
#include <iostream>

#include "cxx/parse/compiler.h"
#include "cxx/parse/prelude.h"

namespace {

// Empty where Clang finds something wrong, which it has said.
llvm::SmallVector<char, 0> precompile(const std::string& code) {
  clang::DiagnosticOptions options;
  const std::string name = "prelude";
  const auto compiler = flexjit::cxx::make_compiler(
      {.code = code, .name = name, .prelude = {}, .listener = new clang::TextDiagnosticPrinter(llvm::errs(), options)});
  const auto written = std::make_shared<clang::PCHBuffer>();
  compiler->setASTConsumer(std::make_unique<clang::PCHGenerator>(
      compiler->getPreprocessor(), compiler->getModuleCache(), name, "", written, compiler->getCodeGenOpts(),
      llvm::ArrayRef<std::shared_ptr<clang::ModuleFileExtension>>(), false, false));
  compiler->createSema(clang::TU_Prefix, nullptr);
  clang::ParseAST(compiler->getSema());
  compiler->getDiagnosticClient().EndSourceFile();
  if (compiler->getDiagnosticClient().getNumErrors() > 0 || !written->IsComplete) return {};
  return std::move(written->Data);
}

}  // namespace

int main(int argc, char** argv) {
  const llvm::SmallVector<char, 0> bytes = precompile(flexjit::cxx::prelude());
  if (argc != 2 || bytes.empty()) {
    std::cerr << "flexjit_precompile: " << (argc != 2 ? "name one file" : "the prelude does not compile") << "\n";
    return 1;
  }
  std::ofstream out(argv[1]);
  out << "#include \"cxx/parse/prelude.h\"\n\nnamespace flexjit::cxx {\n\nstd::string_view precompiled_prelude() {\n"
      << "  alignas(8) static constexpr unsigned char kBytes[] = {";
  for (std::size_t i = 0; i < bytes.size(); ++i)
    out << (i % 32 == 0 ? "\n" : "") << static_cast<int>(static_cast<unsigned char>(bytes[i])) << ",";
  out << "};\n  return {reinterpret_cast<const char*>(kBytes), sizeof(kBytes)};\n}\n\n}  // namespace flexjit::cxx\n";
  return out.flush() ? 0 : 1;
}
