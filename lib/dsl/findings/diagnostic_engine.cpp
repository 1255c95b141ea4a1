// Kind + Span + arguments -> Diagnostic.
#include "dsl/findings/diagnostic_engine.h"

#include <fmt/args.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <tuple>

namespace flexjit::dsl {
namespace {

constexpr std::array kIds = {
#define FLEXJIT_DIAGNOSTIC(kind, id, message) std::string_view(id),
#include "dsl/findings/diagnostics.def"
#undef FLEXJIT_DIAGNOSTIC
};

constexpr std::array kMessages = {
#define FLEXJIT_DIAGNOSTIC(kind, id, message) std::string_view(message),
#include "dsl/findings/diagnostics.def"
#undef FLEXJIT_DIAGNOSTIC
};

Diagnostic make_diagnostic(Kind kind, std::initializer_list<std::string_view> arguments) {
  fmt::dynamic_format_arg_store<fmt::format_context> store;
  for (std::string_view argument : arguments) store.push_back(argument);
  Diagnostic diagnostic;
  diagnostic.kind = id_of(kind);
  diagnostic.message = fmt::vformat(kMessages[static_cast<std::size_t>(kind)], store);
  return diagnostic;
}

template <typename Entry>
bool holds(const std::vector<Entry>& entries, Kind kind, Span span) {
  return std::ranges::any_of(entries, [&](const Entry& entry) { return entry.kind == kind && entry.span == span; });
}

template <typename Entry>
void insert(std::vector<Entry>& entries, Entry entry) {
  const auto comes_before = [](const Entry& a, const Entry& b) {
    return std::tie(a.span.text, a.span.begin) < std::tie(b.span.text, b.span.begin);
  };
  entries.insert(std::upper_bound(entries.begin(), entries.end(), entry, comes_before), std::move(entry));
}

}  // namespace

std::string_view id_of(Kind kind) { return kIds[static_cast<std::size_t>(kind)]; }
std::span<const std::string_view> all_kind_ids() { return kIds; }

DiagnosticEngine::Entry DiagnosticEngine::entry_at(Kind kind, Span span,
                                                   std::initializer_list<std::string_view> arguments) const {
  const Place place = shown_place(texts_, span);
  Location location = locate(place.text->text, place.span);
  Diagnostic diagnostic = make_diagnostic(kind, arguments);
  diagnostic.message += suffix_;
  diagnostic.source_name = place.text->name;
  diagnostic.line = location.line;
  diagnostic.column = location.column;
  diagnostic.length = location.length;
  diagnostic.snippet = std::move(location.snippet);
  return {kind, span, std::move(diagnostic)};
}

void DiagnosticEngine::report(Kind kind, Span span, std::initializer_list<std::string_view> arguments) {
  ++count_;
  if (holds(errors_, kind, span)) return;
  if (full()) {
    overflow_ = true;
    return;
  }
  insert(errors_, entry_at(kind, span, arguments));
}

void DiagnosticEngine::warn(Kind kind, Span span, std::initializer_list<std::string_view> arguments) {
  if (holds(warnings_, kind, span) || warnings_.size() >= kMaxErrors) return;
  Entry entry = entry_at(kind, span, arguments);
  entry.diagnostic.severity = Severity::kWarning;
  insert(warnings_, std::move(entry));
}

void DiagnosticEngine::report_without_place(Kind kind, std::string source_name,
                                            std::initializer_list<std::string_view> arguments) {
  ++count_;
  if (full()) {
    overflow_ = true;
    return;
  }
  Diagnostic diagnostic = make_diagnostic(kind, arguments);
  diagnostic.source_name = std::move(source_name);
  insert(errors_, Entry{kind, Span{}, std::move(diagnostic)});
}

Diagnostics DiagnosticEngine::take() && {
  for (Entry& warning : warnings_) {
    if (!full()) insert(errors_, std::move(warning));
  }
  Diagnostics result;
  for (Entry& entry : errors_) result.push_back(std::move(entry.diagnostic));
  if (overflow_) {
    Diagnostic last = make_diagnostic(Kind::kTooManyErrors, {std::to_string(kMaxErrors)});
    last.source_name = result.back().source_name;
    result.push_back(std::move(last));
  }
  return result;
}

}  // namespace flexjit::dsl
