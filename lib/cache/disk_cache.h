// Key text -> machine code that an earlier process compiled, one file an entry. Every anomaly is a miss: a damaged, foreign,
// vanished or unreadable entry, a full or read-only disk. Nothing here ever fails a compilation.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "plan/compiler_door.h"

namespace flexjit::cache {

// One file of the directory, for listings.
struct DiskEntry {
  std::string file;      // its name in the directory
  std::string key_text;  // empty: the entry is damaged, or cannot be read
  std::int64_t bytes = 0;
  std::int64_t age_seconds = 0;  // since it was last used
};

// Thread-safe, and safe beside other processes that use the same directory: entries appear whole or not at all, are checked in
// full when read, and may be deleted at any time.
class DiskCache {
 public:
  // `directory` is made, private, when the first entry is stored; empty: no cache. Above `capacity_bytes` the entries that were
  // not used for longest go.
  DiskCache(std::string directory, std::int64_t capacity_bytes);

  // No value: a miss.
  std::optional<plan::CodeImage> load(const std::string& key_text) const;
  void store(const plan::CodeImage& image);

  // Why the directory is not used (it belongs to someone else, others may write to it, ...); empty if it is, or could be made.
  std::string problem() const;
  const std::string& directory() const { return directory_; }

  std::vector<DiskEntry> list() const;  // most recently used first
  // Each returns how many files it removed, temporary files of killed writers among them.
  std::int64_t remove_damaged();
  std::int64_t shrink_to(std::int64_t bytes);

 private:
  std::string path_of(const std::string& file) const { return directory_ + "/" + file; }
  std::int64_t remove_abandoned();

  std::string directory_;
  std::int64_t capacity_bytes_;
};

}  // namespace flexjit::cache
