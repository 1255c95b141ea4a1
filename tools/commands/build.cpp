// `flexjit build`: patterns -> a library with C functions, and its header. Both files appear whole or not at all.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <utility>

#include "command_line/options.h"
#include "commands/report.h"
#include "data/file_uses.h"
#include "data/output_file.h"
#include "data/pattern.h"
#include "flexjit/build.h"

namespace flexjit::tools {
namespace {

constexpr std::array<std::pair<std::string_view, LibraryKind>, 3> kKinds = {
    {{".o", LibraryKind::kObject}, {".a", LibraryKind::kArchive}, {".so", LibraryKind::kShared}}};

Result<LibraryKind> kind_of(const std::string& file) {
  for (const auto& [ending, kind] : kKinds) {
    if (file.ends_with(ending)) return kind;
  }
  return failure("library-kind", "build",
                 fmt::format("`{}` does not say what to build: let it end in .o for an object, .a for an archive or .so for a "
                             "shared library",
                             file));
}

// FILEs, then presets, then the statements as one; flags alone are one without a text.
std::vector<PatternOptions> sources_of(const BuildCommandOptions& options) {
  std::vector<PatternOptions> sources;
  for (const std::string& file : options.files)
    sources.push_back({.file = file, .language = options.language, .flags = options.flags});
  for (const std::string& preset : options.presets) sources.push_back({.preset = preset, .flags = options.flags});
  if (!options.statements.empty())
    sources.push_back({.language = options.language, .statements = options.statements, .flags = options.flags});
  if (sources.empty() && options.flags.any()) sources.push_back({.flags = options.flags});
  return sources;
}

// Empty for what has none: stdin, statements, flags.
std::string own_name(const PatternOptions& source) {
  if (!source.preset.empty()) return source.preset;
  return source.file == "-" ? "" : std::filesystem::path(source.file).stem().string();
}

Diagnostics check_options(const BuildCommandOptions& options, const std::vector<PatternOptions>& sources) {
  if (sources.empty())
    return {
        failure("usage", "build",
                "give the patterns as FILEs, by the names of --preset, as statements with -e, or as flags such as --causal")};
  if (!options.names.empty() && options.names.size() != sources.size())
    return {failure("usage", "build",
                    fmt::format("{} patterns but {} --name; give none, or one for each FILE in their order, then for each "
                                "--preset, then for the statements of -e",
                                sources.size(), options.names.size()))};
  const bool nameless = std::ranges::any_of(sources, [](const PatternOptions& source) { return own_name(source).empty(); });
  if (nameless && options.names.empty())
    return {failure("usage", "--name",
                    "is missing: a pattern from stdin, -e or flags alone has no name of its own that functions could bear")};
  Diagnostics errors;
  const FlagOptions& flags = options.flags;
  for (const auto& [option, flag] : {std::pair{"--alibi", &flags.alibi}, std::pair{"--sinks", &flags.sinks},
                                     std::pair{"--key-lengths", &flags.key_lengths}, std::pair{"--key-mask", &flags.key_mask}})
    if (!flag->file().empty())
      errors.push_back(failure(
          "usage", option,
          fmt::format("takes no file here, as `{}`: whoever calls the library gives the tensor, in each call", flag->file())));
  return errors;
}

AttentionSpec with_options(AttentionSpec spec, const BuildCommandOptions& options) {
  spec.dtype = options.dtypes.q;
  spec.kv_dtype = options.dtypes.kv;
  spec.kv_scale_dims = options.dtypes.scale_dims;
  spec.out_dtype = options.dtypes.out;
  spec.head_dim = static_cast<std::int32_t>(options.head_dim);
  spec.v_head_dim = static_cast<std::int32_t>(options.v_head_dim);
  spec.scale = options.scale;
  return spec;
}

Result<std::vector<BuildPattern>> load_patterns(const BuildCommandOptions& options,
                                                const std::vector<PatternOptions>& sources) {
  std::vector<BuildPattern> patterns;
  Diagnostics wrong;
  for (std::size_t i = 0; i < sources.size(); ++i) {
    Result<AttentionSpec> spec = load_pattern(sources[i], options.dtypes.q);
    if (!spec) {
      wrong.insert(wrong.end(), spec.diagnostics().begin(), spec.diagnostics().end());
      continue;
    }
    patterns.push_back(
        {options.names.empty() ? own_name(sources[i]) : options.names[i], with_options(*std::move(spec), options)});
  }
  if (!wrong.empty()) return wrong;
  return patterns;
}

Diagnostics check_files(const BuildCommandOptions& options, const std::string& header) {
  std::vector<FileUse> inputs;
  for (const std::string& file : options.files) inputs.push_back({"the pattern " + file, file});
  inputs.push_back({"--attention-mask", options.flags.attention_mask});
  return check_file_uses(inputs, {{"--output", options.library}, {"--header", header}});
}

// The library's message does not know of options.
Diagnostics with_hint(Diagnostics diagnostics) {
  for (Diagnostic& diagnostic : diagnostics) {
    if (diagnostic.kind == "build-name") diagnostic.message += "; --name gives another";
  }
  return diagnostics;
}

void print_result(const BuildCommandOptions& options, const std::string& header, const std::vector<BuildPattern>& patterns,
                  const BuiltLibrary& library) {
  std::vector<std::string> names;
  for (const BuildPattern& pattern : patterns) names.push_back(pattern.name);
  if (options.output == Output::kJson) {
    const nlohmann::ordered_json json = {{"library", options.library}, {"header", header},
                                         {"patterns", names},          {"targets", library.targets},
                                         {"kernels", library.kernels}, {"bytes", library.bytes.size()}};
    fmt::print("{}\n", json.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace));
    return;
  }
  fmt::print("{}: {} kernels, {:.1f} KiB\n", options.library, library.kernels,
             static_cast<double>(library.bytes.size()) / 1024);
  fmt::print("  patterns  {}\n  targets   {}\n  header    {}\n", fmt::join(names, ", "), fmt::join(library.targets, ", "),
             header);
}

}  // namespace

int build_command(const BuildCommandOptions& options) {
  const Result<LibraryKind> kind = kind_of(options.library);
  if (!kind) return report_errors(kind.diagnostics(), options.output);
  const std::filesystem::path path(options.library);
  const std::string header =
      options.header.empty() ? std::filesystem::path(path).replace_extension(".h").string() : options.header;
  const std::vector<PatternOptions> sources = sources_of(options);
  for (const Diagnostics& errors : {check_options(options, sources), check_files(options, header)})
    if (!errors.empty()) return report_errors(errors, options.output);
  const Result<std::vector<BuildPattern>> patterns = load_patterns(options, sources);
  if (!patterns) return report_errors(patterns.diagnostics(), options.output);
  BuildOptions build;
  build.targets = options.targets;
  build.kind = *kind;
  build.passes = options.passes;
  build.soname = path.filename().string();
  const Result<BuiltLibrary> library = build_library(*patterns, build);
  if (!library) return report_errors(with_hint(library.diagnostics()), options.output);
  const auto* bytes = reinterpret_cast<const char*>(library->bytes.data());
  const Status written = write_files({{options.library, {bytes, library->bytes.size()}}, {header, library->header}});
  if (!written) return report_errors(written.diagnostics(), options.output);
  print_result(options, header, *patterns, *library);
  return static_cast<int>(ExitCode::kFine);
}

}  // namespace flexjit::tools
