// `flexjit check`: the diagnostics of texts, without a compiler.
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "colour.h"
#include "flexjit/engine.h"
#include "options.h"
#include "pattern.h"
#include "report.h"

namespace flexjit::tools {
namespace {

bool has_error(const Diagnostics& found) {
  return std::ranges::any_of(found, [](const Diagnostic& d) { return d.severity == Severity::kError; });
}

Diagnostics check_one(const PatternOptions& pattern, Output output) {
  const Result<AttentionSpec> spec = load_pattern(pattern);
  if (!spec) return spec.diagnostics();
  Diagnostics found = check(*spec);
  if (output == Output::kTable && !has_error(found))
    fmt::print("{}: {}\n", spec->program_name, coloured("ok", Ink::kGood, stdout));
  return found;
}

}  // namespace

int check_command(const CheckOptions& options) {
  std::vector<PatternOptions> patterns;
  for (const std::string& file : options.files) {
    patterns.push_back(options.pattern);
    patterns.back().file = file;
  }
  if (patterns.empty()) patterns.push_back(options.pattern);
  Diagnostics all;
  for (const PatternOptions& pattern : patterns) {
    const Diagnostics found = check_one(pattern, options.output);
    // The warnings of a text that is right are on stderr already.
    if (has_error(found) || options.output == Output::kJson) all.insert(all.end(), found.begin(), found.end());
  }
  if (has_error(all)) return report_errors(all, options.output);
  if (options.output == Output::kJson)
    print_json({{"errors", nlohmann::ordered_json::array()}, {"warnings", diagnostics_json(all)}});
  return static_cast<int>(ExitCode::kFine);
}

}  // namespace flexjit::tools
