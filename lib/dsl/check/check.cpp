// The order of things: parse every text, declare, check, and give up only at the end.
#include "dsl/check/check.h"

#include <algorithm>
#include <utility>

#include "dsl/check/checker.h"
#include "dsl/parse/lexer.h"
#include "dsl/parse/parser.h"

namespace flexjit::dsl {
namespace {

bool is_identifier(std::string_view name) {
  const auto letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; };
  const auto fits = [&](char c) { return letter(c) || (c >= '0' && c <= '9'); };
  return !name.empty() && letter(name[0]) && std::all_of(name.begin(), name.end(), fits);
}

bool check_sizes(const std::vector<SourceText>& texts, DiagnosticEngine& diagnostics) {
  for (const SourceText& text : texts) {
    if (text.text.size() <= kMaxSourceBytes) continue;
    diagnostics.report_without_place(Kind::kSourceTooLong, text.name,
                                     {std::to_string(text.text.size()), std::to_string(kMaxSourceBytes)});
  }
  return diagnostics.count() == 0;
}

// The expression strings that are there, in the order of Checked::texts.
std::vector<std::pair<const SourceText*, StatementKind>> results_of(const Source& source) {
  std::vector<std::pair<const SourceText*, StatementKind>> results;
  if (source.score) results.emplace_back(&*source.score, StatementKind::kScore);
  if (source.mask) results.emplace_back(&*source.mask, StatementKind::kMask);
  if (source.feature) results.emplace_back(&*source.feature, StatementKind::kFeature);
  if (source.gate) results.emplace_back(&*source.gate, StatementKind::kGate);
  return results;
}

void check_file(Checked& checked, DiagnosticEngine& diagnostics) {
  const Ast ast = parse(checked.texts[0], 0, Form::kFile, diagnostics);
  const std::size_t syntax_errors = diagnostics.count();
  Checker(checked, diagnostics).check_text(ast, StatementKind::kScore);
  const bool has_result = std::ranges::any_of(ast.statements, &Statement::is_result);
  if (!has_result && syntax_errors == 0) diagnostics.report_without_place(Kind::kNoResult, checked.texts[0].name, {});
}

void check_expressions(const Source& source, Checked& checked, DiagnosticEngine& diagnostics) {
  Checker checker(checked, diagnostics);
  if (!checked.texts.empty()) {
    checker.declare_buffers(source.buffers, checked.texts[0].name);
    checker.declare_params(source.params, checked.texts[0].name);
  }
  std::uint32_t number = 0;
  for (const auto& [text, kind] : results_of(source)) {
    const Ast ast = parse(checked.texts[number], number, Form::kExpression, diagnostics);
    checker.check_text(ast, kind);
    ++number;
  }
}

}  // namespace

bool Checker::check_caller_name(std::string_view what, const std::string& name, const std::string& source_name) {
  const std::size_t errors = diagnostics_.count();
  const std::string shown = quoted(name);
  if (!is_identifier(name)) {
    diagnostics_.report_without_place(Kind::kInvalidName, source_name, {what, shown});
  } else if (!why_reserved(name).empty()) {
    diagnostics_.report_without_place(Kind::kReservedName, source_name, {shown, why_reserved(name)});
  } else if (scope_.find_global(name) != nullptr) {
    diagnostics_.report_without_place(Kind::kDuplicateName, source_name, {shown, ", by the caller"});
  }
  return diagnostics_.count() == errors;
}

void Checker::declare_buffers(const std::vector<BufferDeclaration>& buffers, const std::string& source_name) {
  for (const BufferDeclaration& declared : buffers) {
    if (!check_caller_name("the buffer", declared.name, source_name)) continue;
    Symbol symbol{.name = declared.name};
    if (declared.rank < 1 || declared.rank > kMaxRank) {
      diagnostics_.report_without_place(Kind::kBufferRank, source_name, {quoted(declared.name), std::to_string(declared.rank)});
    } else {
      symbol.kind = SymbolKind::kBuffer;
      symbol.slot = static_cast<std::uint32_t>(checked_.buffers.size());
      checked_.buffers.push_back(
          {declared.name, declared.dtype, std::vector<CheckedExtent>(static_cast<std::size_t>(declared.rank))});
    }
    scope_.define_global(symbol);
  }
}

void Checker::declare_params(const std::vector<ParamDeclaration>& params, const std::string& source_name) {
  for (const ParamDeclaration& declared : params) {
    if (!check_caller_name("the param", declared.name, source_name)) continue;
    const auto slot = static_cast<std::uint32_t>(checked_.params.size());
    const auto type = static_cast<Type>(declared.default_value.index());
    checked_.params.push_back({declared.name, type, declared.default_value, true});
    scope_.define_global({.name = declared.name, .kind = SymbolKind::kParam, .slot = slot});
  }
}

Result<Checked> check_source(const Source& source) {
  Checked checked;
  checked.precision = source.precision;
  if (source.file) {
    checked.texts.push_back(*source.file);
  } else {
    for (const auto& [text, kind] : results_of(source)) checked.texts.push_back(*text);
  }
  DiagnosticEngine diagnostics(checked.texts);
  if (check_sizes(checked.texts, diagnostics)) {
    if (source.file) {
      check_file(checked, diagnostics);
    } else {
      check_expressions(source, checked, diagnostics);
    }
  }
  if (diagnostics.count() > 0) return std::move(diagnostics).take();
  checked.warnings = std::move(diagnostics).take();
  return checked;
}

}  // namespace flexjit::dsl
