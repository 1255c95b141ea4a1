// `flexjit inspect`: what a pattern becomes on its way to machine code, one or several views of one compilation,
// how those of two compilations differ, or all of them as one HTML page.
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "command_line/options.h"
#include "commands/diff.h"
#include "commands/inspect_call.h"
#include "commands/report.h"
#include "data/bind.h"
#include "data/file_uses.h"
#include "data/output_file.h"
#include "data/pattern.h"
#include "data/problem.h"
#include "flexjit/inspect.h"
#include "picture/survey.h"
#include "report_html/page.h"

namespace flexjit::tools {
namespace {

using Json = nlohmann::ordered_json;

// In the order in which they were asked for, each once.
std::vector<InspectViewInfo> wanted_views(const std::vector<std::string>& names) {
  std::vector<InspectViewInfo> wanted;
  for (const std::string& name : names) {
    for (const InspectViewInfo& view : inspect_views()) {
      const bool is_new = std::ranges::find(wanted, view.name, &InspectViewInfo::name) == wanted.end();
      if (is_new && (name == "all" || name == view.name)) wanted.push_back(view);
    }
  }
  return wanted;
}

Result<AttentionSpec> make_spec(const InspectOptions& options, const Sizes& sizes) {
  Result<AttentionSpec> spec = load_pattern(options.pattern, options.dtypes.q);
  if (!spec) return spec;
  spec->head_dim = static_cast<std::int32_t>(sizes.head_dim);
  spec->v_head_dim = static_cast<std::int32_t>(sizes.v_head_dim);
  spec->dtype = options.dtypes.q;
  spec->kv_dtype = options.dtypes.kv;
  spec->kv_scale_dims = options.dtypes.scale_dims;
  spec->out_dtype = options.dtypes.out;
  return spec;
}

// The block mask needs all values; for the rest what was given is enough, and making up large buffers takes time.
bool needs_values(const InspectOptions& options, const std::vector<InspectViewInfo>& wanted) {
  const auto shows = [&](InspectView view) { return std::ranges::find(wanted, view, &InspectViewInfo::view) != wanted.end(); };
  return shows(InspectView::kMask) || shows(InspectView::kRoofline) || !options.names.params.empty() ||
         !options.names.buffers.empty() || options.pattern.flags.any();
}

bool shows_mask(const InspectOptions& options) {
  const auto shows = [&](const char* view) { return std::ranges::find(options.views, view) != options.views.end(); };
  return !options.html.empty() || shows("all") || shows("mask");
}

struct BoundPattern {
  std::optional<Attention> attention{};
  BoundNames names{};
};

// The values of the pattern's names. The reference backend: binding needs no kernel.
Result<BoundPattern> bind(const AttentionSpec& spec, const InspectOptions& options, const Sizes& sizes) {
  EngineOptions engine;
  engine.backend = Backend::kReference;
  Result<Attention> attention = Engine(engine).compile(spec);
  if (!attention) return attention.diagnostics();
  NameOptions wanted = with_flag_files(options.names, options.pattern.flags);
  if (!shows_mask(options)) wanted.unbound = Unbound::kGenerated;  // other views do not rely on what is made up
  wanted.unread = unread_by_mask(spec, *attention, sizes);
  Result<BoundNames> names = bind_names(*attention, wanted, sizes);
  if (!names) return names.diagnostics();
  return BoundPattern{std::move(*attention), std::move(*names)};
}

// The first plane, as `flexjit mask --svg` draws it.
Result<std::string> mask_picture(const BoundPattern& bound, const std::string& pattern, const BlockMaskOptions& sizes) {
  Result<Survey> survey = survey_mask({.attention = *bound.attention, .names = bound.names, .options = sizes}, Progress());
  if (!survey) return survey.diagnostics();
  survey->summary.pattern = pattern;
  return svg_picture(survey->picture());
}

// Absent: those that the library takes.
std::optional<std::vector<std::string>> wanted_gradients(const InspectOptions& options) {
  if (options.gradients == std::vector<std::string>{"all"}) return std::nullopt;
  if (options.gradients == std::vector<std::string>{"none"}) return std::vector<std::string>();
  return options.gradients;
}

struct Shown {
  std::string pattern, target;
  std::vector<Inspection> views;  // as wanted
  Sizes sizes{};
  std::string mask_svg{};  // for the report alone
};

Result<Sizes> sizes_of(const InspectOptions& options) {
  const Sizes sizes = sizes_without_files(options.sizes);
  if (options.sequences.lengths.empty()) return sizes;
  const Result<std::vector<SequenceLengths>> lengths = parse_lengths(options.sequences.lengths);
  if (!lengths) return lengths.diagnostics();
  return with_lengths(sizes, *lengths);
}

Result<Shown> show(const InspectOptions& options, const std::vector<InspectViewInfo>& wanted) {
  const Result<Sizes> found = sizes_of(options);
  if (!found) return found.diagnostics();
  const Sizes& sizes = *found;
  const Result<AttentionSpec> spec = make_spec(options, sizes);
  if (!spec) return spec.diagnostics();
  InspectRequest request{.views = {},
                         .kernel = options.kernel,
                         .gradients = wanted_gradients(options),
                         .asm_syntax = options.asm_syntax,
                         .sizes = mask_options_of(sizes)};
  for (const InspectViewInfo& view : wanted) request.views.push_back(view.view);
  Result<BoundPattern> bound = BoundPattern{};
  if (needs_values(options, wanted)) {
    bound = bind(*spec, options, sizes);
    if (!bound) return bound.diagnostics();
    request.bindings = &bound->names.bindings;
    request.samples = bound->names.samples();
  }
  EngineOptions engine;
  engine.target = options.target;
  Result<InspectCall> call = InspectCall();
  RunArgs args;
  if (std::ranges::find(wanted, InspectView::kRoofline, &InspectViewInfo::view) != wanted.end()) {
    call = InspectCall::make(options, &bound->names.bindings);
    if (!call) return call.diagnostics();
    args = call->args();
    request.run = &args;
    request.limits = call->limits();
  }
  Result<std::vector<Inspection>> views = inspect(*spec, engine, request);
  if (!views) return views.diagnostics();
  Result<std::string> picture = options.html.empty() ? std::string() : mask_picture(*bound, spec->program_name, request.sizes);
  if (!picture) return picture.diagnostics();
  return Shown{spec->program_name, options.target, std::move(*views), sizes, std::move(*picture)};
}

Json head_json(const Shown& shown) { return {{"pattern", shown.pattern}, {"target", shown.target}}; }

void print_json(const Json& json) { fmt::print("{}\n", json.dump(2, ' ', false, Json::error_handler_t::replace)); }

void print_views(const Shown& shown, const std::vector<InspectViewInfo>& wanted, Output output) {
  Json json = head_json(shown);
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    const Inspection& view = shown.views[i];
    if (output == Output::kJson)
      json["views"][wanted[i].name] = Json::parse(view.json);
    else
      fmt::print("{}{}", wanted.size() > 1 ? fmt::format("{}==== {}\n", i > 0 ? "\n" : "", wanted[i].name) : "", view.text);
  }
  if (output == Output::kJson) print_json(json);
}

void print_diff(const Shown& a, const Shown& b, const std::vector<InspectViewInfo>& wanted, Output output) {
  Json json = {{"a", head_json(a)}, {"b", head_json(b)}};
  if (output == Output::kTable) fmt::print("--- {}, {}\n+++ {}, {}\n", a.pattern, a.target, b.pattern, b.target);
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    const std::vector<std::string> lines = unified_diff(a.views[i].text, b.views[i].text);
    if (output == Output::kJson) {
      json["views"][wanted[i].name] = {
          {"equal", lines.empty()}, {"diff", lines}, {"a", Json::parse(a.views[i].json)}, {"b", Json::parse(b.views[i].json)}};
      continue;
    }
    fmt::print("\n==== {}{}\n", wanted[i].name, lines.empty() ? ": equal" : "");
    for (const std::string& line : lines) fmt::print("{}\n", line);
  }
  if (output == Output::kJson) print_json(json);
}

int write_report(const InspectOptions& options, const Shown& shown) {
  const std::string html =
      render_report({.pattern = shown.pattern, .sizes = shown.sizes, .views = shown.views, .mask_svg = shown.mask_svg});
  if (const Status written = write_file(options.html, html); !written)
    return report_errors(written.diagnostics(), options.output);
  if (options.output == Output::kJson) {
    Json json = head_json(shown);
    json.update({{"written", options.html}, {"bytes", html.size()}});
    print_json(json);
  } else {
    fmt::print("{}: {}\n", options.html, bytes_text(html.size()));
  }
  return static_cast<int>(ExitCode::kFine);
}

InspectOptions other_side(InspectOptions options) {
  if (!options.diff_file.empty()) options.pattern = {.file = options.diff_file, .flags = options.pattern.flags};
  if (!options.diff_target.empty()) options.target = options.diff_target;
  return options;
}

}  // namespace

int inspect_command(const InspectOptions& options) {
  std::vector<FileUse> inputs = inputs_of(options.pattern, options.names);
  inputs.push_back({"--diff", options.diff_file});
  if (const Diagnostics errors = check_file_uses(inputs, {{"--html", options.html}}); !errors.empty())
    return report_errors(errors, options.output);
  const bool is_report = !options.html.empty();
  const std::vector<InspectViewInfo> wanted = wanted_views(is_report ? std::vector<std::string>{"all"} : options.views);
  const Result<Shown> shown = show(options, wanted);
  if (!shown) return report_errors(shown.diagnostics(), options.output);
  if (is_report) return write_report(options, *shown);
  if (options.diff_file.empty() && options.diff_target.empty()) {
    print_views(*shown, wanted, options.output);
    return static_cast<int>(ExitCode::kFine);
  }
  const Result<Shown> other = show(other_side(options), wanted);
  if (!other) return report_errors(other.diagnostics(), options.output);
  print_diff(*shown, *other, wanted, options.output);
  return static_cast<int>(ExitCode::kFine);
}

}  // namespace flexjit::tools
