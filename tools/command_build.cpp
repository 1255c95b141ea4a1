// `flexjit build`: *.flex files -> a library with C functions, and its header. Both files appear whole or not at all.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <array>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <utility>

#include "flexjit/build.h"
#include "options.h"
#include "output_file.h"
#include "pattern.h"
#include "report.h"

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

Result<std::vector<BuildPattern>> load_patterns(const BuildCommandOptions& options) {
  std::vector<PatternOptions> sources;
  for (const std::string& file : options.files) sources.push_back({.file = file, .flags = options.flags});
  for (const std::string& preset : options.presets) sources.push_back({.preset = preset, .flags = options.flags});
  if (sources.empty()) return failure("usage", "build", "give the patterns as FILEs, or by the names of --preset");
  if (!options.names.empty() && options.names.size() != sources.size()) {
    return failure("usage", "build",
                   fmt::format("{} patterns but {} --name; give none, or one for each FILE in their order and then for each "
                               "--preset",
                               sources.size(), options.names.size()));
  }
  std::vector<BuildPattern> patterns;
  Diagnostics wrong;
  for (std::size_t i = 0; i < sources.size(); ++i) {
    Result<AttentionSpec> spec = load_pattern(sources[i]);
    if (!spec) {
      wrong.insert(wrong.end(), spec.diagnostics().begin(), spec.diagnostics().end());
      continue;
    }
    spec->dtype = options.dtypes.q;
    spec->kv_dtype = options.dtypes.kv;
    spec->out_dtype = options.dtypes.out;
    spec->head_dim = static_cast<std::int32_t>(options.head_dim);
    spec->v_head_dim = static_cast<std::int32_t>(options.v_head_dim);
    spec->scale = options.scale;
    const PatternOptions& source = sources[i];
    const std::string own = source.preset.empty() ? std::filesystem::path(source.file).stem().string() : source.preset;
    const std::string name = options.names.empty() ? own : options.names[i];
    patterns.push_back({name, *std::move(spec)});
  }
  if (!wrong.empty()) return wrong;
  return patterns;
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
  const Result<std::vector<BuildPattern>> patterns = load_patterns(options);
  if (!patterns) return report_errors(patterns.diagnostics(), options.output);
  BuildOptions build;
  build.targets = options.targets;
  build.kind = *kind;
  const std::filesystem::path path(options.library);
  build.soname = path.filename().string();
  const Result<BuiltLibrary> library = build_library(*patterns, build);
  if (!library) return report_errors(with_hint(library.diagnostics()), options.output);
  const std::string header =
      options.header.empty() ? std::filesystem::path(path).replace_extension(".h").string() : options.header;
  const auto* bytes = reinterpret_cast<const char*>(library->bytes.data());
  Status written = write_file(options.library, {bytes, library->bytes.size()});
  if (written) written = write_file(header, library->header);
  if (!written) return report_errors(written.diagnostics(), options.output);
  print_result(options, header, *patterns, *library);
  return static_cast<int>(ExitCode::kFine);
}

}  // namespace flexjit::tools
