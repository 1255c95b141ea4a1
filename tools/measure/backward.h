// The backward pass of a call: its tensors, what it must compute, and how far its gradients are from those of naive fp64.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "data/problem.h"
#include "flexjit/backward.h"
#include "measure/limit.h"

namespace flexjit::tools {

// Layouts and element types are those of what each is the gradient of.
struct GradientArrays {
  Array out;      // given
  Array q, k, v;  // wanted, like all that follows
  std::map<std::string, Array> buffers;
};

// Zeros for what is wanted. A name that nothing is bound to gets an array too: the call says what is wrong with it.
GradientArrays make_gradients(const Problem& problem, const Bindings& bindings, Array out,
                              const std::vector<std::string>& buffers);
// Views of the arrays, which must outlive them.
Gradients gradients_of(GradientArrays& arrays, const Problem& problem);

// The gradient of an output that no file gives: N(0, 1) in the output's element type.
Result<Array> generated_output_gradient(const Problem& problem, std::uint64_t seed);

// 2 (3 head_dim + 2 v_head_dim) operations for every allowed pair: q k^T once more, dO v^T, P^T dO, dS k and dS^T q. Whatever
// the element types, their factors are fp32, or fp64 where these are.
Work backward_work(const Problem& problem, std::int64_t allowed_pairs);

struct BackwardErrors {
  double q = 0, k = 0, v = 0;
  std::optional<double> buffers;  // the largest of all; absent: none is wanted
  bool correct = true;
};

// Where the reference is quick, in less than a second or so.
bool backward_check_is_quick(const Problem& problem);

// A gradient is correct within a part of the largest number in its tensor, since it is a sum in which large terms cancel: 350
// units of rounding, and 8 for each unit of |lse|, whose rounding moves the weights; with bf16 or fp16 queries 4 of theirs.
Result<BackwardErrors> verify_backward(const Attention& attention, const RunArgs& forward, const Problem& problem,
                                       GradientArrays& actual);

}  // namespace flexjit::tools
