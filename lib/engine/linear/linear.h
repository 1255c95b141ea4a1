// Calls of linear weights: by the nest that is linear in the lengths, and by the reference.
#pragma once

#include "call/backward_call.h"
#include "call/call.h"
#include "reference/reference_attention.h"
#include "runtime/linear/linear.h"

namespace flexjit::engine {

// Where the queries and keys of sequences meet; of those that have queries, or of all.
enum class WithoutQueries : std::uint8_t { kLeftOut, kKept };
std::vector<runtime::LinearWork> linear_work_of(const LinearPattern& linear, const Call& call, WithoutQueries which);

// Gradients of a checked call; a pattern without gates.
Result<RunStats> backward_linear(const Attention::Impl& impl, const RunArgs& forward, const Gradients& gradients,
                                 const BackwardCall& call);

// A checked call on the pattern's own kernel.
Result<RunStats> attend_linear(const Attention::Impl& impl, const RunArgs& args, const Call& call);

Result<RunStats> attend_linear_by_reference(const Pattern& pattern, const Launch& launch, const Call& call,
                                            const reference::ReferenceQueries& queries);

// The matrix of a call's feature map, as kernels read it; none of a map without one.
runtime::FeatureMatrix feature_matrix_of(const Pattern& pattern, const Bound& bound, const plan::KernelLayout& layout);

}  // namespace flexjit::engine
