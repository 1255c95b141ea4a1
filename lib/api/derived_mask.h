// The block mask that a call needs and did not bring: from the pattern's mask, for the call's lengths and parameters. Blocks
// that intervals cannot decide stay partial.
#pragma once

#include <memory>
#include <vector>

#include "ir/environment.h"
#include "mask/classify.h"
#include "support/fork_gate.h"

namespace flexjit::api {

// Keeps the last mask that was made, as calls of one handle (the layers of a model, the steps of a loop) mostly repeat their
// shapes. A mask that reads buffers is made anew each time: their contents may have changed. Thread-safe.
class DerivedMask {
 public:
  using Shared = std::shared_ptr<const BlockMask>;

  explicit DerivedMask(const ir::Program& program);
  // Null: the program has no mask.
  Shared get(const ir::Program& program, const ir::Environment& environment, const BlockMaskShape& wanted);

 private:
  // What a mask without buffers depends on.
  struct Inputs {
    BlockMaskShape shape;
    std::int32_t num_kv_heads = 0;
    std::vector<Scalar> params;
    bool operator==(const Inputs&) const = default;
  };

  bool reads_buffers_ = false;
  support::Mutex mutex_;
  Inputs inputs_;
  Shared mask_;
};

}  // namespace flexjit::api
