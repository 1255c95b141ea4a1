// A fatal error ends instantiations; without the rest of its tokens a text asks for nothing more.
#include "cxx/parse/limits.h"

#include <clang/AST/ASTConsumer.h>
#include <clang/AST/ASTContext.h>
#include <clang/AST/DeclCXX.h>
#include <clang/AST/DeclTemplate.h>
#include <clang/Frontend/CompilerInstance.h>
#include <clang/Lex/Lexer.h>
#include <clang/Lex/Preprocessor.h>
#include <clang/Sema/Sema.h>
#include <clang/Sema/TemplateInstCallback.h>
#include <fmt/format.h>

#include <algorithm>
#include <ctime>
#include <map>
#include <memory>
#include <string>

#include "cxx/parse/spelling.h"

namespace flexjit::cxx {
namespace {

class Limits {
 public:
  explicit Limits(clang::Preprocessor& preprocessor) : preprocessor_(preprocessor) {}

  void check_time(clang::SourceLocation at) {
    if (!is_over_ && ++checks_ % 16 == 0 && seconds() - begin_ > kMaxSeconds)
      end(at, fmt::format("what is computed of this text while it is read takes more than {} seconds", kMaxSeconds));
    if (is_over_) skip_rest();
  }

  void count_instantiation(clang::SourceLocation at) {
    if (++count_ > kMaxInstantiations) end(at, fmt::format("more than {} templates are instantiated", kMaxInstantiations));
    check_time(at);
  }

  // A pack that is expanded into itself grows with each instance, which are few.
  void check_arguments(llvm::ArrayRef<clang::TemplateArgument> arguments, clang::SourceLocation at) {
    if (has_more_names(arguments, kMaxParts)) end(at, fmt::format("template arguments of more than {} parts", kMaxParts));
  }

  // Of a record that is complete. Parts double with every record that holds two of the last one, and Clang initialises each.
  // It becomes invalid, which Clang initialises no value of: an instantiated one is complete only when its `{}` has been read.
  void check_parts(clang::CXXRecordDecl& record, const clang::ASTContext& context) {
    std::uint64_t parts = 0;
    const auto add = [&](clang::QualType type) { parts = std::min(kMaxParts + 1, parts + parts_of(type, context)); };
    if (record.isDependentContext() || parts_.contains(record.getCanonicalDecl())) return;
    for (const clang::CXXBaseSpecifier& base : record.bases()) add(base.getType());
    for (const clang::FieldDecl* field : record.fields()) add(field->getType());
    parts_[record.getCanonicalDecl()] = parts;
    if (parts <= kMaxParts) return;
    record.setInvalidDecl();
    end(record.getLocation(), fmt::format("this type has more than {} parts", kMaxParts));
  }

 private:
  static double seconds() {
    timespec now{};
    ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
  }

  std::uint64_t parts_of(clang::QualType type, const clang::ASTContext& context) const {
    std::uint64_t count = 1;
    while (const auto* array = context.getAsConstantArrayType(type)) {
      count *= std::clamp(array->getSize().getLimitedValue(kMaxParts + 1), std::uint64_t{1}, kMaxParts + 1);
      count = std::min(count, kMaxParts + 1);
      type = array->getElementType();
    }
    const clang::CXXRecordDecl* record = type->getAsCXXRecordDecl();
    const auto known = record != nullptr ? parts_.find(record->getCanonicalDecl()) : parts_.end();
    return known != parts_.end() ? count * known->second : count;
  }

  void end(clang::SourceLocation at, const std::string& why) {
    if (is_over_) return;
    is_over_ = true;
    clang::DiagnosticsEngine& diagnostics = preprocessor_.getDiagnostics();
    diagnostics.Report(at, diagnostics.getCustomDiagID(clang::DiagnosticsEngine::Fatal, "%0")) << why;
  }

  void skip_rest() {
    auto* lexer = static_cast<clang::Lexer*>(preprocessor_.getCurrentLexer());  // none inside a macro, which ends soon
    if (lexer != nullptr) lexer->seek(static_cast<unsigned>(lexer->getBuffer().size()), false);
  }

  clang::Preprocessor& preprocessor_;
  const double begin_ = seconds();
  std::uint32_t count_ = 0, checks_ = 0;
  bool is_over_ = false;
  std::map<const clang::CXXRecordDecl*, std::uint64_t> parts_;
};

class Consumer : public clang::ASTConsumer {
 public:
  explicit Consumer(std::shared_ptr<Limits> limits) : limits_(std::move(limits)) {}

  void HandleTagDeclDefinition(clang::TagDecl* declaration) override {
    auto* record = llvm::dyn_cast<clang::CXXRecordDecl>(declaration);
    if (record != nullptr) limits_->check_parts(*record, record->getASTContext());
  }

 private:
  std::shared_ptr<Limits> limits_;
};

class Instantiations : public clang::TemplateInstantiationCallback {
 public:
  explicit Instantiations(std::shared_ptr<Limits> limits) : limits_(std::move(limits)) {}

  void initialize(const clang::Sema&) override {}
  void finalize(const clang::Sema&) override {}
  void atTemplateBegin(const clang::Sema&, const clang::Sema::CodeSynthesisContext& context) override {
    limits_->count_instantiation(context.PointOfInstantiation);
    limits_->check_arguments(context.template_arguments(), context.PointOfInstantiation);
    if (const auto* record = llvm::dyn_cast_if_present<clang::ClassTemplateSpecializationDecl>(context.Entity))
      limits_->check_arguments(record->getTemplateArgs().asArray(), context.PointOfInstantiation);
  }
  void atTemplateEnd(const clang::Sema& sema, const clang::Sema::CodeSynthesisContext& context) override {
    auto* record = llvm::dyn_cast_if_present<clang::CXXRecordDecl>(context.Entity);
    if (record != nullptr && record->isCompleteDefinition()) limits_->check_parts(*record, sema.Context);
  }

 private:
  std::shared_ptr<Limits> limits_;
};

}  // namespace

void create_limited_sema(clang::CompilerInstance& compiler) {
  const auto limits = std::make_shared<Limits>(compiler.getPreprocessor());
  compiler.getPreprocessor().setTokenWatcher([limits](const clang::Token& token) { limits->check_time(token.getLocation()); });
  compiler.setASTConsumer(std::make_unique<Consumer>(limits));
  compiler.createSema(clang::TU_Complete, nullptr);
  compiler.getSema().TemplateInstCallbacks.push_back(std::make_unique<Instantiations>(limits));
}

}  // namespace flexjit::cxx
