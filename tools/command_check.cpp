// `flexjit check`: the diagnostics of a text, without a compiler.
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "flexjit/engine.h"
#include "options.h"
#include "pattern.h"
#include "report.h"

namespace flexjit::tools {

int check_command(const CheckOptions& options) {
  const Result<AttentionSpec> spec = load_pattern(options.pattern);
  if (!spec) return report_errors(spec.diagnostics(), options.output);
  const Diagnostics found = check(*spec);
  const auto is_error = [](const Diagnostic& d) { return d.severity == Severity::kError; };
  if (std::ranges::any_of(found, is_error)) return report_errors(found, options.output);
  if (options.output == Output::kJson)
    print_json({{"errors", nlohmann::ordered_json::array()}, {"warnings", diagnostics_json(found)}});
  else
    fmt::print("{}: ok\n", spec->program_name);
  return static_cast<int>(ExitCode::kFine);
}

}  // namespace flexjit::tools
