// Where the values of captured buffers change along q_idx and kv_idx: the ends of documents, images, prefixes. A box that ends
// there has one value a buffer, and what interval analysis then says about it is a proof; a box cut in its middle has both.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "ir/evaluate/interpreter.h"
#include "ir/program/program.h"

namespace flexjit::mask {

// Inclusive.
struct Positions {
  std::int32_t lo = 0, hi = 0;
  bool operator==(const Positions&) const = default;
};

// The pieces along one index, `axis`: kQIdx or kKvIdx.
class BufferPieces {
 public:
  // Buffers with pieces shorter than this on average are taken as unsteady: boxes that small are better evaluated.
  static constexpr std::int32_t kShortPiece = 4;

  // Arguments must outlive it.
  BufferPieces(const ir::Program& program, const ir::Environment& environment, ir::Op axis)
      : program_(program), environment_(environment), axis_(axis) {}

  // Chooses the positions that are asked about next, within the plane of batch entry b and head h. Computes nothing yet.
  void look_at(std::int32_t b, std::int32_t h, Positions positions) { b_ = b, h_ = h, positions_ = positions; }
  // The position in (lo, hi] where a piece begins, the one nearest to the middle; none: the buffers are steady from lo to hi,
  // which lie in the positions that were chosen.
  std::optional<std::int32_t> split(Positions positions);

 private:
  // A read whose indices vary along the axis alone, as a program whose mask is true where its value at kv_idx differs from that
  // at kv_idx - 1.
  struct Change {
    explicit Change(ir::Program changed, const ir::Environment& environment)
        : program(std::move(changed)), interpreter(program, environment) {}
    ir::Program program;
    ir::Interpreter interpreter;
  };
  // Blocks are met in an order that comes back to a window soon, or not at all.
  struct Window {
    Positions positions;
    std::int32_t b = 0, h = 0;
    bool known = false;                // begins
    std::vector<std::int32_t> begins;  // ascending
  };
  void make_changes();
  const Window& window();
  void add_pieces_of(Change& change, Window& window);

  static constexpr std::size_t kWindows = 64;
  const ir::Program& program_;
  const ir::Environment& environment_;
  ir::Op axis_;
  bool made_ = false;  // changes_, on first use: most masks never need them
  std::vector<std::unique_ptr<Change>> changes_;
  std::vector<Window> windows_;  // by their place; none before the first that is needed
  std::int32_t b_ = 0, h_ = 0;   // where is looked at
  Positions positions_;
  std::vector<std::int32_t> found_;  // of one read
};

}  // namespace flexjit::mask
