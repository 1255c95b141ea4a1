// How much heap a piece of work needs at its peak. The command replaces operator new and delete, through which the engine makes
// every allocation of its own, so nothing is estimated. Not counted: stacks and what C libraries below take from malloc.
#pragma once

#include <cstdint>

namespace flexjit::tools {

// Counts while it lives, over all threads; one at a time.
class HeapMeter {
 public:
  HeapMeter();
  // Largest number of bytes that were allocated at once since construction, less those that were allocated then.
  std::int64_t peak_bytes() const;

 private:
  std::int64_t before_;
};

}  // namespace flexjit::tools
