// The straight list of phases between a spec's text and a kernel key.
#include "pattern/pattern.h"

#include <cmath>
#include <string>
#include <utility>

#include "cache/perf.h"
#include "call/validate.h"
#include "diagnostics/guard.h"
#include "diagnostics/report.h"
#include "ir/lower/lower.h"
#include "ir/passes/passes.h"
#include "languages/cxx.h"
#include "pattern/debug_source.h"
#include "pattern/flags.h"
#include "pattern/linear_options.h"
#include "pattern/pattern_name.h"
#include "pattern/shard.h"
#include "plan/code_size.h"
#include "plan/kernel_key.h"
#include "support/dtype.h"

namespace flexjit::engine {

namespace {

void append(Diagnostics& all, const Diagnostics& more) { all.insert(all.end(), more.begin(), more.end()); }

void check_head_dim(std::string_view name, std::int32_t head_dim, Report& report) {
  if (head_dim < 1 || head_dim > kMaxHeadDim) report.add(Finding::kHeadDim, name, head_dim, kMaxHeadDim);
}

std::int32_t v_head_dim_of(const AttentionSpec& spec) { return spec.v_head_dim == 0 ? spec.head_dim : spec.v_head_dim; }

// f32 queries may have keys and values of half the size, all but f64 ones quantised ones; bf16 and f16 queries may have the
// output in f32.
void check_types(const plan::ElementTypes& types, Report& report) {
  const bool is_small = types.q == DType::kBF16 || types.q == DType::kF16;
  const bool is_f32 = types.q == DType::kF32;
  if (!is_small && !is_f32 && types.q != DType::kF64) {
    report.add(Finding::kUnsupportedDType, "dtype", name_of(types.q), "f32, bf16, f16 or f64");
    return;
  }
  const bool small_kv = types.kv == DType::kBF16 || types.kv == DType::kF16;
  const auto choices = [&](const char* more) {
    return fmt::format("{}{} with {} queries", name_of(types.q), more, name_of(types.q));
  };
  const bool quantised_kv = support::is_quantised(types.kv) && types.q != DType::kF64;
  if (types.kv != types.q && !(is_f32 && small_kv) && !quantised_kv) {
    const char* more = is_f32 ? ", bf16, f16, i8, e4m3 or e5m2" : is_small ? ", i8, e4m3 or e5m2" : "";
    report.add(Finding::kUnsupportedDType, "kv_dtype", name_of(types.kv), choices(more));
  }
  if (types.out != types.q && !(is_small && types.out == DType::kF32)) {
    report.add(Finding::kUnsupportedDType, "out_dtype", name_of(types.out), choices(is_small ? " or f32" : ""));
  }
}

void check_scale_dims(const AttentionSpec& spec, Report& report) {
  const std::int32_t dims = spec.kv_scale_dims;
  if (dims == 0) return;
  if (!support::is_quantised(types_of(spec).kv)) {
    report.add(Finding::kBadOption, "kv_scale_dims", dims, "keys of this kv_dtype have no scales, so leave it at 0");
  } else if (dims != 32 && dims != 64 && dims != 128) {
    report.add(Finding::kBadOption, "kv_scale_dims", dims, "give 32, 64 or 128, or 0 for all dims of a row");
  } else if (spec.head_dim % dims != 0 || v_head_dim_of(spec) % dims != 0) {
    report.add(Finding::kBadOption, "kv_scale_dims", dims,
               fmt::format("it must divide head_dim {} and v_head_dim {}", spec.head_dim, v_head_dim_of(spec)));
  }
}

plan::Weights weights_of(const AttentionSpec& spec) {
  switch (spec.weights) {
    case Weights::kSoftmax: return plan::Weights::kSoftmax;
    case Weights::kSigmoid: return plan::Weights::kSigmoid;
    case Weights::kLinear: return plan::Weights::kLinear;
  }
  return plan::Weights::kSoftmax;
}

Result<plan::Target> target_of(const EngineOptions& options, Purpose purpose) {
  Result<plan::Target> target = plan::parse_target(options.target);
  if (target && purpose == Purpose::kRun && !plan::can_execute(*target)) {
    return single_finding("compile", Finding::kUnsupportedTarget, plan::name_of(*target), plan::name_of(plan::host_target()));
  }
  return target;
}

Diagnostics check_spec(const AttentionSpec& spec, const EngineOptions& options) {
  Report report("compile");
  if (!spec.program.empty() && !(spec.score_mod.empty() && spec.mask_mod.empty())) {
    report.add(Finding::kSpecForm, spec.mask_mod.empty()    ? "`score_mod`"
                                   : spec.score_mod.empty() ? "`mask_mod`"
                                                            : "`score_mod` and `mask_mod`");
  }
  if (spec.language == TextLanguage::kCxx && !(spec.buffers.empty() && spec.params.empty()))
    report.add(Finding::kBadOption, "buffers and params", "given", "the parameters of C++ functions declare them");
  if (spec.language != TextLanguage::kFlex && spec.language != TextLanguage::kCxx)
    report.add(Finding::kBadOption, "language", static_cast<int>(spec.language), "give TextLanguage::kFlex or kCxx");
  check_types(types_of(spec), report);
  check_head_dim("head_dim", spec.head_dim, report);
  check_scale_dims(spec, report);
  if (spec.v_head_dim != 0) check_head_dim("v_head_dim", spec.v_head_dim, report);
  if (spec.weights > Weights::kLinear)
    report.add(Finding::kBadOption, "weights", static_cast<int>(spec.weights), "give Weights::kSoftmax, kSigmoid or kLinear");
  check_linear_options(spec, report);
  const auto has_generator = [&](DropoutGenerator generator) { return spec.dropout->generator == generator; };
  if (spec.dropout && !has_generator(DropoutGenerator::kPhilox) && !has_generator(DropoutGenerator::kPhilox4))
    report.add(Finding::kBadOption, "dropout.generator", static_cast<int>(spec.dropout->generator),
               "give DropoutGenerator::kPhilox or kPhilox4");
  if (spec.scale && !std::isfinite(*spec.scale)) report.add(Finding::kBadOption, "scale", *spec.scale, "give a finite number");
  check_threads("EngineOptions::threads", options.threads, report);
  if (!cache::parse_perf(options.perf)) {
    report.add(Finding::kBadOption, "EngineOptions::perf", fmt::format("\"{}\"", options.perf),
               "give \"map\", \"jitdump\" or \"\", there or in the environment variable FLEXJIT_PERF");
  }
  return report.take();
}

}  // namespace

plan::ElementTypes types_of(const AttentionSpec& spec) {
  return {.q = spec.dtype,
          .kv = spec.kv_dtype.value_or(spec.dtype),
          .out = spec.out_dtype.value_or(spec.dtype),
          .scale_dims = spec.kv_scale_dims};
}

support::Precision precision_of(const AttentionSpec& spec) {
  if (spec.dtype == DType::kF64) return support::Precision::kFp64;
  return support::Precision::kFp32;
}

namespace {

languages::CxxRequest cxx_request(const AttentionSpec& spec) {
  languages::CxxRequest request;
  request.precision = precision_of(spec);
  if (!spec.program.empty()) {
    request.texts.push_back({spec.program_name, spec.program});
    return request;
  }
  const auto add = [&](const char* name, const std::string& text) {
    if (text.empty()) return;
    request.texts.push_back({name, text});
    request.names.emplace_back(name);
  };
  add("score_mod", spec.score_mod);
  add("mask_mod", spec.mask_mod);
  return request;
}

// What the spec says beside its text and flags.
void say_beside_text(const AttentionSpec& spec, Pattern& pattern) {
  pattern.name = pattern_name(spec);
  pattern.head_dim = spec.head_dim;
  pattern.v_head_dim = v_head_dim_of(spec);
  pattern.scale = spec.scale.value_or(1.0 / std::sqrt(spec.head_dim));
  pattern.types = types_of(spec);
  pattern.weights = weights_of(spec);
}

bool has_text(const AttentionSpec& spec) { return !(spec.program.empty() && spec.score_mod.empty() && spec.mask_mod.empty()); }

}  // namespace

Result<TextSource> source_of(const AttentionSpec& spec) {
  TextSource made;
  dsl::Source& source = made.source;
  source.precision = precision_of(spec);
  if (spec.language == TextLanguage::kCxx && has_text(spec)) {
    Result<languages::CxxTranslation> translation = languages::translate_cxx(cxx_request(spec));
    if (!translation) return translation.diagnostics();
    source.file = std::move(translation->program);
    made.warnings = std::move(translation->warnings);
    return made;
  }
  if (!spec.program.empty()) {
    source.file = dsl::SourceText{spec.program_name, spec.program};
    return made;
  }
  if (!spec.mask_mod.empty()) source.mask = dsl::SourceText{"mask_mod", spec.mask_mod};
  // Plain attention is the identity, said as a text so that declarations are checked in one place.
  const bool plain = spec.score_mod.empty() && spec.mask_mod.empty();
  if (plain || !spec.score_mod.empty()) source.score = dsl::SourceText{"score_mod", plain ? "score" : spec.score_mod};
  source.buffers = spec.buffers;
  source.params = spec.params;
  return made;
}

ir::Program optimise(const ir::Program& lowered, const ir::Interface& interface) {
  return ir::simplify(ir::prove_reads(ir::simplify(lowered), interface));
}

plan::KernelKey prefill_key_of(const Pattern& pattern, const plan::Target& target) {
  if (pattern.linear) {
    return plan::plan_kernel({.program = pattern.linear->kernel,
                              .nest = plan::Nest::kLinear,
                              .types = pattern.types,
                              .weights = pattern.weights,
                              .head_dim = pattern.head_dim,
                              .v_head_dim = pattern.v_head_dim,
                              .linear = pattern.linear->shape},
                             target);
  }
  return plan::plan_kernel({.program = pattern.program,
                            .types = pattern.types,
                            .weights = pattern.weights,
                            .head_dim = pattern.head_dim,
                            .v_head_dim = pattern.v_head_dim},
                           target);
}

namespace {

using Rewrite = ir::Lowered (*)(ir::Lowered whole, Report& report);

// `rewrite` makes another program of the text and its flags; null: it stays.
Result<std::shared_ptr<const Pattern>> prepare(const AttentionSpec& spec, const EngineOptions& options, Purpose purpose,
                                               Rewrite rewrite) {
  Diagnostics wrong = check_spec(spec, options);
  plan::Target target;
  if (options.backend != Backend::kReference) {
    if (Result<plan::Target> found = target_of(options, purpose)) {
      target = *found;
    } else {
      append(wrong, found.diagnostics());
    }
  }
  Result<TextSource> text = source_of(spec);
  Result<ir::Lowered> lowered = text ? lower_spec(spec, text->source) : Result<ir::Lowered>(text.diagnostics());
  if (!lowered) append(wrong, lowered.diagnostics());
  Report report("compile");
  Diagnostics warnings = text ? std::move(text->warnings) : Diagnostics{};
  if (lowered) append(warnings, lowered->warnings);
  if (lowered) lowered = compose_flags(spec, std::move(*lowered), report);
  if (lowered && rewrite != nullptr) lowered = rewrite(std::move(*lowered), report);
  append(wrong, report.take());
  if (!wrong.empty()) return wrong;

  auto pattern = std::make_shared<Pattern>();
  say_beside_text(spec, *pattern);
  pattern->source = std::move(text->source);
  pattern->lowered = std::move(lowered->program);
  pattern->interface = std::move(lowered->interface);
  pattern->program = optimise(pattern->lowered, pattern->interface);
  if (const std::int64_t size = plan::instructions_of(pattern->program); size > plan::kMaxInstructions) {
    return single_finding("compile", Finding::kProgramSize, size, plan::kMaxInstructions);
  }
  pattern->warnings = std::move(warnings);
  make_linear(spec, *pattern, report);
  if (!report.empty()) return report.take();
  if (options.backend != Backend::kReference && (!pattern->linear || pattern->linear->has_nest)) {
    plan::KernelKey key = prefill_key_of(*pattern, target);
    if (options.gdb) key.debug = make_debug_source(pattern->program, pattern->interface);
    pattern->key = std::make_shared<const cache::HashedKey>(std::move(key));
  }
  return std::shared_ptr<const Pattern>(std::move(pattern));
}

}  // namespace

Result<std::shared_ptr<const Pattern>> prepare_pattern(const AttentionSpec& spec, const EngineOptions& options,
                                                       Purpose purpose) {
  return prepare(spec, options, purpose, nullptr);
}

Result<std::shared_ptr<const Pattern>> prepare_shard_pattern(const AttentionSpec& spec, const EngineOptions& options) {
  if (spec.weights == Weights::kLinear)
    return single_finding("compile", Finding::kBadOption, "weights", "kLinear", "a shard has softmax or sigmoid weights");
  return prepare(spec, options, Purpose::kRun, as_shard);
}

}  // namespace flexjit::engine

namespace flexjit {

Result<AttentionSpec> as_program(const AttentionSpec& spec) {
  return engine::guarded("compile", [&]() -> Result<AttentionSpec> {
    if (spec.language != TextLanguage::kCxx) return spec;
    Result<engine::TextSource> text = engine::source_of(spec);
    if (!text) return text.diagnostics();
    AttentionSpec made = spec;
    made.language = TextLanguage::kFlex;
    if (!text->source.file) return made;
    made.program = std::move(text->source.file->text);
    made.score_mod.clear();
    made.mask_mod.clear();
    return made;
  });
}

}  // namespace flexjit
