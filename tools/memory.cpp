// Version 2 of the control groups has memory.max, a number or "max"; version 1 memory.limit_in_bytes, in a hierarchy of its
// own. As with processors, the root may be the container's own group, and is looked at in any case.
#include "memory.h"

#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <limits>
#include <sstream>

namespace flexjit::tools {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t kUnlimited = std::numeric_limits<std::int64_t>::max();

std::int64_t limit_in(const fs::path& group) {
  std::int64_t limit = 0;
  for (const char* file : {"memory.max", "memory.limit_in_bytes"})
    if (std::ifstream in(group / file); in >> limit) return limit;
  return kUnlimited;
}

// Of the group and all that it is inside of.
std::int64_t limit_on(const fs::path& hierarchy, const fs::path& group) {
  std::int64_t least = limit_in(hierarchy);
  fs::path at = hierarchy;
  for (const fs::path& part : group.relative_path()) least = std::min(least, limit_in(at /= part));
  return least;
}

}  // namespace

std::int64_t cgroup_memory(const std::string& root, const std::string& membership) {
  std::int64_t least = kUnlimited;
  std::istringstream lines(membership);  // "0::/user.slice", "9:memory:/docker/1f0c"
  for (std::string line; std::getline(lines, line);) {
    const std::size_t first = line.find(':'), second = line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1), group = line.substr(second + 1);
    if (controllers.empty()) least = std::min(least, limit_on(root, group));
    if (controllers == "memory") least = std::min(least, limit_on(fs::path(root) / controllers, group));
  }
  return least;
}

std::int64_t usable_memory() {
  std::ifstream file("/proc/self/cgroup");
  std::ostringstream membership;
  membership << file.rdbuf();
  const std::int64_t pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
  const std::int64_t machine = pages > 0 && page > 0 ? pages * page : kUnlimited;
  return std::min(machine, cgroup_memory("/sys/fs/cgroup", membership.str()));
}

}  // namespace flexjit::tools
