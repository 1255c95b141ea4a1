// Loaded code with debug information -> what gdb (and lldb) read of it, by gdb's interface for compilers inside a process.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

namespace flexjit::cache {

// Known to debuggers while it lives. Thread-safe.
class DebuggerEntry {
 public:
  // `object` as in plan::CodeImage::debug_object, of code that was loaded at `base`.
  DebuggerEntry(std::vector<std::uint8_t> object, const void* base);
  ~DebuggerEntry();
  DebuggerEntry(const DebuggerEntry&) = delete;
  DebuggerEntry& operator=(const DebuggerEntry&) = delete;

 private:
  struct Entry;
  std::vector<std::uint8_t> object_;
  std::unique_ptr<Entry> entry_;
};

}  // namespace flexjit::cache
