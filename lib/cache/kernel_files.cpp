// The disk cache as tools see it.
#include "flexjit/kernel_files.h"

#include <limits>

#include "cache/disk_cache.h"

namespace flexjit {

namespace {

cache::DiskCache open(const std::string& directory) { return {directory, std::numeric_limits<std::int64_t>::max()}; }

}  // namespace

std::string kernel_files_problem(const std::string& directory) { return open(directory).problem(); }

std::vector<KernelFile> list_kernel_files(const std::string& directory) {
  std::vector<KernelFile> files;
  for (cache::DiskEntry& entry : open(directory).list()) {
    files.push_back({std::move(entry.file), std::move(entry.key_text), entry.bytes, entry.age_seconds});
  }
  return files;
}

std::int64_t remove_damaged_kernel_files(const std::string& directory) { return open(directory).remove_damaged(); }

std::int64_t prune_kernel_files(const std::string& directory, std::int64_t bytes) {
  cache::DiskCache files = open(directory);
  return bytes >= 0 && files.problem().empty() ? files.shrink_to(bytes) : 0;
}

}  // namespace flexjit
