// diagnostics.def -> the kind and the text of each finding.
#include "diagnostics/report.h"

#include <algorithm>
#include <iterator>

namespace flexjit::engine {

namespace {

std::string_view template_of(Finding finding) {
  switch (finding) {
#define FLEXJIT_DIAGNOSTIC(name, kind, text) \
  case Finding::name: return text;
#include "diagnostics/diagnostics.def"
#undef FLEXJIT_DIAGNOSTIC
  }
  return {};
}

}  // namespace

std::string_view kind_of(Finding finding) {
  switch (finding) {
#define FLEXJIT_DIAGNOSTIC(name, kind, text) \
  case Finding::name: return kind;
#include "diagnostics/diagnostics.def"
#undef FLEXJIT_DIAGNOSTIC
  }
  return {};
}

void Report::add_all(Diagnostics diagnostics) { std::ranges::move(diagnostics, std::back_inserter(diagnostics_)); }

Diagnostic& Report::append(Finding finding, fmt::format_args args) {
  Diagnostic& diagnostic = diagnostics_.emplace_back();
  diagnostic.kind = kind_of(finding);
  diagnostic.source_name = call_;
  diagnostic.message = fmt::vformat(template_of(finding), args);
  return diagnostic;
}

}  // namespace flexjit::engine
