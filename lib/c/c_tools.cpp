// c_tools.h over presets.h, trace.h, inspect.h, build.h and kernel_files.h.
#include "flexjit/c_tools.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "c/c_convert.h"
#include "c/c_handles.h"
#include "flexjit/build.h"
#include "flexjit/inspect.h"
#include "flexjit/kernel_files.h"

struct flexjit_inspection {
  std::vector<flexjit::Inspection> views;
};
struct flexjit_library {
  flexjit::BuiltLibrary library;
};

namespace {

using flexjit::Preset;
using flexjit::Result;
using flexjit::Status;
using flexjit::Unit;
using flexjit::engine::c_call;
using flexjit::engine::complete;
using flexjit::engine::elements;
using flexjit::engine::enum_of;
using flexjit::engine::fill;
using flexjit::engine::Finding;
using flexjit::engine::hand_over;
using flexjit::engine::init_struct;
using flexjit::engine::number_of;
using flexjit::engine::Report;
using flexjit::engine::require;
using flexjit::engine::text_of;
using flexjit::engine::to_strings;

// The texts of a preset as C strings, which live as long as the library.
struct PresetTexts {
  explicit PresetTexts(const Preset& preset)
      : texts{std::string(preset.name),      std::string(preset.summary),  std::string(preset.declarations),
              std::string(preset.score_mod), std::string(preset.mask_mod), std::string(preset.text)} {}
  std::vector<std::string> texts;
};

const std::vector<PresetTexts>& preset_texts() {
  static const std::vector<PresetTexts> all(flexjit::presets().begin(), flexjit::presets().end());
  return all;
}

void fill_preset(std::size_t index, flexjit_preset* preset) {
  const std::vector<std::string>& t = preset_texts()[index].texts;
  fill(preset, {0, t[0].c_str(), t[1].c_str(), t[2].c_str(), t[3].c_str(), t[4].c_str(), t[5].c_str()}, sizeof(*preset));
}

using Combine = Result<std::string> (*)(std::span<const std::string>);

flexjit_status combined(const char* call, Combine combine, const char* const* masks, std::size_t count, flexjit_blob** text,
                        flexjit_error** error) {
  return c_call(call, error, [&](Report& report) -> Status {
    require(text, "text", report);
    const std::vector<std::string> all = to_strings(masks, count, "masks", report);
    if (!report.empty()) return report.take();
    return hand_over(combine(all), text);
  });
}

flexjit_trace_event to_event(const flexjit::TraceEvent& event) {
  return {static_cast<int32_t>(event.kind),
          event.thread,
          event.begin_ns,
          event.end_ns,
          event.b,
          event.head,
          event.q.begin,
          event.q.end,
          event.kv.begin,
          event.kv.end,
          event.full_spans,
          event.masked_spans,
          event.scores};
}

flexjit::EngineOptions to_options(const flexjit_engine_options* options, Report& report) {
  if (options == nullptr) return {};
  const auto full = complete(options, "flexjit_engine_options", flexjit_engine_options_init, report);
  return full ? flexjit::engine::to_options(*full, report) : flexjit::EngineOptions{};
}

std::vector<flexjit::InspectView> to_views(const flexjit_inspect_request& request, Report& report) {
  std::vector<flexjit::InspectView> views;
  for (const std::string& name : to_strings(request.views, request.view_count, "views", report)) {
    const auto known = flexjit::inspect_views();
    const auto found = std::ranges::find(known, name, &flexjit::InspectViewInfo::name);
    if (found != known.end()) {
      views.push_back(found->view);
    } else {
      report.add(Finding::kBadOption, "a view", fmt::format("\"{}\"", name), "flexjit_inspect_view_name() lists them");
    }
  }
  return views;
}

// What a request points to, as C++ values that live as long as this.
struct InspectCall {
  flexjit::InspectRequest request;
  flexjit::Bindings bindings, run_bindings;
  flexjit::RunArgs run;
  std::optional<flexjit::engine::OwnedSequences> run_sequences;

  InspectCall(const flexjit_inspect_request& given, Report& report) {
    if (given.view_count != 0) request.views = to_views(given, report);
    request.samples = to_strings(given.samples, given.sample_count, "samples", report);
    if (given.gradients != nullptr) request.gradients = to_strings(given.gradients, given.gradient_count, "gradients", report);
    request.limits = {given.gflops, given.read_gbps};
    if (const auto kernel = enum_of<flexjit::InspectKernel>(given.kernel, FLEXJIT_KERNEL_BACKWARD)) {
      request.kernel = *kernel;
    } else {
      report.add(Finding::kBadEnum, "the kernel", number_of(given.kernel), "flexjit_inspect_kernel");
    }
    if (given.sizes != nullptr) {
      const auto sizes = complete(given.sizes, "sizes", flexjit_block_mask_options_init, report);
      if (sizes) request.sizes = flexjit::engine::to_mask_options(*sizes);
    }
    if (given.bindings != nullptr) {
      bindings = flexjit::engine::to_bindings(*given.bindings, report);
      request.bindings = &bindings;
    }
    if (given.run != nullptr) add_run(*given.run, report);
  }
  InspectCall(const InspectCall&) = delete;
  InspectCall& operator=(const InspectCall&) = delete;

 private:
  void add_run(const flexjit_run_args& given, Report& report) {
    const auto full = complete(&given, "run", flexjit_run_args_init, report);
    if (!full) return;
    run = flexjit::engine::to_run_args(*full, report);
    run_bindings = flexjit::engine::to_bindings(full->bindings, report);
    run.bindings = &run_bindings;
    if (full->block_mask != nullptr) run.block_mask = &full->block_mask->mask;
    if (full->sequences != nullptr) run_sequences = flexjit::engine::to_sequences(full->sequences, report);
    if (run_sequences) run.sequences = run_sequences->view();
    request.run = &run;
  }
};

flexjit::AttentionSpec to_spec(const flexjit_spec* spec, Report& report) {
  const auto full = complete(spec, "flexjit_spec", flexjit_spec_init, report);
  return full ? flexjit::engine::to_spec(*full, report) : flexjit::AttentionSpec{};
}

flexjit::BuildOptions to_build_options(const flexjit_build_options* options, Report& report) {
  flexjit::BuildOptions result;
  if (options == nullptr) return result;
  const auto full = complete(options, "flexjit_build_options", flexjit_build_options_init, report);
  if (!full) return result;
  if (full->target_count != 0) result.targets = to_strings(full->targets, full->target_count, "targets", report);
  result.soname = text_of(full->soname);
  result.compiler_path = text_of(full->compiler_path);
  if (full->backward != 0) result.passes = flexjit::BuildPasses::kBoth;
  if (const auto kind = enum_of<flexjit::LibraryKind>(full->kind, FLEXJIT_SHARED)) {
    result.kind = *kind;
  } else {
    report.add(Finding::kBadEnum, "the kind of library", number_of(full->kind), "flexjit_library_kind");
  }
  return result;
}

}  // namespace

void flexjit_preset_init(flexjit_preset* preset) { init_struct(preset); }
void flexjit_inspect_request_init(flexjit_inspect_request* request) { init_struct(request); }

void flexjit_build_options_init(flexjit_build_options* options) {
  init_struct(options, {0, nullptr, 0, FLEXJIT_ARCHIVE, nullptr, nullptr, 0});
}

size_t flexjit_preset_count(void) { return flexjit::presets().size(); }

flexjit_status flexjit_preset_get(size_t index, flexjit_preset* preset, flexjit_error** error) {
  return c_call("flexjit_preset_get", error, [&](Report& report) -> Status {
    require(preset, "preset", report);
    const std::size_t count = flexjit_preset_count();
    if (index >= count) report.add(Finding::kBadOption, "index", index, fmt::format("there are {}, numbered from 0", count));
    if (!report.empty()) return report.take();
    fill_preset(index, preset);
    return Unit{};
  });
}

flexjit_status flexjit_preset_find(const char* name, flexjit_preset* preset, flexjit_error** error) {
  return c_call("flexjit_preset_find", error, [&](Report& report) -> Status {
    require(name, "name", report);
    require(preset, "preset", report);
    if (!report.empty()) return report.take();
    const Result<Preset> found = flexjit::find_preset(name);
    if (!found) return found.diagnostics();
    const auto all = flexjit::presets();
    fill_preset(static_cast<std::size_t>(std::ranges::find(all, found->name, &Preset::name) - all.begin()), preset);
    return Unit{};
  });
}

flexjit_status flexjit_and_masks(const char* const* masks, size_t count, flexjit_blob** text, flexjit_error** error) {
  return combined("flexjit_and_masks", &flexjit::and_masks, masks, count, text, error);
}

flexjit_status flexjit_or_masks(const char* const* masks, size_t count, flexjit_blob** text, flexjit_error** error) {
  return combined("flexjit_or_masks", &flexjit::or_masks, masks, count, text, error);
}

flexjit_status flexjit_choose_by_head(const char* const* masks, size_t count, flexjit_blob** text, flexjit_error** error) {
  return combined("flexjit_choose_by_head", &flexjit::choose_by_head, masks, count, text, error);
}

flexjit_status flexjit_not_mask(const char* mask, flexjit_blob** text, flexjit_error** error) {
  return c_call("flexjit_not_mask", error, [&](Report& report) -> Status {
    require(mask, "mask", report);
    require(text, "text", report);
    if (!report.empty()) return report.take();
    return hand_over(flexjit::not_mask(mask), text);
  });
}

flexjit_status flexjit_offset_queries(const char* mask, const char* offset, flexjit_blob** text, flexjit_error** error) {
  return c_call("flexjit_offset_queries", error, [&](Report& report) -> Status {
    require(mask, "mask", report);
    require(offset, "offset", report);
    require(text, "text", report);
    if (!report.empty()) return report.take();
    return hand_over(flexjit::offset_queries(mask, offset), text);
  });
}

flexjit_status flexjit_trace_create(size_t capacity, flexjit_trace** trace, flexjit_error** error) {
  return c_call("flexjit_trace_create", error, [&](Report& report) -> Status {
    require(trace, "trace", report);
    if (!report.empty()) return report.take();
    *trace = new flexjit_trace{flexjit::Trace(capacity != 0 ? capacity : flexjit::Trace::kDefaultCapacity)};
    return Unit{};
  });
}

flexjit_status flexjit_trace_events(const flexjit_trace* trace, flexjit_trace_event* events, size_t capacity, size_t* count,
                                    flexjit_error** error) {
  return c_call("flexjit_trace_events", error, [&](Report& report) -> Status {
    require(trace, "trace", report);
    require(count, "count", report);
    if (!report.empty()) return report.take();
    const std::vector<flexjit::TraceEvent> all = trace->trace.events();
    if (events != nullptr && capacity < all.size()) {
      report.add(Finding::kBadOption, "capacity", capacity, fmt::format("there are {} events", all.size()));
      return report.take();
    }
    if (events != nullptr) std::ranges::transform(all, events, to_event);
    *count = all.size();
    return Unit{};
  });
}

int64_t flexjit_trace_dropped(const flexjit_trace* trace) { return trace != nullptr ? trace->trace.dropped() : 0; }

const char* flexjit_trace_kind_name(int32_t kind) {
  const auto known = enum_of<flexjit::TraceKind>(kind, static_cast<int>(flexjit::TraceKind::kGive));
  return known ? flexjit::name_of(*known).data() : nullptr;
}

void flexjit_trace_destroy(flexjit_trace* trace) { delete trace; }

const char* flexjit_inspect_view_name(size_t index) {
  const auto views = flexjit::inspect_views();
  return index < views.size() ? views[index].name.data() : nullptr;
}

const char* flexjit_inspect_view_description(size_t index) {
  const auto views = flexjit::inspect_views();
  return index < views.size() ? views[index].description.data() : nullptr;
}

flexjit_status flexjit_inspect(const flexjit_spec* spec, const flexjit_engine_options* options,
                               const flexjit_inspect_request* request, flexjit_inspection** inspection, flexjit_error** error) {
  return c_call("flexjit_inspect", error, [&](Report& report) -> Status {
    require(inspection, "inspection", report);
    const flexjit::AttentionSpec converted = to_spec(spec, report);
    const flexjit::EngineOptions engine = to_options(options, report);
    const auto full = complete(request, "flexjit_inspect_request", flexjit_inspect_request_init, report);
    if (!full) return report.take();
    const InspectCall call(*full, report);
    if (!report.empty()) return report.take();
    return hand_over(flexjit::inspect(converted, engine, call.request), inspection);
  });
}

size_t flexjit_inspection_count(const flexjit_inspection* inspection) {
  return inspection != nullptr ? inspection->views.size() : 0;
}

const char* flexjit_inspection_text(const flexjit_inspection* inspection, size_t index) {
  return index < flexjit_inspection_count(inspection) ? inspection->views[index].text.c_str() : nullptr;
}

const char* flexjit_inspection_json(const flexjit_inspection* inspection, size_t index) {
  return index < flexjit_inspection_count(inspection) ? inspection->views[index].json.c_str() : nullptr;
}

void flexjit_inspection_destroy(flexjit_inspection* inspection) { delete inspection; }

flexjit_status flexjit_build_library(const flexjit_build_pattern* patterns, size_t pattern_count,
                                     const flexjit_build_options* options, flexjit_library** library, flexjit_error** error) {
  return c_call("flexjit_build_library", error, [&](Report& report) -> Status {
    require(library, "library", report);
    std::vector<flexjit::BuildPattern> converted;
    for (const flexjit_build_pattern& pattern : elements(patterns, pattern_count, "patterns", report)) {
      require(pattern.name, "the name of a pattern", report);
      converted.push_back({text_of(pattern.name), to_spec(pattern.spec, report)});
    }
    const flexjit::BuildOptions wanted = to_build_options(options, report);
    if (!report.empty()) return report.take();
    return hand_over(flexjit::build_library(converted, wanted), library);
  });
}

const void* flexjit_library_bytes(const flexjit_library* library, size_t* size) {
  if (size != nullptr) *size = library != nullptr ? library->library.bytes.size() : 0;
  return library != nullptr ? library->library.bytes.data() : nullptr;
}

const char* flexjit_library_header(const flexjit_library* library) {
  return library != nullptr ? library->library.header.c_str() : nullptr;
}

const char* flexjit_library_target(const flexjit_library* library, size_t index) {
  return library != nullptr && index < library->library.targets.size() ? library->library.targets[index].c_str() : nullptr;
}

size_t flexjit_library_kernels(const flexjit_library* library) { return library != nullptr ? library->library.kernels : 0; }

void flexjit_library_destroy(flexjit_library* library) { delete library; }

flexjit_status flexjit_kernel_files_problem(const char* directory, flexjit_blob** problem, flexjit_error** error) {
  return c_call("flexjit_kernel_files_problem", error, [&](Report& report) -> Status {
    require(directory, "directory", report);
    require(problem, "problem", report);
    if (!report.empty()) return report.take();
    return hand_over<flexjit_blob, std::string>(flexjit::kernel_files_problem(directory), problem);
  });
}

flexjit_status flexjit_remove_damaged_kernel_files(const char* directory, int64_t* removed, flexjit_error** error) {
  return c_call("flexjit_remove_damaged_kernel_files", error, [&](Report& report) -> Status {
    require(directory, "directory", report);
    require(removed, "removed", report);
    if (!report.empty()) return report.take();
    *removed = flexjit::remove_damaged_kernel_files(directory);
    return Unit{};
  });
}

flexjit_status flexjit_prune_kernel_files(const char* directory, int64_t bytes, int64_t* removed, flexjit_error** error) {
  return c_call("flexjit_prune_kernel_files", error, [&](Report& report) -> Status {
    require(directory, "directory", report);
    require(removed, "removed", report);
    if (!report.empty()) return report.take();
    *removed = flexjit::prune_kernel_files(directory, bytes);
    return Unit{};
  });
}
