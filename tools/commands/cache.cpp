// `flexjit cache`: the kernels on disk, listed, shown, checked, pruned, cleared.
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <sstream>

#include "command_line/options.h"
#include "commands/known_patterns.h"
#include "commands/report.h"
#include "flexjit/engine.h"
#include "flexjit/kernel_files.h"

namespace flexjit::tools {

namespace {

// The lines of a key that tell kernels apart at a glance: its target, its nest and element types, its head dims.
std::string summary_of(const std::string& key) {
  std::istringstream lines(key);
  std::string summary;
  std::string line;
  for (int i = 0; i < 5 && std::getline(lines, line); ++i) {
    if (i >= 2) summary += (summary.empty() ? "" : ", ") + line;
  }
  return summary;
}

nlohmann::json json_of(const KernelFile& file, const KnownPatterns& known) {
  return {{"name", file.name},
          {"pattern", file.key.empty() ? nlohmann::json() : nlohmann::json(known.describe(file.key))},
          {"key", file.key},
          {"bytes", file.bytes},
          {"age_seconds", file.age_seconds},
          {"damaged", file.key.empty()}};
}

int list(const std::string& directory, const std::vector<KernelFile>& files, Output output) {
  const KnownPatterns known;
  std::int64_t bytes = 0;
  for (const KernelFile& file : files) bytes += file.bytes;
  if (output == Output::kJson) {
    nlohmann::json json = {{"directory", directory}, {"bytes", bytes}, {"kernels", nlohmann::json::array()}};
    for (const KernelFile& file : files) json["kernels"].push_back(json_of(file, known));
    fmt::print("{}\n", json.dump(2));
    return static_cast<int>(ExitCode::kFine);
  }
  fmt::print("{}: {} kernels, {:.1f} KiB\n", directory, files.size(), static_cast<double>(bytes) / 1024);
  for (const KernelFile& file : files) {
    fmt::print("  {:.12}  {:>8} bytes  used {:>8} s ago  {}\n", file.name, file.bytes, file.age_seconds,
               file.key.empty() ? "damaged, or of another version" : known.describe(file.key) + ": " + summary_of(file.key));
  }
  return static_cast<int>(ExitCode::kFine);
}

int show(const std::vector<KernelFile>& files, const CacheOptions& options) {
  const auto found = std::ranges::find_if(files, [&](const KernelFile& file) { return file.name.starts_with(options.name); });
  if (found == files.end()) {
    return report_errors({failure("no-kernel", "cache", fmt::format("no kernel's name begins with `{}`", options.name))},
                         options.output);
  }
  if (options.output == Output::kJson) {
    fmt::print("{}\n", json_of(*found, KnownPatterns()).dump(2));
  } else {
    fmt::print("{}: {}, {} bytes, used {} s ago\n\n{}", found->name, KnownPatterns().describe(found->key), found->bytes,
               found->age_seconds, found->key);
  }
  return static_cast<int>(ExitCode::kFine);
}

int removed(std::int64_t count, Output output) {
  if (output == Output::kJson) {
    fmt::print("{}\n", nlohmann::json{{"removed", count}}.dump());
  } else {
    fmt::print("{} {} removed\n", count, count == 1 ? "kernel" : "kernels");
  }
  return static_cast<int>(ExitCode::kFine);
}

}  // namespace

int cache_command(const CacheOptions& options) {
  const std::string directory = options.directory.empty() ? EngineOptions::default_cache_dir() : options.directory;
  if (const std::string problem = kernel_files_problem(directory); !problem.empty()) {
    return report_errors({failure("cache-directory", "cache", fmt::format("`{}` is not used: {}", directory, problem))},
                         options.output);
  }
  switch (options.action) {
    case CacheAction::kList: return list(directory, list_kernel_files(directory), options.output);
    case CacheAction::kShow: return show(list_kernel_files(directory), options);
    case CacheAction::kVerify: return removed(remove_damaged_kernel_files(directory), options.output);
    case CacheAction::kPrune: return removed(prune_kernel_files(directory, options.keep_mib << 20), options.output);
    case CacheAction::kClear: return removed(prune_kernel_files(directory, 0), options.output);
  }
  return static_cast<int>(ExitCode::kFailed);
}

}  // namespace flexjit::tools
