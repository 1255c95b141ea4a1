// Collects everything that is wrong with one call, so that the caller learns all of it at once.
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "flexjit/diagnostic.h"

namespace flexjit::engine {

enum class Finding : std::uint8_t {
#define FLEXJIT_DIAGNOSTIC(finding, kind, text) finding,
#include "diagnostics/diagnostics.def"
#undef FLEXJIT_DIAGNOSTIC
};

// Diagnostic::kind of a finding, e.g. "tensor-shape".
std::string_view kind_of(Finding finding);

class Report {
 public:
  // `call` is shown where a text diagnostic has its source name: "compile", "run", "create_block_mask".
  explicit Report(std::string_view call) : call_(call) {}

  // `args` fill the template of diagnostics.def.
  template <typename... Args>
  Diagnostic& add(Finding finding, const Args&... args) {
    return append(finding, fmt::make_format_args(args...));
  }

  void add_all(Diagnostics diagnostics);

  std::string_view call() const { return call_; }
  bool empty() const { return diagnostics_.empty(); }
  Diagnostics take() { return std::move(diagnostics_); }

 private:
  Diagnostic& append(Finding finding, fmt::format_args args);

  std::string call_;
  Diagnostics diagnostics_;
};

// A report of one finding.
template <typename... Args>
Diagnostics single_finding(std::string_view call, Finding finding, const Args&... args) {
  Report report(call);
  report.add(finding, args...);
  return report.take();
}

}  // namespace flexjit::engine
