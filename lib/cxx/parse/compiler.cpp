// Clang's phases by hand, up to the semantic analysis: a driver or a tool would look for files.
#include "cxx/parse/compiler.h"

#include <clang/AST/ASTContext.h>
#include <clang/Basic/Builtins.h>
#include <clang/Basic/TargetInfo.h>
#include <clang/Frontend/CompilerInstance.h>
#include <clang/Lex/HeaderSearchOptions.h>
#include <clang/Lex/Preprocessor.h>
#include <clang/Lex/PreprocessorOptions.h>
#include <llvm/Support/VirtualFileSystem.h>

#include "support/check.h"

namespace flexjit::cxx {
namespace {

constexpr const char* kTriple = "x86_64-unknown-linux-gnu";  // whose types those of every 64-bit Linux are
constexpr const char* kPrelude = "/prelude";

std::shared_ptr<clang::CompilerInvocation> invocation() {
  auto made = std::make_shared<clang::CompilerInvocation>();
  made->getTargetOpts().Triple = kTriple;
  made->getLangOpts() = mod_language();
  made->getPreprocessorOpts().UsePredefines = false;
  made->getHeaderSearchOpts().UseBuiltinIncludes = false;
  made->getHeaderSearchOpts().UseStandardSystemIncludes = false;
  made->getHeaderSearchOpts().UseStandardCXXIncludes = false;
  made->getDiagnosticOpts().Warnings = {"error=return-type", "no-unused-value", "no-unused-comparison"};
  return made;
}

}  // namespace

clang::LangOptions mod_language() {
  clang::LangOptions language;
  std::vector<std::string> includes;
  clang::LangOptions::setLangDefaults(language, clang::Language::CXX, llvm::Triple(kTriple), includes,
                                      clang::LangStandard::lang_cxx20);
  language.Exceptions = language.CXXExceptions = false;
  language.RTTI = language.RTTIData = false;
  language.CPlusPlusModules = false;
  language.Coroutines = false;
  language.Bool = true;
  language.MathErrno = false;
  language.BracketDepth = 200;
  language.InstantiationDepth = 64;
  language.ConstexprCallDepth = 128;
  language.ConstexprStepLimit = 4096;  // which bounds arrays as well
  return language;
}

std::unique_ptr<clang::CompilerInstance> make_compiler(const CompilerRequest& request) {
  auto made = std::make_unique<clang::CompilerInstance>(invocation());
  clang::CompilerInstance& compiler = *made;
  auto files = llvm::makeIntrusiveRefCnt<llvm::vfs::InMemoryFileSystem>();
  if (!request.prelude.empty()) files->addFileNoOwn(kPrelude, 0, llvm::MemoryBufferRef(request.prelude, kPrelude));
  compiler.setVirtualFileSystem(files);
  compiler.createDiagnostics(request.listener);
  compiler.createFileManager();
  compiler.createSourceManager();
  FLEXJIT_CHECK(compiler.createTarget());
  clang::SourceManager& sources = compiler.getSourceManager();
  sources.setMainFileID(sources.createFileID(llvm::MemoryBuffer::getMemBuffer(request.code, request.name)));
  compiler.createPreprocessor(clang::TU_Complete);
  compiler.getPreprocessor().setPredefines("");
  // The builtin that Clang itself calls, where it defines how structs that hold arrays are assigned.
  compiler.getPreprocessor().getIdentifierInfo("__builtin_memcpy")->setBuiltinID(clang::Builtin::BI__builtin_memcpy);
  compiler.getDiagnosticClient().BeginSourceFile(compiler.getLangOpts(), &compiler.getPreprocessor());
  compiler.createASTContext();
  // What is written and read by one build of one Clang needs no comparison of options.
  if (!request.prelude.empty())
    compiler.createPCHExternalASTSource(kPrelude, clang::DisableValidationForModuleKind::All, false, nullptr, false);
  return made;
}

}  // namespace flexjit::cxx
