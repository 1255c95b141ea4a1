// Program -> at which loop each node is computed: once a work item, once a query row, once a key column, or per score.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "ir/program.h"

namespace flexjit::plan {

enum class Level : std::uint8_t { kUniform, kRow, kColumn, kElement };
std::string_view name_of(Level level);

struct Hoisting {
  static constexpr std::int32_t kNoSlot = -1;

  std::vector<Level> level;  // by node
  // Slots in the row and column tables of the scratch, kNoSlot where a node is not stored. `flag` slots hold whether a
  // checked read was in range.
  std::vector<std::int32_t> value_slot;
  std::vector<std::int32_t> flag_slot;
  std::int32_t row_slots = 0;
  std::int32_t column_slots = 0;

  std::vector<bool> in_mask;     // by node: the mask root reaches it
  std::vector<bool> in_score;    // by node: the score root reaches it
  std::int32_t score_cost = 0;   // vector instructions a score, roughly, of the element-level part of the score
  bool checks_elements = false;  // an element-level read is not proved in range
};

Hoisting hoist(const ir::Program& program);

}  // namespace flexjit::plan
