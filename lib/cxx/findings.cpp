// Templates of diagnostics.def and places -> diagnostics with their lines.
#include "cxx/findings.h"

#include <algorithm>
#include <array>
#include <utility>

namespace flexjit::cxx {
namespace {

struct Entry {
  std::string_view kind, text;
};
constexpr std::array kEntries = {
#define FLEXJIT_DIAGNOSTIC(finding, kind, text) Entry{kind, text},
#include "cxx/diagnostics.def"
#undef FLEXJIT_DIAGNOSTIC
};
constexpr std::string_view kWarning = "warning: ";

}  // namespace

void Findings::append(Finding finding, dsl::Span place, fmt::format_args args) {
  const Entry& entry = kEntries[static_cast<std::size_t>(finding)];
  Diagnostic diagnostic;
  diagnostic.kind = entry.kind;
  const bool warns = entry.text.starts_with(kWarning);
  diagnostic.severity = warns ? Severity::kWarning : Severity::kError;
  diagnostic.message = fmt::vformat(entry.text.substr(warns ? kWarning.size() : 0), args);
  insert(std::move(diagnostic), place);
}

void Findings::add_foreign(std::string_view kind, Severity severity, dsl::Span place, std::string message) {
  Diagnostic diagnostic;
  diagnostic.kind = kind;
  diagnostic.severity = severity;
  diagnostic.message = std::move(message);
  insert(std::move(diagnostic), place);
}

void Findings::insert(Diagnostic diagnostic, dsl::Span place) {
  errors_ += diagnostic.severity == Severity::kError ? 1 : 0;
  if (diagnostics_.size() >= kMaxFindings) return;
  const dsl::SourceText& text = texts_[place.text];
  dsl::Location location = dsl::locate(text.text, place);
  diagnostic.source_name = text.name;
  diagnostic.line = location.line;
  diagnostic.column = location.column;
  diagnostic.length = location.length;
  diagnostic.snippet = std::move(location.snippet);
  const auto same = [&](const Diagnostic& known) {
    return known.kind == diagnostic.kind && known.line == diagnostic.line && known.column == diagnostic.column &&
           known.source_name == diagnostic.source_name;
  };
  if (std::ranges::none_of(diagnostics_, same)) diagnostics_.push_back(std::move(diagnostic));
}

}  // namespace flexjit::cxx
