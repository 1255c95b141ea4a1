// Mask program + environment -> BlockMask, by quadtree descent with interval analysis, over blocks and then inside them; what
// intervals cannot decide is either evaluated exactly or, for one call, left partial where deciding it would cost more than it
// can save.
#pragma once

#include <functional>
#include <optional>
#include <vector>

#include "flexjit/block_mask.h"
#include "ir/evaluate/environment.h"
#include "ir/evaluate/interpreter.h"
#include "ir/program/program.h"

namespace flexjit::mask {

enum class Undecided : std::uint8_t {
  kEvaluate,     // any and all over every element: exact
  kDecideCheap,  // few representatives of a block or none are looked at: sound, for one call's scheduling
  kLeavePartial  // no element is evaluated: sound
};

// What is already known of the mask: blocks of a mask of the same block sizes and planes. Of a shorter mask those blocks count
// that lie whole inside its lengths.
struct Known {
  const BlockMask* mask = nullptr;  // null: nothing
  bool partial = true;              // its partial blocks are partial for certain, not just undecided
};

inline constexpr std::int64_t kNoBudget = std::int64_t{1} << 62;

struct ClassifyRequest {
  BlockMaskShape shape;      // batch and heads as wanted; reduced to 1 where the mask does not read them
  std::int32_t first_b = 0;  // the batch entry of the first plane
  Undecided undecided = Undecided::kEvaluate;
  Known known{};
  bool list_evaluated = false;  // fill Classified::evaluated_blocks
  // What a batch entry may take, in nodes of the program that are analysed, some ten nanoseconds each: rectangles that are
  // still open then are left partial. Spread evenly over the mask, and counted, so that a plane always has the same mask,
  // whatever else the machine or the batch holds. Not for kEvaluate.
  std::int64_t budget = kNoBudget;
};

// The planes that a mask needs: batch or heads reduced to 1 when it reads neither b (h, kv_head) nor anything that depends on
// them.
BlockMaskShape broadcast_shape(const ir::Program& program, BlockMaskShape shape);

struct Classified {
  std::optional<BlockMask> mask;
  std::optional<ir::ReadFault> fault;  // a read out of range while evaluating: no mask then
  std::int64_t proved = 0;             // full and empty blocks decided without evaluating a pair: by intervals, or by
                                       // what varies with one index alone
  std::int64_t evaluated = 0;          // blocks of which pairs were evaluated, whatever they turned out to be
  std::vector<BlockPosition> evaluated_blocks;
  std::int64_t work = 0;  // what it took, as ClassifyRequest::budget counts
};

Classified classify(const ir::Program& program, const ir::Environment& environment, const ClassifyRequest& request);

}  // namespace flexjit::mask
