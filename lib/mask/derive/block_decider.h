// One block that no proof decides as a whole -> whether it has an allowed and a forbidden part. Few representatives decide it
// where they are cheaper than boxes; else a few pairs are analysed, because most blocks that are left are partial, then the
// block is descended into, cut where captured buffers and divisions begin something new. Boxes too small to be worth an
// analysis, and blocks that take too many of them, are evaluated row by row.
#pragma once

#include <array>
#include <optional>

#include "ir/evaluate/interpreter.h"
#include "mask/derive/axis_breaks.h"
#include "mask/derive/buffer_pieces.h"
#include "mask/derive/representatives.h"

namespace flexjit::mask {

// What was seen of a block.
struct Parts {
  Seen seen;
  bool evaluated = false;  // some of it by evaluating pairs
  bool faulty = false;     // a read was out of range: the descent ends

  bool are_enough() const { return faulty || seen.both(); }
};

// Where a fault was met, ordered as errors are reported.
struct LocatedFault {
  std::int32_t q_idx = 0;
  std::int32_t kv_begin = 0;
  ir::ReadFault fault;

  bool before(const LocatedFault& other) const { return std::pair(q_idx, kv_begin) < std::pair(other.q_idx, other.kv_begin); }
};

// Arguments must outlive it.
class BlockDecider {
 public:
  BlockDecider(const ir::Program& program, const ir::Environment& environment, BoxProver& prover,
               Representatives& representatives)
      : program_(program),
        environment_(environment),
        prover_(prover),
        representatives_(representatives),
        q_pieces_(program, environment, ir::Op::kQIdx),
        kv_pieces_(program, environment, ir::Op::kKvIdx) {}

  void start_plane(const AxisBreaks& breaks) { breaks_ = &breaks, fault_.reset(); }
  // `open`: what BoxProver found to be, just before, over the block or a box with it inside. Exact.
  // From few representatives alone. None: these do not decide it.
  std::optional<Parts> decide_by_few(const ir::Box& block, Nodes open);
  // Where those did not.
  Parts decide(const ir::Box& block, Nodes open);
  // From few representatives alone; both parts are taken as seen where these do not decide the block.
  Parts decide_cheap(const ir::Box& block, Nodes open);
  // Of the plane so far, the first in the order of rows.
  const std::optional<LocatedFault>& fault() const { return fault_; }

 private:
  // Where a box is cut in four; a begin of the box for no cut along that index.
  struct Cut {
    std::int32_t q, kv;
  };

  bool is_dear(Nodes open) const;
  bool varies_with_one_index(Nodes open) const;
  void probe(const ir::Box& box, Parts& parts);
  std::optional<Cut> cut_of(const ir::Box& box);
  void look_inside(const ir::Box& box, Parts& parts);
  void evaluate(const ir::Box& box, Parts& parts);
  void evaluate_row(const ir::Box& box, std::int32_t q, Parts& parts);

  const ir::Program& program_;
  const ir::Environment& environment_;
  BoxProver& prover_;
  Representatives& representatives_;
  BufferPieces q_pieces_, kv_pieces_;
  const AxisBreaks* breaks_ = nullptr;
  std::optional<ir::Interpreter> interpreter_;  // made when it is needed first
  Nodes open_;                                  // of the block
  std::int64_t patience_ = 0;                   // the prover's work at which the descent into the block ends
  std::array<std::uint8_t, ir::Interpreter::kMaxCount> allowed_{};
  std::optional<LocatedFault> fault_;
};

}  // namespace flexjit::mask
