// c_api.h over the C++ API: each function converts its arguments, calls one member, and turns diagnostics into a flexjit_error.
// No exception crosses this boundary. Built patterns are in built.cpp.
#include "flexjit/c_api.h"

#include <algorithm>
#include <array>
#include <new>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "c/c_convert.h"
#include "c/c_handles.h"

namespace flexjit::engine {

namespace {

bool is_failure_of_the_machine(const Diagnostic& diagnostic) {
  static constexpr std::array kKinds{Finding::kNoCompiler,   Finding::kSystem,       Finding::kOutOfMemory, Finding::kInternal,
                                     Finding::kBuiltVersion, Finding::kBuiltDamaged, Finding::kBuiltTarget};
  return std::ranges::any_of(kKinds, [&](Finding finding) { return kind_of(finding) == diagnostic.kind; });
}

// Never freed.
flexjit_error& error_without_memory() noexcept {
  static flexjit_error error{out_of_memory(), render(out_of_memory())};
  return error;
}

[[maybe_unused]] const flexjit_error& made_as_the_library_is_loaded = error_without_memory();

}  // namespace

flexjit_status fail(const Diagnostics& diagnostics, flexjit_error** error) noexcept {
  const bool machine = std::ranges::any_of(diagnostics, is_failure_of_the_machine);
  if (error != nullptr) {
    try {
      *error = new flexjit_error{diagnostics, render(diagnostics)};
    } catch (...) {
      *error = &error_without_memory();
      return FLEXJIT_FAILED;
    }
  }
  return machine ? FLEXJIT_FAILED : FLEXJIT_INVALID;
}

void fill_stats(const RunStats& result, flexjit_run_stats* stats) {
  if (stats == nullptr) return;
  const BlockCounts& blocks = result.blocks;
  fill(stats, {0, blocks.empty, blocks.partial, blocks.full, result.scores_visited}, sizeof(*stats));
}

Status run_with(const RunFunction& run, const flexjit_run_args* given, flexjit_run_stats* stats, Report& report) {
  const auto args = complete(given, "flexjit_run_args", flexjit_run_args_init, report);
  if (!args) return report.take();
  RunArgs run_args = to_run_args(*args, report);
  const Bindings bindings = to_bindings(args->bindings, report);
  std::optional<OwnedSequences> sequences;
  if (args->sequences != nullptr) sequences = to_sequences(args->sequences, report);
  const std::optional<Rotary> rotary = to_rotary(args->rotary, report);
  if (!report.empty()) return report.take();
  run_args.bindings = &bindings;
  if (sequences) run_args.sequences = sequences->view();
  if (rotary) run_args.rotary = &*rotary;
  if (args->block_mask != nullptr) run_args.block_mask = &args->block_mask->mask;
  if (args->trace != nullptr) run_args.trace = &args->trace->trace;
  const Result<RunStats> result = run(run_args);
  if (!result) return result.diagnostics();
  fill_stats(*result, stats);
  return Unit{};
}

}  // namespace flexjit::engine

namespace {

using flexjit::Status;
using flexjit::Unit;
using flexjit::engine::c_call;
using flexjit::engine::complete;
using flexjit::engine::fill;
using flexjit::engine::hand_over;
using flexjit::engine::init_struct;
using flexjit::engine::Report;
using flexjit::engine::require;
using flexjit::engine::run_with;

Status compile(flexjit_engine* engine, const flexjit_spec* spec, flexjit_trace* trace, flexjit_attention** attention,
               Report& report) {
  require(engine, "engine", report);
  require(attention, "attention", report);
  const auto full = complete(spec, "flexjit_spec", flexjit_spec_init, report);
  if (!full) return report.take();
  const flexjit::AttentionSpec converted = flexjit::engine::to_spec(*full, report);
  if (!report.empty()) return report.take();
  return hand_over(engine->engine.compile(converted, trace != nullptr ? &trace->trace : nullptr), attention);
}

}  // namespace

const char* flexjit_version(void) { return FLEXJIT_VERSION; }

const char* flexjit_preset_text(const char* name) {
  if (name == nullptr) return nullptr;
  const flexjit::Result<flexjit::Preset> preset = flexjit::find_preset(name);
  return preset ? preset->text.data() : nullptr;
}

void flexjit_engine_options_init(flexjit_engine_options* options) {
  const flexjit::EngineOptions defaults{.backend = flexjit::Backend::kCompiled, .cache_dir = {}, .perf = {}, .gdb = false};
  init_struct(options,
              {0, 0, FLEXJIT_BACKEND_DEFAULT, "host", defaults.cache_bytes, "", nullptr, defaults.disk_cache_bytes, nullptr});
}

void flexjit_spec_init(flexjit_spec* spec) {
  flexjit_spec values{};
  values.head_dim = 64;
  values.window_left = values.window_right = flexjit::Window{}.left;
  init_struct(spec, values);
}

void flexjit_run_args_init(flexjit_run_args* args) { init_struct(args); }
void flexjit_reference_rows_init(flexjit_reference_rows* rows) { init_struct(rows, {0, 0, flexjit::ReferenceRows{}.q_count}); }
void flexjit_score_rows_init(flexjit_score_rows* rows) { init_struct(rows, {0, 0, 0, -1, -1}); }
void flexjit_merge_args_init(flexjit_merge_args* args) { init_struct(args); }
void flexjit_quantize_args_init(flexjit_quantize_args* args) { init_struct(args); }
void flexjit_gradients_init(flexjit_gradients* gradients) { init_struct(gradients); }
void flexjit_run_stats_init(flexjit_run_stats* stats) { init_struct(stats); }
void flexjit_engine_stats_init(flexjit_engine_stats* stats) { init_struct(stats); }
void flexjit_diagnostic_init(flexjit_diagnostic* diagnostic) { init_struct(diagnostic); }
void flexjit_buffer_info_init(flexjit_buffer_info* info) { init_struct(info); }

flexjit_tensor flexjit_dense_tensor(void* data, flexjit_dtype dtype, int32_t rank, const int64_t* shape) {
  flexjit_tensor tensor = {data, dtype, shape != nullptr ? rank : 0, {}, {}};
  const auto kept = static_cast<std::size_t>(std::clamp(tensor.rank, 0, flexjit::kMaxRank));
  const flexjit::MutableTensorView view(data, flexjit::DType::kF32, std::span(shape, kept));
  std::ranges::copy(view.shape, tensor.shape);
  std::ranges::copy(view.strides, tensor.strides);
  return tensor;
}

flexjit_tensor flexjit_bshd_tensor(void* data, flexjit_dtype dtype, const int64_t* shape_bshd) {
  flexjit_tensor tensor = flexjit_dense_tensor(data, dtype, flexjit::kMaxRank, shape_bshd);
  std::swap(tensor.shape[1], tensor.shape[2]);
  std::swap(tensor.strides[1], tensor.strides[2]);
  return tensor;
}

size_t flexjit_dtype_size(flexjit_dtype dtype) {
  const auto known = flexjit::engine::enum_of<flexjit::DType>(dtype, FLEXJIT_BOOL);
  return known ? flexjit::size_of(*known) : 0;
}

const char* flexjit_dtype_name(flexjit_dtype dtype) {
  const auto known = flexjit::engine::enum_of<flexjit::DType>(dtype, FLEXJIT_BOOL);
  return known ? flexjit::name_of(*known).data() : nullptr;
}

const char* flexjit_blob_data(const flexjit_blob* blob) { return blob != nullptr ? blob->bytes.c_str() : nullptr; }
size_t flexjit_blob_size(const flexjit_blob* blob) { return blob != nullptr ? blob->bytes.size() : 0; }
void flexjit_blob_destroy(flexjit_blob* blob) { delete blob; }

flexjit_status flexjit_describe_host(flexjit_blob** text, flexjit_error** error) {
  return c_call("flexjit_describe_host", error, [&](Report& report) -> Status {
    require(text, "text", report);
    if (!report.empty()) return report.take();
    return hand_over<flexjit_blob, std::string>(flexjit::describe_host(), text);
  });
}

const char* flexjit_error_message(const flexjit_error* error) { return error != nullptr ? error->message.c_str() : ""; }

size_t flexjit_error_count(const flexjit_error* error) { return error != nullptr ? error->diagnostics.size() : 0; }

const char* flexjit_error_kind(const flexjit_error* error, size_t index) {
  return index < flexjit_error_count(error) ? error->diagnostics[index].kind.c_str() : nullptr;
}

flexjit_status flexjit_error_diagnostic(const flexjit_error* error, size_t index, flexjit_diagnostic* diagnostic) {
  if (diagnostic == nullptr || index >= flexjit_error_count(error)) return FLEXJIT_INVALID;
  const flexjit::Diagnostic& found = error->diagnostics[index];
  fill(diagnostic,
       {0, found.kind.c_str(), found.severity == flexjit::Severity::kWarning ? 1 : 0, found.source_name.c_str(), found.line,
        found.column, found.length, found.snippet.c_str(), found.message.c_str()},
       sizeof(*diagnostic));
  return FLEXJIT_OK;
}

void flexjit_error_free(flexjit_error* error) {
  if (error != &flexjit::engine::error_without_memory()) delete error;
}

flexjit_status flexjit_engine_create(const flexjit_engine_options* options, flexjit_engine** engine, flexjit_error** error) {
  return c_call("flexjit_engine_create", error, [&](Report& report) -> Status {
    require(engine, "engine", report);
    flexjit::EngineOptions converted;
    if (options != nullptr) {
      const auto full = flexjit::engine::complete(options, "flexjit_engine_options", flexjit_engine_options_init, report);
      if (full) converted = flexjit::engine::to_options(*full, report);
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
    fill(stats, {0, now.compiles, now.memory_hits, now.cached_kernels, now.cached_bytes, now.disk_hits}, sizeof(*stats));
    return Unit{};
  });
}

flexjit_status flexjit_engine_clear_cache(flexjit_engine* engine, flexjit_error** error) {
  return c_call("flexjit_engine_clear_cache", error, [&](Report& report) -> Status {
    require(engine, "engine", report);
    if (!report.empty()) return report.take();
    engine->engine.clear_cache();
    return Unit{};
  });
}

void flexjit_engine_destroy(flexjit_engine* engine) { delete engine; }

flexjit_status flexjit_compile(flexjit_engine* engine, const flexjit_spec* spec, flexjit_attention** attention,
                               flexjit_error** error) {
  return c_call("flexjit_compile", error, [&](Report& report) { return compile(engine, spec, nullptr, attention, report); });
}

flexjit_status flexjit_compile_traced(flexjit_engine* engine, const flexjit_spec* spec, flexjit_trace* trace,
                                      flexjit_attention** attention, flexjit_error** error) {
  return c_call("flexjit_compile_traced", error,
                [&](Report& report) { return compile(engine, spec, trace, attention, report); });
}

flexjit_status flexjit_attend(const char* program, const flexjit_run_args* args, flexjit_run_stats* stats,
                              flexjit_error** error) {
  return c_call("flexjit_attend", error, [&](Report& report) {
    const auto run = [&](const flexjit::RunArgs& r) { return flexjit::attend(flexjit::engine::text_of(program), r); };
    return run_with(run, args, stats, report);
  });
}

flexjit_status flexjit_check(const flexjit_spec* spec, flexjit_error** findings, flexjit_error** error) {
  return c_call("flexjit_check", error, [&](Report& report) -> Status {
    require(findings, "findings", report);
    const auto full = complete(spec, "flexjit_spec", flexjit_spec_init, report);
    if (!full) return report.take();
    const flexjit::AttentionSpec converted = flexjit::engine::to_spec(*full, report);
    if (!report.empty()) return report.take();
    flexjit::Diagnostics found = flexjit::check(converted);
    std::string text = flexjit::render(found);
    *findings = found.empty() ? nullptr : new flexjit_error{std::move(found), std::move(text)};
    return Unit{};
  });
}
