// Lets allocations of the whole process fail: the program's malloc and its kin, mmap, and operator new.
#pragma once

namespace flexjit::test {

enum class Failing {
  kOne,     // the n-th allocation alone
  kAllFrom  // the n-th and all after it
};

// From here on the process's n-th allocation (from 1) fails, whichever thread makes it.
void fail_allocation(long n, Failing failing);
// No allocation fails any more. How many were asked for since fail_allocation().
long stop_failing();
// Blocks that were allocated and not freed.
long live_blocks();

}  // namespace flexjit::test
