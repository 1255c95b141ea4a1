// A limit that one control group sets -> the least over the groups that this process is in.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <string_view>

namespace flexjit::tools {

// limit_in(folder): what the group sets, infinity where nothing. `root`: /sys/fs/cgroup; `membership`: what /proc/self/cgroup
// says; `controller`: of version 1, "cpu".
double least_of_groups(const std::string& root, const std::string& membership, std::string_view controller,
                       const std::function<double(const std::filesystem::path&)>& limit_in);

std::string own_membership();

}  // namespace flexjit::tools
