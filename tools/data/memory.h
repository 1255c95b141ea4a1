// How much memory this process can have.
#pragma once

#include <cstdint>
#include <string>

namespace flexjit::tools {

// Bytes: those of the machine, at most the limit of the control group.
std::int64_t usable_memory();

// The least limit of the groups in `membership`, the text of /proc/self/cgroup, below `root`; the largest number where none is.
std::int64_t cgroup_memory(const std::string& root, const std::string& membership);

}  // namespace flexjit::tools
