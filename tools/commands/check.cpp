// `flexjit check`: the diagnostics of texts, without a compiler.
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "command_line/colour.h"
#include "command_line/options.h"
#include "commands/report.h"
#include "data/file_uses.h"
#include "data/pattern.h"
#include "flexjit/engine.h"

namespace flexjit::tools {
namespace {

bool has_error(const Diagnostics& found) {
  return std::ranges::any_of(found, [](const Diagnostic& d) { return d.severity == Severity::kError; });
}

struct Checked {
  std::string name;
  Diagnostics found;
};

Checked check_one(const PatternOptions& pattern, Output output) {
  const Result<AttentionSpec> spec = read_pattern(pattern);
  if (!spec) return {pattern.file, spec.diagnostics()};
  Diagnostics found = check(*spec);
  print_warnings(found);
  if (output == Output::kTable && !has_error(found))
    fmt::print("{}: {}\n", spec->program_name, coloured("ok", Ink::kGood, stdout));
  return {spec->program_name, std::move(found)};
}

std::vector<PatternOptions> patterns_of(const CheckOptions& options) {
  std::vector<PatternOptions> patterns;
  for (const std::string& file : options.files) {
    patterns.push_back(options.pattern);
    patterns.back().file = file;
  }
  if (patterns.empty()) patterns.push_back(options.pattern);
  return patterns;
}

// The errors and warnings of all, and which text is right. Where there are errors, warnings stand among them, in their order.
void print_checked(const std::vector<Checked>& checked, const Diagnostics& all) {
  using Json = nlohmann::ordered_json;
  Json files = Json::array();
  for (const Checked& one : checked) files.push_back({{"file", one.name}, {"ok", !has_error(one.found)}});
  Json json = {{"files", std::move(files)}, {"errors", Json::array()}};
  json[has_error(all) ? "errors" : "warnings"] = diagnostics_json(all);
  print_json(json);
}

}  // namespace

int check_command(const CheckOptions& options) {
  const std::vector<PatternOptions> patterns = patterns_of(options);
  std::vector<FileUse> inputs;
  for (const PatternOptions& pattern : patterns) inputs.push_back({"the pattern " + pattern.file, pattern.file});
  if (const Diagnostics errors = check_file_uses(inputs, {}); !errors.empty()) return report_errors(errors, options.output);
  std::vector<Checked> checked;
  Diagnostics all;
  for (const PatternOptions& pattern : patterns) {
    const Diagnostics& found = checked.emplace_back(check_one(pattern, options.output)).found;
    // The warnings of a text that is right are on stderr already.
    if (has_error(found) || options.output == Output::kJson) all.insert(all.end(), found.begin(), found.end());
  }
  if (options.output == Output::kJson)
    print_checked(checked, all);
  else if (has_error(all))
    return report_errors(all, options.output);
  return has_error(all) ? exit_code_of(all) : static_cast<int>(ExitCode::kFine);
}

}  // namespace flexjit::tools
