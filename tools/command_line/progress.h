// What the command is busy with, on stderr, only where a person watches it: one line that replaces itself and is gone at the
// end.
#pragma once

#include <unistd.h>

#include <cstdio>
#include <string_view>

namespace flexjit::tools {

class Progress {
 public:
  Progress() : shown_(isatty(STDERR_FILENO) == 1) {}
  ~Progress() { show(""); }
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void show(std::string_view what) const {
    if (shown_) std::fprintf(stderr, "\r\033[K%.*s", static_cast<int>(what.size()), what.data());
  }

 private:
  bool shown_;
};

}  // namespace flexjit::tools
