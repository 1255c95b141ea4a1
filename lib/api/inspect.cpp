// One spec, stopped after the phase that a view shows.
#include "flexjit/inspect.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "api/compiler.h"
#include "api/flags.h"
#include "api/guard.h"
#include "api/pattern.h"
#include "api/report.h"
#include "api/validate.h"
#include "dsl/print_ast.h"
#include "ir/intervals.h"
#include "ir/passes.h"
#include "mask/buffer_ranges.h"

namespace flexjit {

namespace {

Result<std::string> print_ranges(const api::Pattern& pattern, const InspectRequest& request) {
  api::Report report("inspect");
  const std::optional<api::CallShape> shape = api::check_mask_options(request.sizes, report);
  // Without bindings the buffers stay unbound: analysis then knows nothing of their values.
  ir::Interface interface = pattern.interface;
  if (request.bindings == nullptr) interface.buffers.clear();
  const api::Bound bound = api::bind_names(interface, request.bindings, shape, report);
  if (!report.empty()) return report.take();
  std::optional<mask::BufferTable> tables;
  if (request.bindings != nullptr) tables.emplace(bound.environment.buffers);
  const BlockMaskOptions& sizes = request.sizes;
  ir::IntervalAnalysis analysis(pattern.program, bound.environment, tables ? &*tables : nullptr);
  // A box holds at least one position; without any, the first is shown.
  const auto last = [](std::int32_t length) { return std::max(length, 1) - 1; };
  const ir::Box everywhere{
      .b_hi = last(sizes.batch), .h_hi = last(sizes.heads), .q_hi = last(sizes.q_len), .kv_hi = last(sizes.kv_len)};
  return ir::print_intervals(pattern.program, pattern.interface, analysis.run(everywhere));
}

// The caller's text with the texts of the flags around it, in the order in which they apply.
Result<std::string> print_texts(const AttentionSpec& spec) {
  Result<std::string> printed = dsl::print_ast(api::source_of(spec));
  if (!printed) return printed;
  std::string before, after;
  for (const api::Flag& flag : api::flags_of(spec)) {
    std::string& side = flag.place == api::FlagPlace::kBeforeText ? before : after;
    side += "# flag " + flag.name + "\n" + dsl::print_ast(flag.source()).value();
  }
  return before + *printed + after;
}

Result<std::string> print_code(const plan::KernelKey& key, const EngineOptions& options, plan::View view) {
  cache::CompilerLoader loader(options.compiler_path);
  Result<const plan::CompilerDoor*> door = api::open_compiler(loader);
  if (!door) return door.diagnostics();
  return (*door)->inspect(key, view);
}

Result<std::string> show(const api::Pattern& pattern, const EngineOptions& options, const InspectRequest& request) {
  switch (request.view) {
    case InspectView::kAst: break;  // shown before there is a pattern
    case InspectView::kIr: return ir::print(pattern.lowered, pattern.interface);
    case InspectView::kSimplified: return ir::print(pattern.program, pattern.interface);
    case InspectView::kIntervals: return print_ranges(pattern, request);
    case InspectView::kLlvm: return print_code(pattern.key->key, options, plan::View::kLlvm);
    case InspectView::kAsm: return print_code(pattern.key->key, options, plan::View::kAsm);
  }
  return std::string();
}

}  // namespace

Result<std::string> inspect(const AttentionSpec& spec, const EngineOptions& options, const InspectRequest& request) {
  return api::guarded("inspect", [&]() -> Result<std::string> {
    if (request.view == InspectView::kAst) return print_texts(spec);
    // A kernel can be shown whatever backend the caller runs.
    EngineOptions compiled = options;
    compiled.backend = Backend::kCompiled;
    Result<std::shared_ptr<const api::Pattern>> pattern = api::prepare_pattern(spec, compiled);
    if (!pattern) return pattern.diagnostics();
    return show(**pattern, options, request);
  });
}

}  // namespace flexjit
