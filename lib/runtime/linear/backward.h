// Gradients of linear weights in time and memory that are linear in the lengths. With do' = do / normaliser, delta = do' . o:
//
//   d phi(q_i) = sum over j <= i of (do'_i . v_j - delta_i) phi(k_j)     a row of do' and -delta meets rows of v and 1
//   d phi(k_j) = sum over i >= j of (do'_i . v_j - delta_i) phi(q_i)     the same from the end to the beginning
//   d v_j      = sum over i >= j of (phi(q_i) . phi(k_j)) do'_i
//
// each of which is linear attention with the identity as its feature map, by the kernel of its sizes (Choromanski et al. 2020).
#pragma once

#include <span>

#include "runtime/linear/linear.h"

namespace flexjit::runtime {

struct LinearBackwardKernels {
  const Kernel& rows;         // of the pattern: features, and gradients of features pulled back
  const Kernel& to_features;  // rows of v_head_dim + 1 meet such rows; what they give has features
  const Kernel& to_values;    // features meet features; what they give has v_head_dim dims
  const Kernel& to_sums;      // features meet features; what they give has one dim
};

struct LinearGradientOperands {
  plan::GradientOperands::Tensor grad_out{};                    // of rows of q
  plan::GradientOperands::Tensor grad_q{}, grad_k{}, grad_v{};  // null: not wanted
};

// Deterministic for every thread count. An item is a sequence and a kv head; by_head beside one head a kv head alone. Sequences
// may be without queries.
LaunchOutcome linear_backward(const LinearBackwardKernels& kernels, const plan::Operands& operands, const LinearCall& call,
                              const LinearGradientOperands& gradients, std::span<const LinearWork> work,
                              const Workers& workers);

}  // namespace flexjit::runtime
