// Program -> at which loop each node is computed: once a work item, once a query row, once a key column, once a diagonal
// (kv_idx - q_idx) of a tile, or per score.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "plan/kernel_key.h"

namespace flexjit::plan {

enum class Level : std::uint8_t { kUniform, kRow, kColumn, kDiagonal, kElement };
std::string_view name_of(Level level);

// An int node (not a long) as q * q_idx + kv * kv_idx + something uniform, in wrapping arithmetic.
struct Slopes {
  bool known = false;
  std::int32_t q = 0;
  std::int32_t kv = 0;
};

// A condition of a guard: the bool node is true, or false.
struct GuardCondition {
  ir::Id id;
  bool holds = true;
};

struct Hoisting {
  static constexpr std::int32_t kNoSlot = -1;

  std::vector<Level> level;    // by node
  std::vector<Slopes> slopes;  // by node
  // Slots in the row, column and diagonal tables of the scratch, kNoSlot where a node is not stored; a value takes width_of
  // slots, from the one that is named on. `flag` slots hold whether a checked read was in range.
  std::vector<std::int32_t> value_slot;
  std::vector<std::int32_t> flag_slot;
  std::int32_t row_slots = 0;
  std::int32_t column_slots = 0;
  std::int32_t diagonal_slots = 0;
  // By node: slot in the tables of least and greatest values, by group of rows or panel of columns; for stored int and bool
  // nodes of the mask whose range does not follow from the indices.
  std::vector<std::int32_t> range_slot;
  std::int32_t row_range_slots = 0;
  std::int32_t column_range_slots = 0;

  // By node: a read whose lanes lie side by side where its buffer's innermost stride is 1: its last index is kv_idx plus
  // something that is the same for all lanes, and so are its other indices.
  std::vector<bool> contiguous;

  // By node: a checked read whose guard varies with more than its indices. It is read where its indices are known and inside
  // the buffer, whatever the guard; the guard says which pairs an index outside is an error of. `early` are those of its
  // conditions, all of which must hold, that are known where it is read: some of them, so that an index is seldom found outside
  // in vain.
  std::vector<bool> late_guard;
  std::vector<std::vector<GuardCondition>> early;

  std::vector<bool> in_mask;       // by node: the mask root reaches it
  std::vector<bool> in_score;      // by node: the score root reaches it
  std::vector<bool> in_factor;     // by node: the weight factor root reaches it
  std::vector<bool> in_gradient;   // by node: the gradient of the score or an accumulation reaches it
  std::vector<bool> in_diagonal;   // by node: a diagonal node reaches it, or is it
  std::int32_t score_cost = 0;     // vector instructions a score, roughly, of the element-level part of the score
  std::int32_t gradient_cost = 0;  // likewise of what the gradients need beside the score
  bool checks_elements = false;    // an element-level read is not proved in range
};

// Up to this many instructions a score are cheaper in registers, 24 copies and all, than through one store and load.
inline constexpr std::int32_t kRegisterEpilogueCost = 8;

// Table entries of 4 bytes that a node's value takes: 2 for longs and for the floats of fp64 kernels.
std::int32_t width_of(const ir::Program& program, ir::Id id);

// Vector instructions of a node on lanes, roughly: only the order of magnitude matters.
std::int32_t cost_of(const ir::Program& program, const Hoisting& hoisting, ir::Id id);

// By node: the same for all pairs of one kv_idx - q_idx, whatever they are, and found without reading memory.
std::vector<bool> functions_of_diagonals(const ir::Program& program, const Hoisting& hoisting);

// The rows of a decode item belong to several query heads, so that there h varies by row; and they are too few for tables of
// diagonals and ranges.
Hoisting hoist(const ir::Program& program, Nest nest);

}  // namespace flexjit::plan
