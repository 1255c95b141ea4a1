// Version 2 of the control groups has memory.max, a number or "max"; version 1 memory.limit_in_bytes.
#include "data/memory.h"

#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <limits>

#include "data/control_group.h"

namespace flexjit::tools {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t kUnlimited = std::numeric_limits<std::int64_t>::max();

double limit_in(const fs::path& group) {
  std::int64_t limit = 0;
  for (const char* file : {"memory.max", "memory.limit_in_bytes"})
    if (std::ifstream in(group / file); in >> limit) return static_cast<double>(limit);
  return std::numeric_limits<double>::infinity();
}

}  // namespace

std::int64_t cgroup_memory(const std::string& root, const std::string& membership) {
  const double least = least_of_groups(root, membership, "memory", limit_in);
  return least < 0x1p63 ? static_cast<std::int64_t>(least) : kUnlimited;
}

std::int64_t usable_memory() {
  const std::int64_t pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
  const std::int64_t machine = pages > 0 && page > 0 ? pages * page : kUnlimited;
  return std::min(machine, cgroup_memory("/sys/fs/cgroup", own_membership()));
}

}  // namespace flexjit::tools
