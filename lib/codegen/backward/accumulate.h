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
  // Before the first pair of an item, and behind its last.
  void emit_begin();
  void emit_end();
  // What the pairs of one vector add, whose values are in `scope`. allowed: empty: all of them count.
  void emit_add(const Scope& scope, Index row, Bool allowed);

 private:
  // How the elements lie that the lanes of a vector add to.
  enum class Lie : std::uint8_t { kOne, kAscending, kDescending, kAnywhere };
  struct Sum {
    ir::Id id;
    Lie lie = Lie::kAnywhere;
    bool by_row = false;    // of kOne: each row has an element of its own
    std::int64_t slot = 0;  // of kOne: among the sums of lanes
    bool of_dot = false;    // a row of values
  };
  // A buffer's gradient; strides in reals.
  struct Target {
    Ptr data;
    llvm::SmallVector<Index, 4> strides;
  };

  Sum sum_of(ir::Id id, std::int64_t& slots) const;
  std::span<const ir::Id> indices_of(ir::Id id) const;         // of the element that is added to; of a dot, those of its row
  std::span<const ir::Id> other_indices_of(ir::Id dot) const;  // of the row that is multiplied
  const Target& target_of(ir::Id id) const;
  Ptr lane_sums_at(const Sum& sum, Index row) const;
  Ptr lane_offsets(int which) const;

  Bool inside(const Scope& scope, ir::Id id) const;  // empty: proved
  Int offset(const Scope& scope, std::span<const ir::Id> indices, llvm::ArrayRef<Index> strides) const;
  void add_to_element(const Target& target, Index offset, Float value) const;
  void add_side_by_side(const Scope& scope, const Sum& sum, Float value) const;
  void add_one_by_one(const Scope& scope, const Sum& sum, Bool lanes, Float value) const;
  void add_dot_row(const Sum& sum, Index lane, Float value) const;
  void flush(const Scope& scope, const Sum& sum, Index row) const;

  Emitter& e_;
  PairTile& t_;
  const std::int64_t section_;
  std::vector<BufferFields> buffers_;
  std::vector<Target> targets_;  // by slot of a buffer; only those that are added to
  std::vector<Sum> sums_;
};

}  // namespace flexjit::codegen
