// `flexjit inspect`: what a pattern becomes on its way to machine code.
#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <utility>

#include "flexjit/inspect.h"
#include "options.h"
#include "pattern.h"
#include "report.h"

namespace flexjit::tools {
namespace {

constexpr std::pair<std::string_view, InspectView> kViews[] = {
    {"ast", InspectView::kAst},
    {"ir", InspectView::kIr},
    {"simplified", InspectView::kSimplified},
    {"intervals", InspectView::kIntervals},
    {"llvm", InspectView::kLlvm},
    {"asm", InspectView::kAsm},
};

}  // namespace

int inspect_command(const InspectOptions& options) {
  Result<AttentionSpec> spec = load_pattern(options.pattern);
  if (!spec) return report_errors(spec.diagnostics(), options.output);
  spec->head_dim = static_cast<std::int32_t>(options.head_dim);
  spec->v_head_dim = static_cast<std::int32_t>(options.v_head_dim);
  spec->dtype = options.dtypes.q;
  spec->kv_dtype = options.dtypes.kv;
  spec->out_dtype = options.dtypes.out;
  InspectRequest request;
  for (const auto& [name, view] : kViews)
    if (name == options.view) request.view = view;
  EngineOptions engine;
  engine.target = options.target;
  const Result<std::string> text = inspect(*spec, engine, request);
  if (!text) return report_errors(text.diagnostics(), options.output);
  if (options.output == Output::kJson)
    fmt::print("{}\n", nlohmann::ordered_json{{"view", options.view}, {"text", *text}}.dump(2));
  else
    fmt::print("{}{}", *text, text->ends_with('\n') ? "" : "\n");
  return static_cast<int>(ExitCode::kFine);
}

}  // namespace flexjit::tools
