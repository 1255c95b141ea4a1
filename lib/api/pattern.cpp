// The straight list of phases between a spec's text and a kernel key.
#include "api/pattern.h"

#include <cmath>
#include <string>
#include <utility>

#include "api/report.h"
#include "ir/lower.h"
#include "ir/passes.h"
#include "plan/kernel_key.h"

namespace flexjit::api {

namespace {

void append(Diagnostics& all, const Diagnostics& more) { all.insert(all.end(), more.begin(), more.end()); }

void check_head_dim(std::string_view name, std::int32_t head_dim, Report& report) {
  if (head_dim < 1 || head_dim > kMaxHeadDim) report.add(Finding::kHeadDim, name, head_dim, kMaxHeadDim);
}

std::int32_t v_head_dim_of(const AttentionSpec& spec) { return spec.v_head_dim == 0 ? spec.head_dim : spec.v_head_dim; }

Diagnostics check_spec(const AttentionSpec& spec, const EngineOptions& options) {
  Report report("compile");
  if (!spec.program.empty() && !(spec.score_mod.empty() && spec.mask_mod.empty())) {
    report.add(Finding::kSpecForm, spec.mask_mod.empty()    ? "`score_mod`"
                                   : spec.score_mod.empty() ? "`mask_mod`"
                                                            : "`score_mod` and `mask_mod`");
  }
  if (spec.dtype != DType::kF32) report.add(Finding::kUnsupportedDType, name_of(spec.dtype), name_of(DType::kF32));
  check_head_dim("head_dim", spec.head_dim, report);
  if (spec.v_head_dim != 0) check_head_dim("v_head_dim", spec.v_head_dim, report);
  if (options.threads < 0) {
    report.add(Finding::kBadOption, "EngineOptions::threads", options.threads, "give 1 or more, or 0 for all cores");
  }
  return report.take();
}

}  // namespace

dsl::Source source_of(const AttentionSpec& spec) {
  dsl::Source source;
  if (!spec.program.empty()) {
    source.file = dsl::SourceText{spec.program_name, spec.program};
    return source;
  }
  if (!spec.mask_mod.empty()) source.mask = dsl::SourceText{"mask_mod", spec.mask_mod};
  // Plain attention is the identity, said as a text so that declarations are checked in one place.
  const bool plain = spec.score_mod.empty() && spec.mask_mod.empty();
  if (plain || !spec.score_mod.empty()) source.score = dsl::SourceText{"score_mod", plain ? "score" : spec.score_mod};
  source.buffers = spec.buffers;
  source.params = spec.params;
  return source;
}

ir::Program optimise(const ir::Program& lowered, const ir::Interface& interface) {
  return ir::simplify(ir::prove_reads(ir::simplify(lowered), interface));
}

Result<plan::Target> target_of(const EngineOptions& options) {
  Result<plan::Target> target = plan::parse_target(options.target);
  if (target && !plan::can_execute(*target)) {
    return single_finding("compile", Finding::kUnsupportedTarget, plan::name_of(*target), plan::name_of(plan::host_target()));
  }
  return target;
}

Result<std::shared_ptr<const Pattern>> prepare_pattern(const AttentionSpec& spec, const EngineOptions& options) {
  Diagnostics wrong = check_spec(spec, options);
  plan::Target target;
  if (options.backend == Backend::kCompiled) {
    if (Result<plan::Target> found = target_of(options)) {
      target = *found;
    } else {
      append(wrong, found.diagnostics());
    }
  }
  Result<ir::Lowered> lowered = ir::lower_source(source_of(spec));
  if (!lowered) append(wrong, lowered.diagnostics());
  if (!wrong.empty()) return wrong;

  auto pattern = std::make_shared<Pattern>();
  pattern->lowered = std::move(lowered->program);
  pattern->interface = std::move(lowered->interface);
  pattern->program = optimise(pattern->lowered, pattern->interface);
  pattern->head_dim = spec.head_dim;
  pattern->v_head_dim = v_head_dim_of(spec);
  pattern->scale = spec.scale.value_or(1.0F / std::sqrt(static_cast<float>(spec.head_dim)));
  if (options.backend == Backend::kCompiled) {
    pattern->key = std::make_shared<const cache::HashedKey>(plan::plan_kernel(
        {.program = pattern->program, .head_dim = pattern->head_dim, .v_head_dim = pattern->v_head_dim}, target));
  }
  return std::shared_ptr<const Pattern>(std::move(pattern));
}

}  // namespace flexjit::api
