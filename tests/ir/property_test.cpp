// What must hold for every program: the passes change no value, the proofs are true, the ranges contain what is computed.
// Every failure names the seed that shows it.
#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "ir/analysis/interval_arithmetic.h"
#include "ir/analysis/intervals.h"
#include "ir/passes/passes.h"
#include "ir/passes/rewrite.h"
#include "random_ir.h"

namespace flexjit::ir::test {
namespace {

constexpr std::uint64_t kPrograms = 1500;

bool same_value(double a, double b) {
  return (std::isnan(a) && std::isnan(b)) || (a == b && std::signbit(a) == std::signbit(b));
}

void expect_same_values(const std::vector<RowValues>& before, const std::vector<RowValues>& after) {
  ASSERT_EQ(before.size(), after.size());
  for (std::size_t r = 0; r < before.size(); ++r) {
    ASSERT_EQ(before[r].allowed, after[r].allowed);
    for (std::size_t l = 0; l < before[r].scores.size(); ++l) {
      ASSERT_TRUE(same_value(before[r].scores[l], after[r].scores[l]))
          << before[r].scores[l] << " became " << after[r].scores[l] << " at row " << r << ", key " << l;
    }
    // A pass may drop a read that nothing needs, never make one fail.
    ASSERT_TRUE(!before[r].faulted_sites.empty() || after[r].faulted_sites.empty()) << "a new fault in row " << r;
  }
}

class ForScoreUse : public testing::TestWithParam<ScoreUse> {};

TEST_P(ForScoreUse, SimplifyKeepsEveryBit) {
  for (std::uint64_t seed = 0; seed < kPrograms; ++seed) {
    const Lowered ir = random_ir(seed, GetParam());
    const RandomBinding binding(ir.interface, seed + 1);
    const Program simplified = simplify(ir.program);
    expect_same_values(run_all_rows(ir.program, binding.environment()), run_all_rows(simplified, binding.environment()));
    if (HasFatalFailure()) {
      FAIL() << "seed " << seed << "\n" << print(ir.program) << "simplified:\n" << print(simplified);
    }
  }
}

TEST_P(ForScoreUse, ProvedReadsNeverFail) {
  std::uint64_t proved = 0;
  for (std::uint64_t seed = 0; seed < kPrograms; ++seed) {
    const Lowered ir = random_ir(seed, GetParam());
    const Program unchecked = prove_reads(ir.program, ir.interface);
    for (std::uint64_t lengths = 0; lengths < 4; ++lengths) {
      const RandomBinding binding(ir.interface, seed * 4 + lengths);
      try {  // the interpreter throws where a proof was wrong
        expect_same_values(run_all_rows(ir.program, binding.environment()), run_all_rows(unchecked, binding.environment()));
      } catch (const std::exception& error) {
        FAIL() << "seed " << seed << ": " << error.what() << "\n" << print(unchecked);
      }
      if (HasFatalFailure()) FAIL() << "seed " << seed << "\n" << print(ir.program) << "proved:\n" << print(unchecked);
    }
    for (std::uint32_t i = 0; i < unchecked.size(); ++i) {
      proved += unchecked.node(Id{i}).op == Op::kRead && !unchecked.read(Id{i}).checked ? 1U : 0U;
    }
  }
  EXPECT_GT(proved, kPrograms / 4) << "the proofs were hardly exercised";
}

INSTANTIATE_TEST_SUITE_P(Scores, ForScoreUse, testing::Values(ScoreUse::kNone, ScoreUse::kInTail));

TEST(Property, SimplifyIsIdempotentAndDeterministic) {
  for (std::uint64_t seed = 0; seed < kPrograms; ++seed) {
    const Lowered ir = random_ir(seed, ScoreUse::kAnywhere);
    const Program once = simplify(ir.program);
    ASSERT_EQ(print(once), print(simplify(once))) << "seed " << seed << "\n" << print(ir.program);
    ASSERT_EQ(once, simplify(random_ir(seed, ScoreUse::kAnywhere).program)) << "seed " << seed;
  }
}

std::string fault_text(const std::optional<ReadFault>& fault) {
  if (!fault) return "none";
  return std::to_string(fault->site) + ", " + std::to_string(fault->dimension) + ", " + std::to_string(fault->index);
}

// Calls that share their row, their keys or both with the call before, as one that nothing came before.
TEST(Property, TheInterpreterKeepsOnlyWhatStillHolds) {
  std::uint64_t faults = 0;
  for (std::uint64_t seed = 0; seed < kPrograms; ++seed) {
    const Lowered ir = random_ir(seed, ScoreUse::kAnywhere);
    const RandomBinding binding(ir.interface, seed + 7);
    const Environment& environment = binding.environment();
    std::mt19937_64 random(seed);
    const auto below = [&](std::int32_t limit) {
      return static_cast<std::int32_t>(random() % static_cast<std::uint64_t>(std::max(limit, 1)));
    };
    Interpreter kept(ir.program, environment);
    RowRange row;
    for (int call = 0; call < 40; ++call) {
      if (random() % 2 == 0) row.b = below(environment.batch_size), row.h = below(environment.num_heads);
      if (random() % 2 == 0) row.q_idx = below(environment.q_len);
      if (random() % 2 == 0) {
        row.kv_begin = below(environment.kv_len);
        row.count = below(std::min(environment.kv_len - row.kv_begin, Interpreter::kMaxCount) + 1);
      }
      Interpreter fresh(ir.program, environment);
      const auto count = static_cast<std::size_t>(row.count);
      std::vector<std::uint8_t> allowed(count), expected(count);
      const auto fault = kept.eval_mask(row, allowed), expected_fault = fresh.eval_mask(row, expected);
      ASSERT_EQ(allowed, expected) << "seed " << seed << ", call " << call << "\n" << print(ir.program);
      ASSERT_EQ(fault_text(fault), fault_text(expected_fault)) << "seed " << seed << ", call " << call << "\n"
                                                               << print(ir.program);
      faults += fault ? 1 : 0;
      std::vector<double> scores(count, 0.5), expected_scores(count, 0.5);
      if (random() % 4 == 0) {
        kept.eval_score(row, allowed, scores);
        fresh.eval_score(row, expected, expected_scores);
      }
      for (std::size_t l = 0; l < count; ++l)
        ASSERT_TRUE(same_value(scores[l], expected_scores[l])) << "seed " << seed << "\n" << print(ir.program);
    }
  }
  EXPECT_GT(faults, 100U);
}

TEST(Property, PrintTellsProgramsApart) {
  for (std::uint64_t seed = 0; seed + 1 < kPrograms; ++seed) {
    const Program a = random_ir(seed, ScoreUse::kAnywhere).program;
    const Program b = random_ir(seed + 1, ScoreUse::kAnywhere).program;
    ASSERT_EQ(a == b, print(a) == print(b)) << "seed " << seed;
  }
}

// Answers by visiting every element of the index box.
class ScannedRanges : public BufferRanges {
 public:
  explicit ScannedRanges(const Environment& environment) : environment_(environment) {}

  Range range(std::uint32_t buffer, std::span<const Range> index) const override {
    const TensorView& view = environment_.buffers[buffer];
    Range found{std::numeric_limits<double>::infinity(), -std::numeric_limits<double>::infinity(), false};
    if (outside(view, index)) found = Range::point(0);
    visit(view, index, 0, 0, found);
    return found;
  }

 private:
  static bool outside(const TensorView& view, std::span<const Range> index) {
    for (std::size_t d = 0; d < index.size(); ++d) {
      if (index[d].lo < 0 || index[d].hi >= static_cast<double>(view.shape[d])) return true;
    }
    return false;
  }

  static void visit(const TensorView& view, std::span<const Range> index, std::size_t d, std::int64_t offset, Range& found) {
    if (d == index.size()) return add(view, offset, found);
    const auto begin = static_cast<std::int64_t>(std::max(index[d].lo, 0.0));
    const auto end = static_cast<std::int64_t>(std::min(index[d].hi, static_cast<double>(view.shape[d]) - 1));
    for (std::int64_t i = begin; i <= end; ++i) visit(view, index, d + 1, offset + i * view.strides[d], found);
  }

  static void add(const TensorView& view, std::int64_t offset, Range& found) {
    if (view.dtype == DType::kF32) {
      const double value = static_cast<const float*>(view.data)[offset];
      found = std::isnan(value) ? Range{found.lo, found.hi, true} : join(found, Range::point(value));
    } else if (view.dtype == DType::kI32) {
      found = join(found, Range::point(static_cast<const std::int32_t*>(view.data)[offset]));
    } else if (view.dtype == DType::kI64) {
      const std::int64_t value = static_cast<const std::int64_t*>(view.data)[offset];
      found = join(found, long_range(value, value));
    } else if (view.dtype == DType::kU8) {
      found = join(found, Range::point(static_cast<const std::uint8_t*>(view.data)[offset]));
    } else {
      found = join(found, any_of(element_type(view.dtype)));
    }
  }

  const Environment& environment_;
};

// The program whose score is node `id` as a float: ints lose low bits, the order of values stays.
Program observing(const Program& program, Id id) {
  ProgramBuilder builder = with_declarations_of(program);
  std::vector<Id> copies;
  for (std::uint32_t i = 0; i <= id.index; ++i) {
    std::vector<Id> operands;
    for (Id operand : program.operands(Id{i})) operands.push_back(copies[operand.index]);
    copies.push_back(copy_node(builder, program, Id{i}, operands));
  }
  Id root = copies.back();
  if (program.node(id).type == Type::kBool) root = builder.make(Op::kBoolToInt, {root});
  if (program.node(id).type != Type::kFloat) root = builder.make(Op::kIntToFloat, {root});
  return std::move(builder).finish(root, {});
}

Box random_box(const Environment& environment, std::mt19937_64& random) {
  auto bounds = [&](std::int32_t length) {
    auto a = static_cast<std::int32_t>(random() % static_cast<std::uint64_t>(length));
    auto b = static_cast<std::int32_t>(random() % static_cast<std::uint64_t>(length));
    return std::minmax({a, b});
  };
  Box box;
  std::tie(box.b_lo, box.b_hi) = bounds(environment.batch_size);
  std::tie(box.h_lo, box.h_hi) = bounds(environment.num_heads);
  std::tie(box.q_lo, box.q_hi) = bounds(environment.q_len);
  std::tie(box.kv_lo, box.kv_hi) = bounds(environment.kv_len);
  return box;
}

bool inside(const Box& box, const RowRange& row, std::int32_t kv_idx) {
  return box.b_lo <= row.b && row.b <= box.b_hi && box.h_lo <= row.h && row.h <= box.h_hi && box.q_lo <= row.q_idx &&
         row.q_idx <= box.q_hi && box.kv_lo <= kv_idx && kv_idx <= box.kv_hi;
}

void expect_contained(const Program& program, Id id, const Environment& environment, const Box& box, const Range& range) {
  Range allowed = program.node(id).type == Type::kFloat ? range : rounded(range);
  const bool guarded = type_rule(program.node(id).op) == TypeRule::kVariadic;
  if (guarded) allowed = join(allowed, Range::point(0));  // where the guard is false, which the range leaves out
  for (const RowValues& row : run_all_rows(observing(program, id), environment)) {
    for (std::int32_t k = 0; k < environment.kv_len; ++k) {
      if (!inside(box, row.row, k)) continue;
      const double value = row.scores[static_cast<std::size_t>(k)];
      const bool held = std::isnan(value) ? allowed.may_nan : contains(allowed, value);
      ASSERT_TRUE(held) << value << " is not in [" << range.lo << ", " << range.hi << "] nan " << range.may_nan << " for node "
                        << id.index;
    }
  }
}

TEST(Property, IntervalsContainEveryValue) {
  for (std::uint64_t seed = 0; seed < kPrograms / 3; ++seed) {
    const Lowered ir = random_ir(seed, ScoreUse::kAnywhere);
    const RandomBinding binding(ir.interface, seed + 7, 4);
    const ScannedRanges scanned(binding.environment());
    IntervalAnalysis analysis(ir.program, binding.environment(), seed % 2 == 0 ? &scanned : nullptr);
    std::mt19937_64 random(seed);
    const Box box = random_box(binding.environment(), random);
    const auto ranges = analysis.run(box);
    for (std::uint32_t i = 0; i < ir.program.size(); ++i) {
      expect_contained(ir.program, Id{i}, binding.environment(), box, ranges[i]);
      if (HasFatalFailure()) FAIL() << "seed " << seed << "\n" << print_intervals(ir.program, ir.interface, ranges);
    }
    if (ir.program.mask().valid()) {
      ASSERT_EQ(analysis.mask(box), analysis.run(box)[ir.program.mask().index]);
    }
  }
}

}  // namespace
}  // namespace flexjit::ir::test
