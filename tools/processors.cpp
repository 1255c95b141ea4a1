// Version 2 of the control groups has one hierarchy and cpu.max, "200000 100000" or "max 100000"; version 1 has one a
// controller, and two files. In a container the path of the group may be the host's and not exist below the root; the root then
// is the container's own group, and is looked at in any case.
#include "processors.h"

#include <sched.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <limits>
#include <sstream>

namespace flexjit::tools {
namespace {

namespace fs = std::filesystem;

constexpr double kUnlimited = std::numeric_limits<double>::infinity();

double quota_in(const fs::path& group) {
  double quota = 0, period = 0;
  if (std::ifstream file(group / "cpu.max"); !(file >> quota >> period)) {
    std::ifstream(group / "cpu.cfs_quota_us") >> quota;
    std::ifstream(group / "cpu.cfs_period_us") >> period;
  }
  return quota > 0 && period > 0 ? quota / period : kUnlimited;
}

// Of the group and all that it is inside of.
double quota_on(const fs::path& hierarchy, const fs::path& group) {
  double least = quota_in(hierarchy);
  fs::path at = hierarchy;
  for (const fs::path& part : group.relative_path()) least = std::min(least, quota_in(at /= part));
  return least;
}

double affine_processors() {
  cpu_set_t set;
  return sched_getaffinity(0, sizeof set, &set) == 0 ? std::max(1, CPU_COUNT(&set)) : 1;
}

}  // namespace

double cgroup_processors(const std::string& root, const std::string& membership) {
  double least = kUnlimited;
  std::istringstream lines(membership);  // "0::/user.slice", "4:cpu,cpuacct:/docker/1f0c"
  for (std::string line; std::getline(lines, line);) {
    const std::size_t first = line.find(':'), second = line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1), group = line.substr(second + 1);
    const bool is_cpu = ("," + controllers + ",").find(",cpu,") != std::string::npos;
    if (controllers.empty()) least = std::min(least, quota_on(root, group));
    if (is_cpu)
      for (const std::string& name : {controllers, std::string("cpu")})
        least = std::min(least, quota_on(fs::path(root) / name, group));
  }
  return least;
}

double usable_processors() {
  std::ifstream file("/proc/self/cgroup");
  std::ostringstream membership;
  membership << file.rdbuf();
  return std::min(affine_processors(), cgroup_processors("/sys/fs/cgroup", membership.str()));
}

}  // namespace flexjit::tools
