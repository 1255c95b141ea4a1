// Clang's parser and semantic analysis, what they say, and where in the caller's texts a place of theirs is.
#include "cxx/parse/parse.h"

#include <clang/AST/ASTContext.h>
#include <clang/Basic/DiagnosticSema.h>
#include <clang/Frontend/CompilerInstance.h>
#include <clang/Lex/Lexer.h>
#include <clang/Parse/ParseAST.h>
#include <clang/Sema/Sema.h>

#include "cxx/parse/compiler.h"
#include "cxx/parse/limits.h"
#include "cxx/parse/prelude.h"
#include "cxx/parse/spelling.h"

namespace flexjit::cxx {
namespace {

dsl::Span place_of(const Unit& unit, const clang::SourceManager& sources, const clang::LangOptions& language,
                   clang::CharSourceRange range) {
  const clang::CharSourceRange file = clang::Lexer::makeFileCharRange(range, sources, language);
  if (file.isInvalid()) {
    const auto at = sources.getFileOffset(sources.getFileLoc(range.getBegin()));
    return unit.place(at, at + 1);
  }
  return unit.place(sources.getFileOffset(file.getBegin()), sources.getFileOffset(file.getEnd()));
}

// Clang's findings at the caller's places. What it says of the prelude follows from what it said before.
class Listener : public clang::DiagnosticConsumer {
 public:
  Listener(const Unit& unit, Findings& findings) : unit_(unit), findings_(findings) {}

  void BeginSourceFile(const clang::LangOptions& language, const clang::Preprocessor*) override { language_ = &language; }

  void HandleDiagnostic(clang::DiagnosticsEngine::Level level, const clang::Diagnostic& info) override {
    clang::DiagnosticConsumer::HandleDiagnostic(level, info);
    using Level = clang::DiagnosticsEngine;
    if (level == Level::Note || level == Level::Remark || level == Level::Ignored) return;
    const bool wrong = level == Level::Error || level == Level::Fatal;
    llvm::SmallString<128> message;
    if (names_long_type(info)) {
      message = fmt::format("what is wrong here is of a type whose name has more than {} parts", kMaxNamedParts);
    } else {
      info.FormatDiagnostic(message);
      message += advice(info.getID());
    }
    findings_.add_foreign(wrong ? "cxx-error" : "cxx-warning", wrong ? Severity::kError : Severity::kWarning, place(info),
                          message.str().str());
  }

 private:
  // What to do, where a mod has another way than C++ elsewhere.
  llvm::StringRef advice(unsigned id) const {
    switch (id) {
      case clang::diag::err_capture_default_non_local:
      case clang::diag::err_capture_non_automatic_variable:
        return "; name constexpr values without a capture, and make others parameters, which are bound at run";
      case clang::diag::err_constexpr_var_requires_const_init:
        return "; make it const where it calls functions of floats, which are computed by the pattern";
      case clang::diag::err_undeclared_var_use:
        return unit_.is_program() ? ""
                                  : "; a lambda is read alone: make what it needs of the program a parameter, bound at run";
      default: return "";
    }
  }

  dsl::Span place(const clang::Diagnostic& info) const {
    if (!info.hasSourceManager() || info.getLocation().isInvalid() || language_ == nullptr) return {};
    const clang::SourceManager& sources = info.getSourceManager();
    const clang::SourceLocation at = sources.getFileLoc(info.getLocation());
    if (sources.getFileID(at) != sources.getMainFileID()) return {};
    for (const clang::CharSourceRange& range : info.getRanges()) {
      if (sources.getFileLoc(range.getBegin()) == at) return place_of(unit_, sources, *language_, range);
    }
    return place_of(unit_, sources, *language_, clang::CharSourceRange::getTokenRange(at, at));
  }

  const Unit& unit_;
  Findings& findings_;
  const clang::LangOptions* language_ = nullptr;
};

}  // namespace

Tree::Tree(const Unit& unit, Findings& findings) : unit_(unit) {
  compiler_ = make_compiler({.code = unit.code(),
                             .name = unit.texts()[0].name,
                             .prelude = precompiled_prelude(),
                             .listener = new Listener(unit, findings)});
  clang::CompilerInstance& compiler = *compiler_;
  create_limited_sema(compiler);
  clang::ParseAST(compiler.getSema());
  compiler.getDiagnosticClient().EndSourceFile();
}

Tree::~Tree() = default;

clang::ASTContext& Tree::context() const { return compiler_->getASTContext(); }

bool Tree::place(clang::SourceRange range, dsl::Span& place) const {
  const clang::SourceManager& sources = compiler_->getSourceManager();
  if (range.isInvalid() || sources.getFileID(sources.getFileLoc(range.getBegin())) != sources.getMainFileID()) return false;
  place = place_of(unit_, sources, compiler_->getLangOpts(), clang::CharSourceRange::getTokenRange(range));
  return true;
}

}  // namespace flexjit::cxx
