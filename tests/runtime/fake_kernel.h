// A kernel in plain C++ that obeys kernel_abi.h, so that the launcher is tested without a compiler: naive attention over
// the spans and panels that it is given, which also checks every promise the launcher makes.
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <set>
#include <vector>

#include "runtime/launch.h"
#include "support/brute_force.h"
#include "support/comparison.h"

namespace flexjit::test {

// What the fake kernel needs and what it saw; LaunchArg::params points to it.
struct FakeState {
  plan::KernelLayout layout;
  test::Allowed allowed = [](int, int, int, int) { return true; };
  std::set<std::int64_t> faulty_items;  // (b * heads + h) * q_tiles + tile

  std::atomic<int> broken_promises{0};
  std::atomic<std::int64_t> packed_columns{0};
  std::atomic<std::int64_t> attended_items{0};
  std::mutex mutex;
  std::set<const void*> panels;  // distinct addresses of packed K
};

plan::TensorArg arg_of(test::Tensor& tensor);

// Inputs of small integers / 4, so that dot products are exact, and everything that a launch of them needs.
struct LaunchProblem : test::Problem {
  explicit LaunchProblem(const test::Shape& shape, bool packs_v);
  runtime::LaunchOutcome run(const BlockMask* mask, int threads, Trace* trace = nullptr);
  // Attention over state.allowed.
  ::testing::AssertionResult is_exact(const test::Bound& bound = test::near(5e-6)) const;

  plan::Operands launch{};
  FakeState state;
};

}  // namespace flexjit::test
