// A file in /tmp that is named after this process and that profilers look for: never another user's, never through a link.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace flexjit::cache {

enum class Existing : std::uint8_t { kKeep, kReplace };

// Not thread-safe.
class ProcessFile {
 public:
  // "/tmp/perf-" + process id + ".map" for "perf-" and ".map".
  ProcessFile(std::string_view prefix, std::string_view suffix, Existing existing)
      : prefix_(prefix), suffix_(suffix), existing_(existing) {}
  ~ProcessFile() { close(); }
  ProcessFile(const ProcessFile&) = delete;
  ProcessFile& operator=(const ProcessFile&) = delete;

  // True when it was opened just now: at first, and in the child of a fork, whose file is another. Throws std::system_error.
  bool open();
  // Appends all of it. The file is open. Throws std::system_error.
  void write(std::span<const char> bytes);
  int descriptor() const { return descriptor_; }
  const std::string& path() const { return path_; }

 private:
  void close() noexcept;

  const std::string_view prefix_, suffix_;
  const Existing existing_;
  std::string path_;
  pid_t process_ = 0;
  int descriptor_ = -1;
};

}  // namespace flexjit::cache
