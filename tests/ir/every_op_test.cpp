// No part of ir forgets an op of ops.def on a type that it takes, nor a word of the language that is to become one.
#include <gtest/gtest.h>

#include <set>

#include "dsl/parse/ast.h"
#include "dsl/vocabulary/vocabulary.h"
#include "ir/analysis/intervals.h"
#include "ir/lower/lower_functions.h"
#include "ir/passes/passes.h"
#include "ir/program/expression_texts.h"
#include "random_ir.h"
#include "support/every_op.h"

namespace flexjit::ir::test {
namespace {

const Environment kSmall{
    .batch_size = 1, .num_heads = 1, .num_kv_heads = 1, .q_len = 2, .kv_len = 5, .buffers = {}, .params = {}};

TEST(EveryOp, IsEvaluatedAndHasARangeAndAText) {
  std::set<Op> seen;
  for (const auto& [name, program] : ::flexjit::test::every_op()) {
    SCOPED_TRACE(name);
    for (const Node& node : program.nodes()) seen.insert(node.op);
    EXPECT_NO_THROW(run_all_rows(program, kSmall));
    EXPECT_NO_THROW(IntervalAnalysis(program, kSmall, nullptr).run(Box{.q_hi = 1, .kv_hi = 4}));
    EXPECT_NO_THROW(ExpressionTexts(program, {}));
    EXPECT_NO_THROW(simplify(program));
  }
  for (int op = 0; op < kOpCount; ++op) {
    const bool is_leaf_or_access = operand_count(static_cast<Op>(op)) <= 0;
    EXPECT_TRUE(is_leaf_or_access || seen.contains(static_cast<Op>(op))) << mnemonic(static_cast<Op>(op));
  }
}

TEST(EveryWord, IsLowered) {
  ProgramBuilder builder;
  const Id x = builder.variable(Op::kScore);
  for (std::string_view name : dsl::function_names()) {
    const dsl::Function function = *dsl::find_function(name);
    const dsl::FunctionInfo& info = dsl::info_of(function);
    if (info.rule != dsl::FunctionRule::kNumeric && info.rule != dsl::FunctionRule::kFloat) continue;
    EXPECT_NO_THROW(lower_function(builder, function, std::vector<Id>(info.min_arguments, x))) << name;
  }
  for (std::string_view name : dsl::value_names()) {
    const auto builtin = dsl::find_builtin(name);
    if (builtin) EXPECT_NO_THROW(lower_builtin(builder, *builtin)) << name;
  }
  for (int i = 1; i <= static_cast<int>(dsl::Operator::kOr); ++i) {  // after kNone
    const auto op = static_cast<dsl::Operator>(i);
    const bool is_prefix = op == dsl::Operator::kNegate || op == dsl::Operator::kNot || op == dsl::Operator::kBitNot;
    EXPECT_TRUE(find_op(dsl::spelling_of(op), is_prefix ? 1 : 2)) << dsl::spelling_of(op);
  }
}

TEST(EveryWord, IsFoundByItsSymbol) {
  EXPECT_EQ(find_op("-", 1), Op::kNeg);
  EXPECT_EQ(find_op("-", 2), Op::kSub);
  EXPECT_EQ(find_op("&&", 2), Op::kAnd);
  EXPECT_EQ(find_op("!", 1), Op::kNot);
  EXPECT_EQ(find_op("min", 2), Op::kMin);
  EXPECT_EQ(find_op("min", 1), std::nullopt);
  EXPECT_EQ(find_op("", 1), std::nullopt);
}

}  // namespace
}  // namespace flexjit::ir::test
