// Compared by where the links end: a file that does not exist yet has only its folder to be told by.
#include "data/file_uses.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <optional>
#include <utility>

#include "command_line/failure.h"
#include "data/output_file.h"

namespace flexjit::tools {
namespace {

namespace fs = std::filesystem;

struct Place {
  std::string path;
  dev_t device = 0;
  ino_t inode = 0;
  bool exists = false;

  bool is(const Place& other) const {
    return path == other.path || (exists && other.exists && device == other.device && inode == other.inode);
  }
};

// Absent for what is written through: a device, a pipe, a descriptor of this process.
std::optional<Place> place_of(const std::string& path) {
  const std::string target = follow_links(path);
  if (is_own_descriptor(target)) return std::nullopt;
  std::error_code ignored;
  Place place{.path = fs::weakly_canonical(target, ignored).string()};
  if (place.path.empty()) place.path = target;
  struct stat there{};
  if (stat(target.c_str(), &there) != 0) return place;
  if (!S_ISREG(there.st_mode)) return std::nullopt;
  place.device = there.st_dev;
  place.inode = there.st_ino;
  place.exists = true;
  return place;
}

bool is_stdin(const std::string& path) { return path == "-" || path == "/dev/stdin"; }

}  // namespace

Diagnostics check_file_uses(const std::vector<FileUse>& inputs, const std::vector<FileUse>& outputs) {
  Diagnostics errors;
  const FileUse* reader = nullptr;  // of stdin
  for (const FileUse& input : inputs) {
    if (!is_stdin(input.path)) continue;
    if (reader != nullptr)
      errors.push_back(failure("usage", input.option,
                               fmt::format("is stdin, which {} reads already; give one of them as a file", reader->option)));
    else
      reader = &input;
  }
  std::vector<std::pair<const FileUse*, Place>> taken;
  const auto take = [&taken](const FileUse& use) -> const FileUse* {
    const std::optional<Place> place = use.path.empty() ? std::nullopt : place_of(use.path);
    if (!place) return nullptr;
    const auto other = std::ranges::find_if(taken, [&](const auto& known) { return known.second.is(*place); });
    if (other != taken.end()) return other->first;
    taken.emplace_back(&use, *place);
    return nullptr;
  };
  for (const FileUse& input : inputs)
    if (input.path != "-") take(input);
  for (const FileUse& output : outputs)
    if (const FileUse* other = take(output))
      errors.push_back(
          failure("usage", output.option,
                  fmt::format("would write over `{}`, which is also {}; give it another name", output.path, other->option)));
  return errors;
}

std::vector<FileUse> inputs_of(const PatternOptions& pattern, const NameOptions& names, const FileOptions& files) {
  const FlagOptions& flags = pattern.flags;
  std::vector<FileUse> uses = {{"the pattern", pattern.file},
                               {"--q", files.q},
                               {"--k", files.k},
                               {"--v", files.v},
                               {"--alibi", flags.alibi.file()},
                               {"--sinks", flags.sinks.file()},
                               {"--key-lengths", flags.key_lengths.file()},
                               {"--key-mask", flags.key_mask.file()},
                               {"--attention-mask", flags.attention_mask}};
  for (const std::string& buffer : names.buffers)
    if (const std::size_t equals = buffer.find('='); equals != std::string::npos)
      uses.push_back({"--buffer " + buffer.substr(0, equals), buffer.substr(equals + 1)});
  return uses;
}

}  // namespace flexjit::tools
