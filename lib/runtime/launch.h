// Compiled kernel + the caller's tensors -> the output: packing, cost-balanced scheduling of query tiles over threads, and
// the collection of read faults. Knows no IR and no LLVM.
#pragma once

#include <optional>
#include <span>

#include "plan/kernel_key.h"
#include "plan/operands.h"
#include "runtime/sequences.h"
#include "runtime/traced.h"

namespace flexjit::runtime {

// Null: an entry of another nest.
struct Kernel {
#define FLEXJIT_ENTRY(nest, name, function, type) plan::type function = nullptr;
#include "plan/nests.def"
  plan::KernelLayout layout;
};

struct LaunchOutcome {
  std::optional<plan::FaultArg> fault;  // of the first work item, in (sequence, h, q) order, that raised one
  std::int64_t scores_visited = 0;
};

// Runs the whole launch on the threads of `workers`: all heads of the sequences of `work`, whose queries are not the same rows.
// Deterministic for every thread count.
LaunchOutcome launch(const Kernel& kernel, const plan::Operands& operands, std::span<const SequenceWork> work,
                     const Workers& workers);

}  // namespace flexjit::runtime
