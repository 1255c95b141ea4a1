// plan::hoist on random programs: levels against what each node can be reached from, and tables in which every value that a
// later loop loads has a place of its own.
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "codegen/random_masks.h"
#include "ir/passes/passes.h"
#include "ir/random_ir.h"
#include "plan/hoisting.h"

namespace flexjit::plan {
namespace {

constexpr std::uint64_t kPrograms = 1500;

bool is_checked(const ir::Program& program, ir::Id id) {
  const ir::Op op = program.node(id).op;
  return (op == ir::Op::kRead && program.read(id).checked) || (op == ir::Op::kDot && program.dot(id).checked);
}

// The variables of the loops that a node's place depends on: all that it is computed from, but for the guards of checked reads,
// which are made without asking.
struct Varies {
  bool row = false, column = false, score = false;
};

std::vector<Varies> variables(const ir::Program& program, Nest nest) {
  std::vector<Varies> all(program.size());
  for (std::uint32_t i = 0; i < program.size(); ++i) {
    const ir::Op op = program.node(ir::Id{i}).op;
    Varies& own = all[i];
    own.row = op == ir::Op::kQIdx || (nest == Nest::kDecode && op == ir::Op::kHead);
    own.column = op == ir::Op::kKvIdx;
    own.score = op == ir::Op::kScore;
    const auto operands = program.operands(ir::Id{i});
    for (std::size_t o = is_checked(program, ir::Id{i}) ? 1 : 0; o < operands.size(); ++o) {
      const Varies& of = all[operands[o].index];
      own = {own.row || of.row, own.column || of.column, own.score || of.score};
    }
  }
  return all;
}

void expect_levels(const ir::Program& program, Nest nest, const Hoisting& hoisting) {
  const std::vector<Varies> varies = variables(program, nest);
  for (std::uint32_t i = 0; i < program.size(); ++i) {
    const Varies& v = varies[i];
    const Level level = hoisting.level[i];
    if (v.score) {
      ASSERT_EQ(level, Level::kElement) << "node " << i;
    } else if (v.row && v.column) {
      ASSERT_TRUE(level == Level::kElement || (level == Level::kDiagonal && nest == Nest::kPrefill)) << "node " << i;
    } else {
      ASSERT_EQ(level, v.row ? Level::kRow : v.column ? Level::kColumn : Level::kUniform) << "node " << i;
    }
    // A guard is late where it says more than is known when its read is made.
    if (!is_checked(program, ir::Id{i})) {
      ASSERT_FALSE(hoisting.late_guard[i]);
      continue;
    }
    if (level == Level::kDiagonal) continue;  // which varies with both, but in one way
    const Varies& guard = varies[program.operand(ir::Id{i}, 0).index];
    const bool more = (guard.score && !v.score) || (guard.row && !v.row) || (guard.column && !v.column);
    ASSERT_EQ(hoisting.late_guard[i], more && level != Level::kElement) << "node " << i;
    for (const GuardCondition& early : hoisting.early[i]) {
      const Varies& known = varies[early.id.index];
      ASSERT_TRUE((!known.row || v.row) && (!known.column || v.column) && !known.score) << "node " << i;
    }
  }
}

// The table of a level: every value and every flag inside it, none over another.
void expect_table(const ir::Program& program, const Hoisting& hoisting, Level level, std::int32_t slots) {
  std::set<std::int32_t> taken;
  const auto take = [&](std::int32_t slot, std::int32_t width) {
    for (std::int32_t s = slot; s < slot + width; ++s) {
      ASSERT_TRUE(s >= 0 && s < slots) << "slot " << s << " of " << slots;
      ASSERT_TRUE(taken.insert(s).second) << "slot " << s << " is taken twice";
    }
  };
  for (std::uint32_t i = 0; i < program.size(); ++i) {
    if (hoisting.level[i] != level) continue;
    if (hoisting.value_slot[i] != Hoisting::kNoSlot) take(hoisting.value_slot[i], width_of(program, ir::Id{i}));
    if (hoisting.flag_slot[i] != Hoisting::kNoSlot) take(hoisting.flag_slot[i], 1);
    ASSERT_EQ(hoisting.flag_slot[i] != Hoisting::kNoSlot, is_checked(program, ir::Id{i})) << "node " << i;
  }
  ASSERT_EQ(static_cast<std::int32_t>(taken.size()), slots) << "an unused slot";
}

bool has_table(Level level) { return level == Level::kRow || level == Level::kColumn || level == Level::kDiagonal; }

void expect_what_elements_load(const ir::Program& program, const Hoisting& hoisting) {
  for (std::uint32_t i = 0; i < program.size(); ++i) {
    if (hoisting.level[i] != Level::kElement) continue;
    for (ir::Id operand : program.operands(ir::Id{i})) {
      if (has_table(hoisting.level[operand.index])) {
        ASSERT_NE(hoisting.value_slot[operand.index], Hoisting::kNoSlot) << "operand " << operand.index << " of " << i;
      }
    }
  }
  for (ir::Id root : {program.score(), program.mask()}) {
    if (root.valid() && has_table(hoisting.level[root.index])) {
      ASSERT_NE(hoisting.value_slot[root.index], Hoisting::kNoSlot) << "root " << root.index;
    }
  }
}

void expect_consistent(const ir::Program& program, Nest nest) {
  const Hoisting hoisting = hoist(program, nest);
  expect_levels(program, nest, hoisting);
  expect_table(program, hoisting, Level::kRow, hoisting.row_slots);
  expect_table(program, hoisting, Level::kColumn, hoisting.column_slots);
  expect_table(program, hoisting, Level::kDiagonal, hoisting.diagonal_slots);
  expect_what_elements_load(program, hoisting);
}

TEST(Hoisting, RandomProgramsHaveTheirLevelsAndTables) {
  std::int64_t rows = 0, columns = 0, diagonals = 0, late = 0;
  for (std::uint64_t seed = 0; seed < kPrograms; ++seed) {
    // Any operations on one half of them; on the other, masks that say something of distances.
    const ir::Program program =
        seed % 2 == 0 ? ir::test::random_ir(seed, ir::test::ScoreUse::kInTail).program : test::random_mask(seed);
    for (const Nest nest : {Nest::kPrefill, Nest::kDecode}) {
      expect_consistent(program, nest);
      if (::testing::Test::HasFatalFailure()) {
        FAIL() << "seed " << seed << ", " << name_of(nest) << "\n" << ir::print(program);
      }
    }
    const Hoisting hoisting = hoist(program, Nest::kPrefill);
    rows += hoisting.row_slots, columns += hoisting.column_slots, diagonals += hoisting.diagonal_slots;
    late += std::ranges::count(hoisting.late_guard, true);
  }
  // Everything was met, or the test would show little.
  EXPECT_GT(std::min({rows, columns}), static_cast<std::int64_t>(kPrograms));
  EXPECT_GT(diagonals, static_cast<std::int64_t>(kPrograms) / 100);
  EXPECT_GT(late, static_cast<std::int64_t>(kPrograms) / 50);
}

}  // namespace
}  // namespace flexjit::plan
