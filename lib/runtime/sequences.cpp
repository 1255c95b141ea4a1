// The simple lists of sequences.h.
#include "runtime/sequences.h"

#include <algorithm>

#include "support/check.h"

namespace flexjit::runtime {

std::vector<SequenceWork> work_of(std::span<const plan::Sequence> sequences, const BlockMask* mask) {
  std::vector<SequenceWork> work;
  work.reserve(sequences.size());
  for (const plan::Sequence& sequence : sequences) {
    SequenceWork& one = work.emplace_back(SequenceWork{.sequence = &sequence, .mask = mask});
    if (mask == nullptr) continue;
    const BlockMaskShape& shape = mask->shape();
    FLEXJIT_CHECK(shape.q_len == sequence.q_len && shape.kv_len == sequence.kv_len);
    one.plane = shape.batch == 1 ? 0 : sequence.b;
  }
  return work;
}

void find_holes(const plan::Sequence& sequence, std::int32_t page_size, std::vector<KeyRange>& holes) {
  holes.clear();
  if (!sequence.has_holes) return;
  for (std::int32_t begin = 0; begin < sequence.kv_len; begin += page_size) {
    if (sequence.pages[begin / page_size] >= 0) continue;
    const auto end = static_cast<std::int32_t>(std::min<std::int64_t>(std::int64_t{begin} + page_size, sequence.kv_len));
    if (!holes.empty() && holes.back().end == begin) {
      holes.back().end = end;
    } else {
      holes.push_back({begin, end});
    }
    if (end == sequence.kv_len) break;
  }
}

}  // namespace flexjit::runtime
