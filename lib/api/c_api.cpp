// c_api.h over the C++ API: each function converts its arguments, calls one member, and turns diagnostics into a flexjit_error.
// No exception crosses this boundary. Built patterns are in built.cpp.
#include "flexjit/c_api.h"

#include <algorithm>
#include <array>
#include <memory>
#include <new>
#include <string>
#include <utility>

#include "api/c_convert.h"
#include "api/c_handles.h"

namespace flexjit::api {

namespace {

bool is_failure_of_the_machine(const Diagnostic& diagnostic) {
  static constexpr std::array kKinds{Finding::kNoCompiler,   Finding::kSystem,       Finding::kOutOfMemory, Finding::kInternal,
                                     Finding::kBuiltVersion, Finding::kBuiltDamaged, Finding::kBuiltTarget};
  return std::ranges::any_of(kKinds, [&](Finding finding) { return kind_of(finding) == diagnostic.kind; });
}

}  // namespace

flexjit_status fail(Diagnostics diagnostics, flexjit_error** error) {
  const bool machine = std::ranges::any_of(diagnostics, is_failure_of_the_machine);
  if (error != nullptr) {
    try {
      std::string message = render(diagnostics);
      *error = new flexjit_error{std::move(diagnostics), std::move(message)};
    } catch (...) {
      *error = nullptr;  // flexjit_error_message(NULL) says that memory ran out
    }
  }
  return machine ? FLEXJIT_FAILED : FLEXJIT_INVALID;
}

Status run_with(RunFunction run, const Attention& attention, const flexjit_run_args* given, flexjit_run_stats* stats,
                Report& report) {
  const auto args = complete(given, "flexjit_run_args", flexjit_run_args_init, report);
  if (!args) return report.take();
  RunArgs run_args = to_run_args(*args, report);
  const Bindings bindings = to_bindings(args->bindings, report);
  if (!report.empty()) return report.take();
  run_args.bindings = &bindings;
  if (args->block_mask != nullptr) run_args.block_mask = &args->block_mask->mask;
  const Result<RunStats> result = run(attention, run_args);
  if (!result) return result.diagnostics();
  if (stats != nullptr) {
    *stats = {result->blocks.empty, result->blocks.partial, result->blocks.full, result->scores_visited};
  }
  return Unit{};
}

}  // namespace flexjit::api

namespace {

using flexjit::Status;
using flexjit::Unit;
using flexjit::api::c_call;
using flexjit::api::Report;
using flexjit::api::require;
using flexjit::api::RunFunction;

Status run_handle(RunFunction run, const flexjit_attention* attention, const flexjit_run_args* args, flexjit_run_stats* stats,
                  Report& report) {
  require(attention, "attention", report);
  if (!report.empty()) return report.take();
  return flexjit::api::run_with(run, attention->attention, args, stats, report);
}

}  // namespace

const char* flexjit_version(void) { return FLEXJIT_VERSION; }

const char* flexjit_preset_text(const char* name) {
  if (name == nullptr) return nullptr;
  const flexjit::Result<flexjit::Preset> preset = flexjit::find_preset(name);
  return preset ? preset->text.data() : nullptr;
}

void flexjit_engine_options_init(flexjit_engine_options* options) {
  const flexjit::EngineOptions defaults{.backend = flexjit::Backend::kCompiled};
  *options = {sizeof(*options),          0,      FLEXJIT_BACKEND_DEFAULT, "host", defaults.cache_bytes, "", nullptr,
              defaults.disk_cache_bytes, nullptr};
}

void flexjit_spec_init(flexjit_spec* spec) {
  *spec = {};
  spec->struct_size = sizeof(*spec);
  spec->head_dim = flexjit::AttentionSpec{}.head_dim;
  spec->window_left = spec->window_right = flexjit::Window{}.left;
}

void flexjit_run_args_init(flexjit_run_args* args) {
  *args = {};
  args->struct_size = sizeof(*args);
}

void flexjit_block_mask_options_init(flexjit_block_mask_options* options) {
  const flexjit::BlockMaskOptions defaults;
  *options = {sizeof(*options), defaults.batch,  defaults.heads,   defaults.kv_heads,
              defaults.q_len,   defaults.kv_len, defaults.q_block, defaults.kv_block};
}

flexjit_tensor flexjit_dense_tensor(void* data, flexjit_dtype dtype, int32_t rank, const int64_t* shape) {
  flexjit_tensor tensor = {data, dtype, rank, {}, {}};
  int64_t step = 1;
  for (int d = std::clamp<int>(rank, 0, flexjit::kMaxRank) - 1; d >= 0; --d) {
    tensor.shape[d] = shape[d];
    tensor.strides[d] = step;
    step *= shape[d];
  }
  return tensor;
}

const char* flexjit_error_message(const flexjit_error* error) {
  return error != nullptr ? error->message.c_str() : "not enough memory for the error message\n";
}

size_t flexjit_error_count(const flexjit_error* error) { return error != nullptr ? error->diagnostics.size() : 0; }

const char* flexjit_error_kind(const flexjit_error* error, size_t index) {
  return index < flexjit_error_count(error) ? error->diagnostics[index].kind.c_str() : nullptr;
}

void flexjit_error_free(flexjit_error* error) { delete error; }

flexjit_status flexjit_engine_create(const flexjit_engine_options* options, flexjit_engine** engine, flexjit_error** error) {
  return c_call("flexjit_engine_create", error, [&](Report& report) -> Status {
    require(engine, "engine", report);
    flexjit::EngineOptions converted;
    if (options != nullptr) {
      const auto full = flexjit::api::complete(options, "flexjit_engine_options", flexjit_engine_options_init, report);
      if (full) converted = flexjit::api::to_options(*full, report);
    }
    if (!report.empty()) return report.take();
    *engine = new flexjit_engine{flexjit::Engine(std::move(converted))};
    return Unit{};
  });
}

flexjit_status flexjit_engine_get_stats(const flexjit_engine* engine, flexjit_engine_stats* stats, flexjit_error** error) {
  return c_call("flexjit_engine_get_stats", error, [&](Report& report) -> Status {
    require(engine, "engine", report);
    require(stats, "stats", report);
    if (!report.empty()) return report.take();
    const flexjit::EngineStats now = engine->engine.stats();
    *stats = {now.compiles, now.memory_hits, now.cached_kernels, now.cached_bytes, now.disk_hits};
    return Unit{};
  });
}

void flexjit_engine_destroy(flexjit_engine* engine) { delete engine; }

flexjit_status flexjit_compile(flexjit_engine* engine, const flexjit_spec* spec, flexjit_attention** attention,
                               flexjit_error** error) {
  return c_call("flexjit_compile", error, [&](Report& report) -> Status {
    require(engine, "engine", report);
    require(attention, "attention", report);
    const auto full = flexjit::api::complete(spec, "flexjit_spec", flexjit_spec_init, report);
    if (!full) return report.take();
    const flexjit::AttentionSpec converted = flexjit::api::to_spec(*full, report);
    if (!report.empty()) return report.take();
    flexjit::Result<flexjit::Attention> compiled = engine->engine.compile(converted);
    if (!compiled) return compiled.diagnostics();
    *attention = new flexjit_attention{*std::move(compiled)};
    return Unit{};
  });
}

flexjit_status flexjit_attention_run(const flexjit_attention* attention, const flexjit_run_args* args, flexjit_run_stats* stats,
                                     flexjit_error** error) {
  const RunFunction run = [](const flexjit::Attention& a, const flexjit::RunArgs& r) { return a.run(r); };
  return c_call("flexjit_attention_run", error,
                [&](Report& report) { return run_handle(run, attention, args, stats, report); });
}

flexjit_status flexjit_attention_run_reference(const flexjit_attention* attention, const flexjit_run_args* args,
                                               flexjit_run_stats* stats, flexjit_error** error) {
  const RunFunction run = [](const flexjit::Attention& a, const flexjit::RunArgs& r) { return a.run_reference(r); };
  return c_call("flexjit_attention_run_reference", error,
                [&](Report& report) { return run_handle(run, attention, args, stats, report); });
}

flexjit_kernel_source flexjit_attention_kernel_source(const flexjit_attention* attention) {
  return static_cast<flexjit_kernel_source>(attention->attention.kernel_source());
}

double flexjit_attention_compile_ms(const flexjit_attention* attention) { return attention->attention.compile_ms(); }

const char* flexjit_attention_target(const flexjit_attention* attention) { return attention->target.c_str(); }

const char* flexjit_attention_warnings(const flexjit_attention* attention) { return attention->warnings.c_str(); }

void flexjit_attention_destroy(flexjit_attention* attention) { delete attention; }

flexjit_status flexjit_block_mask_create(const flexjit_attention* attention, const flexjit_block_mask_options* options,
                                         const flexjit_bindings* bindings, flexjit_block_mask** mask, flexjit_error** error) {
  return c_call("flexjit_block_mask_create", error, [&](Report& report) -> Status {
    require(attention, "attention", report);
    require(mask, "mask", report);
    const auto full = flexjit::api::complete(options, "flexjit_block_mask_options", flexjit_block_mask_options_init, report);
    const flexjit::Bindings bound = bindings != nullptr ? flexjit::api::to_bindings(*bindings, report) : flexjit::Bindings{};
    if (!report.empty()) return report.take();
    flexjit::Result<flexjit::BlockMask> made =
        attention->attention.create_block_mask(flexjit::api::to_mask_options(*full), &bound);
    if (!made) return made.diagnostics();
    *mask = new flexjit_block_mask{std::move(*made)};
    return Unit{};
  });
}

flexjit_status flexjit_block_mask_get_info(const flexjit_block_mask* mask, flexjit_block_mask_info* info,
                                           flexjit_error** error) {
  return c_call("flexjit_block_mask_get_info", error, [&](Report& report) -> Status {
    require(mask, "mask", report);
    require(info, "info", report);
    if (!report.empty()) return report.take();
    const flexjit::BlockMaskShape& shape = mask->mask.shape();
    const flexjit::BlockCounts counts = mask->mask.counts();
    *info = {shape.batch,    shape.heads,  shape.q_len,    shape.kv_len, shape.q_block,
             shape.kv_block, counts.empty, counts.partial, counts.full,  mask->mask.sparsity()};
    return Unit{};
  });
}

void flexjit_block_mask_destroy(flexjit_block_mask* mask) { delete mask; }
