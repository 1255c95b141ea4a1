// What a launch works through: sequences, each with its block mask.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "flexjit/block_mask.h"
#include "plan/operands.h"

namespace flexjit::runtime {

struct SequenceWork {
  const plan::Sequence* sequence = nullptr;
  const BlockMask* mask = nullptr;  // of its lengths; null: every pair is allowed
  std::int32_t plane = 0;           // its batch entry in the mask

  // Whether both visit the same keys.
  bool same_plan(const SequenceWork& other) const {
    return mask == other.mask && plane == other.plane && sequence->q_len == other.sequence->q_len &&
           sequence->kv_len == other.sequence->kv_len && !sequence->has_holes && !other.sequence->has_holes;
  }
};

// The sequences of a call that have one mask, whose lengths are theirs; its batch and heads are 1 or those of the call. `mask`
// may be null.
std::vector<SequenceWork> work_of(std::span<const plan::Sequence> sequences, const BlockMask* mask);

// Keys [begin, end).
struct KeyRange {
  std::int32_t begin = 0, end = 0;
};
// Those that lie in holes, ascending, joined. Replaces `holes`.
void find_holes(const plan::Sequence& sequence, std::int32_t page_size, std::vector<KeyRange>& holes);

}  // namespace flexjit::runtime
