// The workspace pool: a second launch of the same size allocates nothing, and what is kept is bounded.
#include "runtime/workspace.h"

#include <gtest/gtest.h>

#include "count_allocations.h"
#include "fake_kernel.h"

namespace flexjit::runtime {
namespace {

TEST(Workspace, SecondLaunchAllocatesNothing) {
  const auto causal = [](int, int, int q, int kv) { return q >= kv; };
  const BlockMask mask = test::brute_force_mask({1, 1, 150, 150, 32, 32}, causal);
  test::LaunchProblem problem({2, 4, 2, 150, 150, 8, 8}, true);
  problem.state.allowed = causal;
  problem.run(&mask, 1);
  problem.state.panels.clear();
  // The fake kernel itself notes each address of packed keys once: one set node for each of the four pairs. The call has a list
  // of sequences and one of what is to be done with them.
  const long before = test::allocations();
  problem.run(&mask, 1);
  EXPECT_EQ(test::allocations() - before, 4 + 2);
}

TEST(Workspace, IsAlignedAndOnlyGrows) {
  AlignedBuffer buffer;
  buffer.reserve(100);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(buffer.data()) % kAlignment, 0U);
  std::byte* const first = buffer.data();
  buffer.reserve(40);
  EXPECT_EQ(buffer.data(), first);
  EXPECT_EQ(buffer.bytes(), 100U);
  buffer.reserve(101);
  EXPECT_EQ(buffer.bytes(), 101U);
}

TEST(Workspace, ALargeBufferTakesMemoryWhereItIsTouched) {
  AlignedBuffer buffer;
  buffer.reserve(std::size_t{1} << 40);
  for (std::size_t at = 0; at < buffer.bytes(); at += std::size_t{1} << 36) buffer.data()[at] = std::byte{7};
  EXPECT_EQ(buffer.data()[std::size_t{5} << 36], std::byte{7});
  buffer.release();
  EXPECT_EQ(buffer.bytes(), 0U);
}

TEST(Workspace, PoolKeepsABoundedNumber) {
  WorkspacePool pool;
  {
    std::vector<std::unique_ptr<WorkspacePool::Lease>> leases;
    for (std::size_t i = 0; i < WorkspacePool::kMaxIdle + 3; ++i) {
      leases.push_back(std::make_unique<WorkspacePool::Lease>(pool));
    }
    EXPECT_EQ(pool.idle(), 0U);
  }
  EXPECT_EQ(pool.idle(), WorkspacePool::kMaxIdle);
}

TEST(Workspace, PoolFreesALargeOne) {
  WorkspacePool pool;
  {
    const WorkspacePool::Lease lease(pool);
    (*lease).panels.reserve(WorkspacePool::kMaxIdleBytes + 1);
  }
  EXPECT_EQ(pool.idle(), 0U);
}

}  // namespace
}  // namespace flexjit::runtime
