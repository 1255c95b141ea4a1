// A kernel in plain C++ that obeys kernel_abi.h, so that the launcher is tested without a compiler: naive attention over
// the spans and panels that it is given, which also checks every promise the launcher makes.
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <set>
#include <vector>

#include "../mask/brute_force.h"
#include "runtime/launch.h"

namespace flexjit::testing {

// What the fake kernel needs and what it saw; LaunchArg::params points to it.
struct FakeState {
  plan::KernelLayout layout;
  Allowed allowed = [](int, int, int, int) { return true; };
  std::set<std::int64_t> faulty_items;  // (b * heads + h) * q_tiles + tile

  std::atomic<int> broken_promises{0};
  std::atomic<std::int64_t> packed_columns{0};
  std::atomic<std::int64_t> attended_items{0};
  std::mutex mutex;
  std::set<const void*> panels;  // distinct addresses of packed K
};

struct Dims {
  int batch = 1, q_heads = 1, kv_heads = 1, q_len = 1, kv_len = 1, head_dim = 8, v_head_dim = 8;
};

// Inputs of small integers / 4, so that dot products are exact, and everything that a launch of them needs.
struct Problem {
  explicit Problem(const Dims& dims, bool packs_v, std::uint32_t seed = 1);
  runtime::LaunchOutcome run(const BlockMask* mask, int threads, Trace* trace = nullptr);
  // Dense fp64 attention over state.allowed, written here.
  std::vector<double> expected_out() const;
  std::vector<double> expected_lse() const;

  Dims dims;
  std::vector<float> q, k, v, out, lse;
  plan::Operands launch{};
  FakeState state;

 private:
  std::vector<double> row_weights(int b, int h, int row, double& lse_value) const;
};

}  // namespace flexjit::testing
