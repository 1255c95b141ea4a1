// Version 2 of the control groups has cpu.max, "200000 100000" or "max 100000"; version 1 has two files.
#include "measure/processors.h"

#include <sched.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <limits>

#include "data/control_group.h"

namespace flexjit::tools {
namespace {

namespace fs = std::filesystem;

constexpr double kEveryProcessor = std::numeric_limits<double>::infinity();

double quota_in(const fs::path& group) {
  double quota = 0, period = 0;
  if (std::ifstream file(group / "cpu.max"); !(file >> quota >> period)) {
    std::ifstream(group / "cpu.cfs_quota_us") >> quota;
    std::ifstream(group / "cpu.cfs_period_us") >> period;
  }
  return quota > 0 && period > 0 ? quota / period : kEveryProcessor;
}

double affine_processors() {
  cpu_set_t set;
  return sched_getaffinity(0, sizeof set, &set) == 0 ? std::max(1, CPU_COUNT(&set)) : 1;
}

}  // namespace

double cgroup_processors(const std::string& root, const std::string& membership) {
  return least_of_groups(root, membership, "cpu", quota_in);
}

double usable_processors() { return std::min(affine_processors(), cgroup_processors("/sys/fs/cgroup", own_membership())); }

}  // namespace flexjit::tools
