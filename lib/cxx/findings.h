// What is wrong with C++ texts, each at its place.
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "dsl/parse/source.h"
#include "dsl/parse/source_location.h"
#include "flexjit/diagnostic.h"

namespace flexjit::cxx {

enum class Finding : std::uint8_t {
#define FLEXJIT_DIAGNOSTIC(finding, kind, text) finding,
#include "cxx/diagnostics.def"
#undef FLEXJIT_DIAGNOSTIC
};

class Findings {
 public:
  static constexpr std::size_t kMaxFindings = 20;

  // `texts` must outlive it.
  explicit Findings(const std::vector<dsl::SourceText>& texts) : texts_(texts) {}

  template <typename... Args>
  void add(Finding finding, dsl::Span place, const Args&... args) {
    append(finding, place, fmt::make_format_args(args...));
  }
  // Of Clang: `kind` is cxx-error or cxx-warning.
  void add_foreign(std::string_view kind, Severity severity, dsl::Span place, std::string message);

  bool has_errors() const { return errors_ > 0; }
  Diagnostics take() { return std::move(diagnostics_); }

 private:
  void append(Finding finding, dsl::Span place, fmt::format_args args);
  void insert(Diagnostic diagnostic, dsl::Span place);

  const std::vector<dsl::SourceText>& texts_;
  Diagnostics diagnostics_;
  std::size_t errors_ = 0;
};

}  // namespace flexjit::cxx
