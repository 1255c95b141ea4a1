// The block mask that a call needs and did not bring: from the pattern's mask, for the call's lengths and parameters. What
// would take longer to decide than it can save stays partial.
#pragma once

#include <deque>
#include <memory>
#include <utility>
#include <vector>

#include "ir/evaluate/environment.h"
#include "mask/derive/classify.h"
#include "plan/kernel_key.h"
#include "support/fork_gate.h"

namespace flexjit::engine {

// What deriving a batch entry's mask may take, in nodes analysed (see mask::ClassifyRequest): a sixteenth of the time that one
// thread would need if the mask forbade nothing. Then either most of that time is left, of which a sixteenth is little, or the
// mask saved most of it. From lengths and tiles alone, so that neither the machine's load, nor the number of threads, nor other
// batch entries decide the mask, on which the bits of the result depend.
std::int64_t derivation_budget(const plan::KernelLayout& layout, const BlockMaskShape& call);

// Keeps the last masks that were made, as calls of one handle (the layers of a model, the steps of a loop) mostly repeat their
// shapes. A mask that reads buffers is made anew for each call: their contents may have changed. Thread-safe.
class DerivedMask {
 public:
  using Shared = std::shared_ptr<const BlockMask>;

  explicit DerivedMask(const ir::Program& program);
  // Planes from batch entry `first_b` on.
  struct Wanted {
    BlockMaskShape shape;
    std::int32_t first_b = 0;
    std::int64_t budget = 0;
  };
  // Null: the program has no mask.
  Shared get(const ir::Program& program, const ir::Environment& environment, const Wanted& wanted);

  // What a mask depends on beside the contents of buffers.
  struct Inputs {
    BlockMaskShape shape;
    std::int32_t first_b = 0;  // 0 where the mask does not read it, as the offsets
    std::int32_t q_offset = 0, kv_offset = 0;
    std::int32_t num_kv_heads = 0;
    std::vector<Scalar> params;
    bool operator==(const Inputs&) const = default;
  };
  Inputs inputs_of(const ir::Environment& environment, const Wanted& wanted) const;
  bool reads_buffers() const { return reads_buffers_; }

 private:
  static constexpr std::size_t kKept = 16;
  static constexpr std::int64_t kKeptBlocks = 1 << 20;  // listed in all of them

  bool reads_buffers_ = false, reads_b_ = false, reads_offsets_ = false;
  support::Mutex mutex_;
  std::deque<std::pair<Inputs, Shared>> kept_;  // the newest first
};

}  // namespace flexjit::engine
