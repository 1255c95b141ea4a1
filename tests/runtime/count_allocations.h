// Counts every allocation of the test binary, by replacing the global operators new and delete.
#pragma once

namespace flexjit::test {

// Since the program started, all threads.
long allocations();

}  // namespace flexjit::test
