// Patterns over a sequence, and what they must give: the whole, computed by the fp64 reference, of which each rank looks at its
// rows.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "flexjit/mpi/sequence.h"
#include "support/captures.h"

namespace flexjit::mpi {

struct Case {
  std::string name;
  AttentionSpec spec;
  SequenceSizes sizes;
  SequenceOptions options{};
  test::Captures captures{};
  std::vector<std::string> gradients{};  // of these buffers
  std::vector<float> sinks{};            // of each head, or none
  double tolerance = 1e-5;               // T32; of lower types more
  std::string pitfall{};                 // the row of the list of distributed pitfalls that it is for, as "C1"
};
std::vector<Case> cases();
AttentionSpec spec_of(const std::string& program);  // of head_dim 16 and v_head_dim 8

// Dense tensors of the whole, the same on every rank.
struct Whole {
  std::vector<unsigned char> q, k, v;         // of the spec's types
  std::vector<float> d_out, d_lse;            // given
  std::vector<float> out, lse, dq, dk, dv;    // what must be
  std::vector<std::vector<float>> d_buffers;  // likewise, in the order of Case::gradients
  std::vector<float> d_sinks;
};
// Collective: rank 0 computes, all get it.
Whole whole_of(const Case& of);

// What this rank gives and gets.
struct Part {
  std::int64_t tokens = 0;
  std::vector<unsigned char> q{}, k{}, v{}, out{};
  std::vector<float> lse{}, d_out{}, d_lse{}, dq{}, dk{}, dv{};
  std::vector<std::vector<float>> d_buffers{};
  std::vector<float> d_sinks{};

  bool operator==(const Part&) const = default;
};
Part part_of(const Case& of, const Whole& whole, const ShardedAttention& attention);

// Views of a part's memory.
ShardArgs args_of(const Case& of, Part& part);
ShardGradients gradients_of(const Case& of, Part& part);

// Of this rank's rows, element by element.
testing::AssertionResult is_forward(const Case& of, const Whole& whole, const ShardedAttention& attention, const Part& part);
testing::AssertionResult is_backward(const Case& of, const Whole& whole, const ShardedAttention& attention, const Part& part);
// Collective: both passes of a case, twice, with the same bits.
testing::AssertionResult is_whole(const Case& of);

}  // namespace flexjit::mpi
