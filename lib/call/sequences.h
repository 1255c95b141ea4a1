// Sequences of a call -> where each lies and how long it is, checked.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "call/validate.h"
#include "flexjit/attention.h"
#include "plan/operands.h"

namespace flexjit::engine {

struct CheckedSequences {
  std::vector<plan::Sequence> sequences;
  std::int32_t page_size = 0;
};

// `shape` is that of the tensors: batch of q, kv_len and batch of k as they are. On return it is that of the call: the number
// of sequences, the longest lengths. No value where the report has findings.
std::optional<CheckedSequences> check_sequences(const RunArgs& args, CallShape& shape, Report& report);

}  // namespace flexjit::engine
