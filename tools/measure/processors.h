// How much of the machine this process may use: fewer threads than asked for really run side by side where the scheduler's mask
// or a container's quota allows no more.
#pragma once

#include <string>

namespace flexjit::tools {

// Processors, perhaps not a whole number: those of the affinity mask, at most what the quotas of this process's control groups
// give. Above 0.
double usable_processors();

// The smallest quota, in processors, on the path of a control group in the hierarchies under `root` ("/sys/fs/cgroup"), as the
// lines of `membership` (/proc/self/cgroup) name it; infinity where there is none.
double cgroup_processors(const std::string& root, const std::string& membership);

}  // namespace flexjit::tools
