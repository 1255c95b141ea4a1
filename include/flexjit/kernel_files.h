// The kernels that earlier processes left on disk: what lies in a cache directory (EngineOptions::cache_dir), and its upkeep.
// An engine needs none of this; it is for tools.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "flexjit/export.h"

namespace flexjit {

// One kernel file.
struct KernelFile {
  std::string name;  // in the directory
  std::string key;   // what it was compiled from, as text; empty: damaged, or of another version of flexjit
  std::int64_t bytes = 0;
  std::int64_t age_seconds = 0;  // since it was last used, to about a minute
};

// Every function may be called at any time, by any process, while engines use the directory. A directory that does not exist is
// empty; one that may not be used (see kernel_files_problem) is left alone.
//
// Why an engine would not use the directory: it belongs to another user, others may write to it, ...; "" if nothing is wrong.
FLEXJIT_API std::string kernel_files_problem(const std::string& directory);
// Most recently used first.
FLEXJIT_API std::vector<KernelFile> list_kernel_files(const std::string& directory);
// How many files were removed: those that are damaged, or the least recently used until at most `bytes` remain; a negative
// number is no limit and removes none.
FLEXJIT_API std::int64_t remove_damaged_kernel_files(const std::string& directory);
FLEXJIT_API std::int64_t prune_kernel_files(const std::string& directory, std::int64_t bytes);

}  // namespace flexjit
