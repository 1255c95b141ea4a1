// Where a mask repeats along its diagonal: over which distance both indices can move so that every integer division and
// remainder moves by whole numbers, and whether the mask of a box is then the same. Windows, strides, frames and images that
// are cut out by
// `//` and `%` repeat but for their borders, so that rows of blocks can be copied.
#pragma once

#include <cstdint>
#include <vector>

#include "ir/analysis/intervals.h"
#include "mask/derive/box_prover.h"

namespace flexjit::mask {

class Repetition {
 public:
  // Arguments must outlive it.
  Repetition(const ir::Program& program, std::span<const Dependence> varies)
      : program_(program), varies_(varies), moves_(program.size()) {}

  // The least distance that is a multiple of `unit` and suits all divisions by constants of one index, whose ranges in the
  // plane are given; 0 where it is more than `longest`. A guess: holds() decides.
  std::int64_t distance(std::span<const ir::Range> plane, std::int64_t unit, std::int64_t longest) const;

  // How far the indices move.
  struct Move {
    std::int64_t q = 0, kv = 0;
  };
  // Whether mask(q + move.q, kv + move.kv) == mask(q, kv) wherever both pairs lie in the box that the prover analysed last, by
  // `nodes`. Sound: an int that may wrap and what is not understood hold for nothing.
  bool holds(const BoxProver& prover, Nodes nodes, const Move& move);

 private:
  std::int64_t move_of(ir::Id id, const BoxProver& prover, const Move& move) const;
  std::int64_t move_of_whole(ir::Id id, std::span<const ir::Range> ranges) const;

  const ir::Program& program_;
  std::span<const Dependence> varies_;
  std::vector<std::int64_t> moves_;  // by node: by how much its value moves with the indices, 0 for a bool that stays
};

}  // namespace flexjit::mask
