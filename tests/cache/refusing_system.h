// System calls that fail on demand, for what happens to files rarely and cannot be arranged by every user: a full disk, a file
// system that is read-only or has no unnamed files, files that cannot be read. The program is linked with --wrap, so that the
// code under test has no seam for it.
#pragma once

#include <cstdint>

namespace flexjit::test {

enum class Refusal : std::uint8_t {
  kNone,
  kUnnamedFiles,  // open(O_TMPFILE) is not supported, as on NFS
  kFullDisk,      // a write takes half of what it is given, and the next one nothing
  kReadOnly,      // nothing can be made, written or removed
  kUnreadable,    // files open for writing alone
  kBrokenMedium,  // files open, but cannot be read
  kSlowReads,     // a read gives one byte a time, and every second one is interrupted
};

// In force until it goes; one at a time.
class Refusing {
 public:
  explicit Refusing(Refusal refusal);
  ~Refusing();
  Refusing(const Refusing&) = delete;
  Refusing& operator=(const Refusing&) = delete;
};

}  // namespace flexjit::test
