// `flexjit check`: the diagnostics of a text, without a compiler.
#include <fmt/format.h>

#include "flexjit/inspect.h"
#include "options.h"
#include "pattern.h"
#include "report.h"

namespace flexjit::tools {

int check_command(const CheckOptions& options) {
  const Result<AttentionSpec> spec = load_pattern(options.pattern);
  if (!spec) return report_errors(spec.diagnostics(), options.output);
  // The simplified view parses, checks and lowers, which is every way that a text can be wrong.
  const auto shown = inspect(*spec, {}, {.views = {InspectView::kSimplified}});
  if (!shown) return report_errors(shown.diagnostics(), options.output);
  fmt::print("{}\n", options.output == Output::kJson ? R"({"errors": []})" : spec->program_name + ": ok");
  return static_cast<int>(ExitCode::kFine);
}

}  // namespace flexjit::tools
