// The accumulations of a program -> sums in memory: what the pairs of a tile add to the gradients of captured buffers. Lanes
// that add to one element are added up in the scratch first; lanes side by side are added at once, others one by one, in their
// order.
#pragma once

#include <vector>

#include "codegen/parts/pair_tile.h"

namespace flexjit::codegen {

class Accumulations {
 public:
  // `sums`: plan::SumArg by slot of a buffer. `section`: byte offset in the tile's scratch of plan::BackwardScratch::sums.
  Accumulations(PairTile& tile, Ptr sums, std::int64_t section);

  bool none() const { return sums_.empty(); }
  // Before the first pair of an item, and behind its last; of a key tile likewise.
  void emit_begin();
  void emit_end();
  void emit_tile_begin(const KeyTile& keys);
  void emit_tile_end(const KeyTile& keys);
  // What the pairs of one vector add, whose values are in `scope`. allowed: empty: all of them count.
  void emit_add(const Scope& scope, Index row, Index column, Bool allowed);

 private:
  // How the elements lie that the lanes of a vector add to.
  enum class Lie : std::uint8_t { kOne, kAscending, kDescending, kAnywhere };
  // What is added up in the scratch first: each row in lanes of its own, which are one element's, or all rows' if it is the
  // same for them; or the diagonals of a key tile, rows in turn in copies of their own, so that no row waits for the one
  // before.
  enum class First : std::uint8_t { kNothing, kLanes, kLanesOfRow, kDiagonals };
  struct Sum {
    ir::Id id;
    Lie lie = Lie::kAnywhere;
    First first = First::kNothing;
    std::int64_t section = 0;  // of what is added up first, in bytes
    bool of_dot = false;       // a row of values
  };
  // A buffer's gradient; strides in reals.
  struct Target {
    Ptr data;
    llvm::SmallVector<Index, 4> strides;
  };

  Sum sum_of(ir::Id id) const;
  std::span<const ir::Id> indices_of(ir::Id id) const;         // of the element that is added to; of a dot, those of its row
  std::span<const ir::Id> other_indices_of(ir::Id dot) const;  // of the row that is multiplied
  const Target& target_of(ir::Id id) const;
  Ptr lanes_at(const Sum& sum, Index row) const;
  Ptr diagonals_at(const Sum& sum, Index copy, Index diagonal) const;
  Index diagonals_of(const KeyTile& keys) const;  // how many there are, in whole vectors
  Ptr lane_offsets(int which) const;

  Bool inside(const Scope& scope, ir::Id id) const;  // empty: proved
  Int offset(const Scope& scope, std::span<const ir::Id> indices, llvm::ArrayRef<Index> strides) const;
  void add_to_element(const Target& target, Index offset, Float value) const;
  void add_side_by_side(const Scope& scope, const Sum& sum, Float value) const;
  void add_one_by_one(const Scope& scope, const Sum& sum, Bool lanes, Float value) const;
  void add_dot_row(const Sum& sum, Index lane, Float value) const;
  void add_lanes(const Scope& scope, const Sum& sum, Bool lanes, Float value) const;
  void add_to_vector(Ptr at, Bool lanes, Float value) const;
  Float all_rows(const Sum& sum) const;
  void flush(const Scope& scope, const Sum& sum, Float lanes) const;
  void flush_diagonals(const Sum& sum, const KeyTile& keys) const;

  Emitter& e_;
  PairTile& t_;
  const std::int64_t section_;
  std::vector<BufferFields> buffers_;
  std::vector<Target> targets_;  // by slot of a buffer; only those that are added to
  std::vector<Sum> sums_;
};

}  // namespace flexjit::codegen
