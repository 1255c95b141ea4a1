// Mask program + environment -> BlockMask, by quadtree descent with interval analysis, over blocks and then inside them; what
// intervals cannot decide is either evaluated exactly or left partial.
#pragma once

#include <functional>
#include <optional>
#include <vector>

#include "flexjit/block_mask.h"
#include "ir/environment.h"
#include "ir/interpreter.h"
#include "ir/program.h"

namespace flexjit::mask {

enum class Undecided : std::uint8_t {
  kEvaluate,     // any and all over every element: exact
  kLeavePartial  // no element is evaluated: sound, for one call's scheduling
};

// What is already known of the mask: blocks of a mask of the same block sizes and planes. Of a shorter mask those blocks count
// that lie whole inside its lengths.
struct Known {
  const BlockMask* mask = nullptr;  // null: nothing
  bool partial = true;              // its partial blocks are partial for certain, not just undecided
};

struct ClassifyRequest {
  BlockMaskShape shape;  // batch and heads as wanted; reduced to 1 where the mask does not read them
  Undecided undecided = Undecided::kEvaluate;
  Known known{};
  bool list_evaluated = false;  // fill Classified::evaluated_blocks
};

// The planes that a mask needs: batch or heads reduced to 1 when it reads neither b (h, kv_head) nor anything that depends on
// them.
BlockMaskShape broadcast_shape(const ir::Program& program, BlockMaskShape shape);

struct Classified {
  std::optional<BlockMask> mask;
  std::optional<ir::ReadFault> fault;  // a read out of range while evaluating: no mask then
  std::int64_t proved = 0;             // full and empty blocks decided by intervals alone
  std::int64_t evaluated = 0;          // blocks of which elements were evaluated, whatever they turned out to be
  std::vector<BlockPosition> evaluated_blocks;
};

Classified classify(const ir::Program& program, const ir::Environment& environment, const ClassifyRequest& request);

}  // namespace flexjit::mask
