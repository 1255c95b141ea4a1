// plan::hoist on programs made by hand: at which loop each node is computed in either nest, which of them have slots in tables,
// and what becomes of reads whose guards are known later than their indices.
#include "plan/hoisting.h"

#include <gtest/gtest.h>

#include <set>

#include "marked_program.h"

namespace flexjit::test {
namespace {

using plan::Hoisting;
using plan::Level;
using plan::Nest;

constexpr Level kUniform = Level::kUniform, kRow = Level::kRow, kColumn = Level::kColumn, kDiagonal = Level::kDiagonal,
                kElement = Level::kElement;

std::vector<Level> levels(const MarkedProgram& made, Nest nest) {
  const Hoisting hoisting = plan::hoist(made.program, nest);
  std::vector<Level> found;
  for (ir::Id id : made.watched) found.push_back(hoisting.level[id.index]);
  return found;
}

// score + float(x): what x is not at the level of, reads it there.
Expression added(Names& n, Expression x) { return apply(ir::Op::kAdd, n.variable(ir::Op::kScore), to_float(x)); }

TEST(Levels, OfWhatVariesWithOneIndex) {
  Names n;
  const Expression length = n.variable(ir::Op::kQLen), param = n.param(ir::Type::kInt), constant = literal(n.q, 3);
  const Expression uniform = length * param + n.b + 3, row = n.q * param + length, column = n.kv % 7, pair = row * column;
  const MarkedProgram made =
      finish(n, {n.b, length, param, constant, uniform, n.q, row, n.kv, column, pair}, {.score = added(n, pair + uniform)});
  const std::vector<Level> expected = {kUniform, kUniform, kUniform, kUniform, kUniform,
                                       kRow,     kRow,     kColumn,  kColumn,  kElement};
  EXPECT_EQ(levels(made, Nest::kPrefill), expected);
  EXPECT_EQ(levels(made, Nest::kDecode), expected);
}

// Rows of a decode item belong to several heads.
TEST(Levels, OfWhatVariesWithTheHead) {
  Names n;
  const Expression of_head = n.h * 5, with_row = of_head + n.q, with_column = of_head + n.kv;
  const MarkedProgram made = finish(n, {n.h, of_head, with_row, with_column}, {.score = added(n, with_row * with_column)});
  EXPECT_EQ(levels(made, Nest::kPrefill), (std::vector<Level>{kUniform, kUniform, kRow, kColumn}));
  EXPECT_EQ(levels(made, Nest::kDecode), (std::vector<Level>{kRow, kRow, kRow, kElement}));
}

TEST(Levels, OfTheScoreAndWhatFollowsFromIt) {
  Names n;
  const Expression score = n.variable(ir::Op::kScore), twice = apply(ir::Op::kAdd, score, score);
  const Expression of_row = to_float(n.q), sum = apply(ir::Op::kAdd, twice, of_row);
  const MarkedProgram made = finish(n, {score, twice, of_row, sum}, {.score = sum});
  for (const Nest nest : {Nest::kPrefill, Nest::kDecode})
    EXPECT_EQ(levels(made, nest), (std::vector<Level>{kElement, kElement, kRow, kElement}));
}

TEST(Levels, OfDiagonals) {
  Names n;
  const Expression distance = n.q - n.kv, bucket = distance % 32, twice = n.kv * 2 - n.q * 2, steep = n.kv * 2 - n.q;
  const Expression uniform = n.param(ir::Type::kInt), shifted = abs(distance + uniform) % 9, tilted = bucket + n.q;
  const Expression all = bucket + twice % 5 + steep % 6 + shifted + tilted;
  const MarkedProgram made = finish(n, {distance, bucket, twice, steep, shifted, tilted}, {.score = added(n, all)});
  EXPECT_EQ(levels(made, Nest::kPrefill), (std::vector<Level>{kDiagonal, kDiagonal, kDiagonal, kElement, kDiagonal, kElement}));
  EXPECT_EQ(levels(made, Nest::kDecode), std::vector<Level>(6, kElement));
  EXPECT_EQ(plan::hoist(made.program, Nest::kDecode).diagonal_slots, 0);
}

// A difference costs no more than the load of one.
TEST(Levels, OfDiagonalsThatAreNotWorthATable) {
  Names n;
  const Expression distance = n.q - n.kv, near = distance < 100;
  const MarkedProgram made = finish(n, {distance, near}, {.mask = near});
  EXPECT_EQ(levels(made, Nest::kPrefill), (std::vector<Level>{kElement, kElement}));
  EXPECT_EQ(plan::hoist(made.program, Nest::kPrefill).diagonal_slots, 0);
}

TEST(Levels, SlopesAreThoseOfLinearNodes) {
  Names n;
  const Expression linear = n.q * 3 - n.kv * 5 + n.b, scaled = linear * -2, bent = linear % 7;
  const MarkedProgram made = finish(n, {linear, scaled, bent}, {.score = added(n, scaled + bent)});
  const Hoisting hoisting = plan::hoist(made.program, Nest::kPrefill);
  const auto slopes = [&](std::size_t i) { return hoisting.slopes[made.watched[i].index]; };
  EXPECT_TRUE(slopes(0).known && slopes(0).q == 3 && slopes(0).kv == -5);
  EXPECT_TRUE(slopes(1).known && slopes(1).q == -6 && slopes(1).kv == 10);
  EXPECT_FALSE(slopes(2).known);
}

TEST(Slots, OfWhatCrossesIntoTheElementLoop) {
  Names n;
  const Expression inner = n.q * n.q, row = inner % 11, column = n.kv % 13, diagonal = (n.q - n.kv) % 17, uniform = n.b % 19;
  const MarkedProgram made =
      finish(n, {inner, row, column, diagonal, uniform}, {.score = added(n, (row * column + diagonal) * uniform)});
  const Hoisting hoisting = plan::hoist(made.program, Nest::kPrefill);
  const auto slot = [&](std::size_t i) { return hoisting.value_slot[made.watched[i].index]; };
  EXPECT_EQ(slot(0), Hoisting::kNoSlot) << "only its own loop needs it";
  EXPECT_EQ(slot(1), 0);
  EXPECT_EQ(slot(2), 0);
  EXPECT_EQ(slot(3), 0);
  EXPECT_EQ(slot(4), Hoisting::kNoSlot) << "a register";
  EXPECT_EQ(hoisting.row_slots, 1);
  EXPECT_EQ(hoisting.column_slots, 1);
  EXPECT_EQ(hoisting.diagonal_slots, 1);
}

TEST(Slots, OfRootsAndOfWideValues) {
  Names n;
  const Expression is_odd = n.q % 2 == 1, of_rows = to_long(n.q % 5), of_columns = to_long(n.kv) * to_long(n.kv);
  const MarkedProgram made =
      finish(n, {is_odd, of_rows, of_columns}, {.mask = is_odd & apply(ir::Op::kLt, of_columns, of_rows)});
  const Hoisting hoisting = plan::hoist(made.program, Nest::kDecode);
  for (ir::Id id : made.watched) EXPECT_NE(hoisting.value_slot[id.index], Hoisting::kNoSlot);
  EXPECT_EQ(hoisting.row_slots, 3) << "a long takes two";
  EXPECT_EQ(hoisting.column_slots, 2);

  Names root;
  const MarkedProgram bounded = finish(root, {}, {.mask = root.q < 5});
  EXPECT_EQ(plan::hoist(bounded.program, Nest::kPrefill).row_slots, 1) << "a root is stored";

  ir::ProgramBuilder fp64(ir::Precision::kFp64);
  const ir::Id row = fp64.make(ir::Op::kIntToFloat, {fp64.variable(ir::Op::kQIdx)});
  const ir::Id sum = fp64.make(ir::Op::kAdd, {fp64.variable(ir::Op::kScore), row});
  const ir::Program doubles = std::move(fp64).finish(sum, ir::Id{});
  EXPECT_EQ(plan::hoist(doubles, Nest::kPrefill).row_slots, 2) << "an fp64 takes two";
}

// Of the mask's own values, and only where their range does not follow from the indices.
TEST(Slots, OfRanges) {
  Names n;
  const Expression bent = n.q % 7, linear = n.q + 3, column = n.kv % 5, flag = n.kv % 9 == 2;
  const Expression in_score = n.q % 23;
  const MarkedProgram made = finish(n, {bent, linear, column, flag, in_score},
                                    {.score = added(n, in_score), .mask = (bent * n.kv < linear * column) | flag});
  const Hoisting prefill = plan::hoist(made.program, Nest::kPrefill);
  const auto slot = [&](std::size_t i) { return prefill.range_slot[made.watched[i].index]; };
  EXPECT_EQ(slot(0), 0);
  EXPECT_EQ(slot(1), Hoisting::kNoSlot);
  EXPECT_NE(slot(2), Hoisting::kNoSlot);
  EXPECT_NE(slot(3), Hoisting::kNoSlot);
  EXPECT_NE(slot(2), slot(3));
  EXPECT_EQ(slot(4), Hoisting::kNoSlot);
  EXPECT_EQ(prefill.row_range_slots, 1);
  EXPECT_EQ(prefill.column_range_slots, 2);
  const Hoisting decode = plan::hoist(made.program, Nest::kDecode);
  EXPECT_EQ(decode.row_range_slots + decode.column_range_slots, 0);
}

TEST(Reads, WhoseLanesLieSideBySide) {
  Names n;
  const std::uint32_t line = n.builder.add_buffer({DType::kI32, 1}), plane = n.builder.add_buffer({DType::kI32, 2});
  const Expression reads[] = {n.read(line, {n.kv}),       n.read(line, {n.kv - n.q + 4}), n.read(plane, {n.q, n.kv + 3}),
                              n.read(line, {n.q}),        n.read(line, {n.kv * 2}),       n.read(plane, {n.kv, n.kv}),
                              n.read(plane, {n.kv, n.q}), n.read(line, {n.kv % 8})};
  Expression sum = reads[0];
  for (std::size_t i = 1; i < std::size(reads); ++i) sum = sum + reads[i];
  const MarkedProgram made =
      finish(n, {reads[0], reads[1], reads[2], reads[3], reads[4], reads[5], reads[6], reads[7]}, {.score = added(n, sum)});
  for (const Nest nest : {Nest::kPrefill, Nest::kDecode}) {
    const Hoisting hoisting = plan::hoist(made.program, nest);
    for (std::size_t i = 0; i < std::size(reads); ++i) {
      EXPECT_EQ(hoisting.contiguous[made.watched[i].index], i < 3) << plan::name_of(nest) << ", read " << i;
    }
  }
}

// What a kernel does with a read of t[kv_idx] under a guard.
struct Guarded {
  explicit Guarded(Expression (*guard)(Names&)) {
    Names n;
    const std::uint32_t buffer = n.builder.add_buffer({DType::kI32, 1});
    const Expression condition = guard(n), value = n.read_guarded(buffer, condition, {n.kv});
    made = finish(n, {value, n.kv % 5 == 1, n.q > n.kv}, {.score = added(n, select(condition, value, literal(n.q, 0)))});
    hoisting = plan::hoist(made.program, Nest::kPrefill);
    read = made.watched[0];
  }
  MarkedProgram made;
  Hoisting hoisting;
  ir::Id read;
};

TEST(Reads, AreMadeWhereTheirIndicesAreKnown) {
  const Guarded open([](Names& n) { return n.constant(true); });
  EXPECT_EQ(open.hoisting.level[open.read.index], kColumn);
  EXPECT_FALSE(open.hoisting.late_guard[open.read.index]);
  EXPECT_NE(open.hoisting.flag_slot[open.read.index], Hoisting::kNoSlot) << "whether it was in range is stored";
  EXPECT_FALSE(open.hoisting.checks_elements);

  const Guarded of_columns([](Names& n) { return n.kv % 5 == 1; });
  EXPECT_EQ(of_columns.hoisting.level[of_columns.read.index], kColumn);
  EXPECT_FALSE(of_columns.hoisting.late_guard[of_columns.read.index]);
  EXPECT_TRUE(of_columns.hoisting.early[of_columns.read.index].empty());
}

TEST(Reads, WithLateGuards) {
  const Guarded late([](Names& n) { return n.q > n.kv; });
  EXPECT_EQ(late.hoisting.level[late.read.index], kColumn);
  EXPECT_TRUE(late.hoisting.late_guard[late.read.index]);
  EXPECT_TRUE(late.hoisting.early[late.read.index].empty());

  const Guarded both([](Names& n) { return (n.kv % 5 == 1) & (n.q > n.kv); });
  ASSERT_TRUE(both.hoisting.late_guard[both.read.index]);
  ASSERT_EQ(both.hoisting.early[both.read.index].size(), 1U);
  EXPECT_EQ(both.hoisting.early[both.read.index][0].id, both.made.watched[1]);
  EXPECT_TRUE(both.hoisting.early[both.read.index][0].holds);

  const Guarded neither([](Names& n) { return !((n.kv % 5 == 1) | (n.q > n.kv)); });
  ASSERT_EQ(neither.hoisting.early[neither.read.index].size(), 1U);
  EXPECT_EQ(neither.hoisting.early[neither.read.index][0].id, neither.made.watched[1]);
  EXPECT_FALSE(neither.hoisting.early[neither.read.index][0].holds);

  // Either may hold without the other: nothing can be said early.
  const Guarded one_of([](Names& n) { return (n.kv % 5 == 1) | (n.q > n.kv); });
  EXPECT_TRUE(one_of.hoisting.late_guard[one_of.read.index]);
  EXPECT_TRUE(one_of.hoisting.early[one_of.read.index].empty());
}

// An index that is proved needs no guard, and the read waits for all of its operands.
TEST(Reads, ThatAreProved) {
  Names n;
  const std::uint32_t buffer = n.builder.add_buffer({DType::kI32, 1});
  const std::vector<ir::Id> operands = {(n.q > n.kv).id, n.kv.id};
  const Expression value{&n.builder, n.builder.read({.buffer = buffer, .site = 0, .checked = false}, operands)};
  const MarkedProgram made = finish(n, {value}, {.score = added(n, value)});
  const Hoisting hoisting = plan::hoist(made.program, Nest::kPrefill);
  EXPECT_EQ(hoisting.level[made.watched[0].index], kElement);
  EXPECT_FALSE(hoisting.late_guard[made.watched[0].index]);
  EXPECT_EQ(hoisting.flag_slot[made.watched[0].index], Hoisting::kNoSlot);
  EXPECT_FALSE(hoisting.checks_elements);
}

TEST(Reads, OfBothIndicesAreCheckedPerScore) {
  Names n;
  const std::uint32_t buffer = n.builder.add_buffer({DType::kI32, 2});
  const Expression value = n.read(buffer, {n.q, n.kv});
  const MarkedProgram made = finish(n, {value}, {.score = added(n, value)});
  for (const Nest nest : {Nest::kPrefill, Nest::kDecode}) {
    const Hoisting hoisting = plan::hoist(made.program, nest);
    EXPECT_EQ(hoisting.level[made.watched[0].index], kElement);
    EXPECT_TRUE(hoisting.checks_elements);
    EXPECT_EQ(hoisting.flag_slot[made.watched[0].index], Hoisting::kNoSlot);
  }
}

TEST(Costs, AreThoseOfTheElementsOfTheScore) {
  const auto cost = [](Expression (*of)(Names&)) {
    Names n;
    const Expression x = of(n);
    return plan::hoist(finish(n, {}, {.score = added(n, x)}).program, Nest::kPrefill).score_cost;
  };
  const std::int32_t nothing = cost([](Names& n) { return n.b * 3; });
  EXPECT_EQ(cost([](Names& n) { return n.q % 7 + n.b; }), nothing) << "once a row";
  EXPECT_EQ(cost([](Names& n) { return (n.kv - n.q) % 7; }), nothing) << "a table";
  EXPECT_GT(cost([](Names& n) { return n.kv * n.q % 7; }), nothing + 20);
}

}  // namespace
}  // namespace flexjit::test
