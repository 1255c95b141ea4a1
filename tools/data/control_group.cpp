// Version 2 of the control groups has one hierarchy; version 1 has one a controller, or a few of them. In a container the path
// of the group may be the host's and not exist below the root; the root then is the container's own group, and is looked at in
// any case.
#include "data/control_group.h"

#include <algorithm>
#include <fstream>
#include <limits>
#include <sstream>

namespace flexjit::tools {

namespace fs = std::filesystem;

double least_of_groups(const std::string& root, const std::string& membership, std::string_view controller,
                       const std::function<double(const fs::path&)>& limit_in) {
  // Of the group and all that it is inside of.
  const auto limit_on = [&](const fs::path& hierarchy, const fs::path& group) {
    double least = limit_in(hierarchy);
    fs::path at = hierarchy;
    for (const fs::path& part : group.relative_path()) least = std::min(least, limit_in(at /= part));
    return least;
  };
  double least = std::numeric_limits<double>::infinity();
  const std::string wanted = "," + std::string(controller) + ",";
  std::istringstream lines(membership);  // "0::/user.slice", "4:cpu,cpuacct:/docker/1f0c"
  for (std::string line; std::getline(lines, line);) {
    const std::size_t first = line.find(':'), second = line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1), group = line.substr(second + 1);
    if (controllers.empty()) least = std::min(least, limit_on(root, group));
    if (("," + controllers + ",").find(wanted) == std::string::npos) continue;
    for (const std::string& name : {controllers, std::string(controller)})
      least = std::min(least, limit_on(fs::path(root) / name, group));
  }
  return least;
}

std::string own_membership() {
  std::ifstream file("/proc/self/cgroup");
  std::ostringstream membership;
  membership << file.rdbuf();
  return membership.str();
}

}  // namespace flexjit::tools
