// RangeEmitter by brute force: what the emitted code says of a rectangle, against the interpreter at every pair in it.
// "Somewhere" may be wrong only where nothing is allowed, "everywhere" only where everything is.
#include "codegen/program/range.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cstddef>
#include <optional>
#include <random>

#include "emitted_function.h"
#include "ir/evaluate/interpreter.h"
#include "ir/passes/passes.h"
#include "random_masks.h"

namespace flexjit::test {
namespace {

using codegen::Choice;
using codegen::Emitter;
using codegen::Index;
using codegen::Int;
using codegen::Ptr;
using codegen::Range;
using ir::Op;

// Both ends belong to it.
struct Rectangle {
  std::int32_t q_first, q_last, kv_first, kv_last;
  std::int32_t b, h, q_len, kv_len, param;
};

// What the emitted code reads of a rectangle, in ints: the ends of what is set, longs in halves.
enum Slot : std::uint8_t {
  kQ = 0,
  kKv = 2,
  kB = 4,
  kH,
  kQLen,
  kKvLen,
  kParam,
  kRowInts = 9,
  kColumnInts = 11,
  kRowFlags = 13,
  kColumnFlags = 15,
  kRowLongs = 17,
  kSlots = 21,
};

// The elements of all buffers.
struct Buffers {
  explicit Buffers(std::uint64_t seed) {
    std::mt19937_64 random(seed);
    for (std::size_t i = 0; i < kPeriod; ++i) {
      for (auto* ints : {&of_rows, &of_columns, &of_pairs}) (*ints)[i] = static_cast<std::int32_t>(random() % 40) - 8;
      row_flags[i] = random() % 8 < 5 ? 1 : 0;
      column_flags[i] = i < kPeriod / 2 ? 1 : 0;
      row_longs[i] = static_cast<std::int64_t>(random() % 64) - 20 + (i % 5 == 0 ? 1LL << 40 : 0);
    }
    const auto view = [&](const void* data, DType dtype) {
      views.emplace_back(data, dtype, std::initializer_list{std::int64_t{kPeriod}});
    };
    view(of_rows.data(), DType::kI32);
    view(of_columns.data(), DType::kI32);
    view(row_flags.data(), DType::kBool);
    view(column_flags.data(), DType::kBool);
    view(row_longs.data(), DType::kI64);
    view(of_pairs.data(), DType::kI32);
  }
  Buffers(const Buffers&) = delete;

  std::array<std::int32_t, kPeriod> of_rows{}, of_columns{}, of_pairs{};
  std::array<std::uint8_t, kPeriod> row_flags{}, column_flags{};
  std::array<std::int64_t, kPeriod> row_longs{};
  std::vector<TensorView> views;
};

// The least and the greatest element at first, ..., last modulo the period.
template <typename T>
std::pair<T, T> ends(const std::array<T, kPeriod>& elements, std::int32_t first, std::int32_t last) {
  std::pair<T, T> found{elements[static_cast<std::size_t>(first % kPeriod)],
                        elements[static_cast<std::size_t>(first % kPeriod)]};
  for (std::int32_t i = first; i <= last; ++i) {
    const T element = elements[static_cast<std::size_t>(i % kPeriod)];
    found = {std::min(found.first, element), std::max(found.second, element)};
  }
  return found;
}

std::vector<std::int32_t> slots_of(const Rectangle& r, const Buffers& buffers) {
  std::vector<std::int32_t> slots = {r.q_first, r.q_last, r.kv_first, r.kv_last, r.b, r.h, r.q_len, r.kv_len, r.param};
  const auto add = [&](auto pair) {
    slots.push_back(static_cast<std::int32_t>(pair.first));
    slots.push_back(static_cast<std::int32_t>(pair.second));
  };
  add(ends(buffers.of_rows, r.q_first, r.q_last));
  add(ends(buffers.of_columns, r.kv_first, r.kv_last));
  add(ends(buffers.row_flags, r.q_first, r.q_last));
  add(ends(buffers.column_flags, r.kv_first, r.kv_last));
  const auto longs = ends(buffers.row_longs, r.q_first, r.q_last);
  for (std::int64_t end : {longs.first, longs.second}) add(std::pair(end, end >> 32));
  return slots;
}

// Sets what a kernel sets: positions, uniform values, and the ranges of values of rows and columns.
Choice emit_mask(Emitter& e, const ir::Program& program, const std::function<Int(int)>& slot) {
  codegen::RangeEmitter ranges(e, program);
  const auto range = [&](int at) { return Range{e.widen(slot(at)), e.widen(slot(at + 1))}; };
  const auto flag = [&](int at) { return e.compare(llvm::CmpInst::ICMP_NE, slot(at), e.constant_int(0)); };
  const auto wide = [&](int at) {
    auto& ir = e.ir();
    auto* low = ir.CreateZExt(slot(at).value, ir.getInt64Ty());
    return Index{ir.CreateOr(low, ir.CreateShl(ir.CreateZExt(slot(at + 1).value, ir.getInt64Ty()), std::uint64_t{32}))};
  };
  for (std::uint32_t i = 0; i < program.size(); ++i) {
    const ir::Id id{i};
    switch (program.node(id).op) {
      case Op::kQIdx: ranges.set(id, range(kQ)); break;
      case Op::kKvIdx: ranges.set(id, range(kKv)); break;
      case Op::kBatch: ranges.set_uniform(id, slot(kB).value); break;
      case Op::kHead: ranges.set_uniform(id, slot(kH).value); break;
      case Op::kQLen: ranges.set_uniform(id, slot(kQLen).value); break;
      case Op::kKvLen: ranges.set_uniform(id, slot(kKvLen).value); break;
      case Op::kParam: ranges.set_uniform(id, slot(kParam).value); break;
      case Op::kRead:
        switch (program.read(id).buffer) {
          case kIntsOfRows: ranges.set(id, range(kRowInts)); break;
          case kIntsOfColumns: ranges.set(id, range(kColumnInts)); break;
          case kFlagsOfRows: ranges.set(id, Choice{flag(kRowFlags + 1), flag(kRowFlags)}); break;
          case kFlagsOfColumns: ranges.set(id, Choice{flag(kColumnFlags + 1), flag(kColumnFlags)}); break;
          case kLongsOfRows: ranges.set(id, Range{wide(kRowLongs), wide(kRowLongs + 2)}); break;
          default: break;
        }
        break;
      default: break;
    }
  }
  return ranges.mask();
}

struct Said {
  bool some, all;
};

// What compiled code says of every rectangle and program, all in one function.
std::vector<std::vector<Said>> said_of(plan::Isa isa, const std::vector<ir::Program>& programs,
                                       const std::vector<Rectangle>& rectangles, const Buffers& buffers) {
  const std::size_t stride = std::max<std::size_t>(kSlots, programs.size());
  const EmittedFunction function(isa, [&](Emitter& e, Ptr arguments) {
    const Ptr a = e.load_pointer(e.at_byte(arguments, offsetof(FunctionArguments, a)));
    const Ptr y = e.load_pointer(e.at_byte(arguments, offsetof(FunctionArguments, y)));
    const Index count = e.load_index(e.at_byte(arguments, offsetof(FunctionArguments, count)));
    e.for_range("rectangles", e.index(0), count, e.index(static_cast<std::int64_t>(stride)), [&](Index first) {
      const auto slot = [&](int i) { return e.load_int(e.at(a, e.add(first, e.index(i)))); };
      for (std::size_t p = 0; p < programs.size(); ++p) {
        const Choice choice = emit_mask(e, programs[p], slot);
        const Int bits = e.bit_or(e.to_int(choice.some), e.shl(e.to_int(choice.all), e.constant_int(1)));
        e.store(bits.value, e.at(y, e.add(first, e.index(static_cast<std::int64_t>(p)))));
      }
    });
  });
  std::vector<float> in(stride * rectangles.size()), out(in.size());
  for (std::size_t r = 0; r < rectangles.size(); ++r) {
    const std::vector<std::int32_t> slots = slots_of(rectangles[r], buffers);
    for (std::size_t i = 0; i < slots.size(); ++i) in[r * stride + i] = std::bit_cast<float>(slots[i]);
  }
  function(in, in, out);
  std::vector<std::vector<Said>> said(programs.size());
  for (std::size_t p = 0; p < programs.size(); ++p) {
    for (std::size_t r = 0; r < rectangles.size(); ++r) {
      const auto bits = std::bit_cast<std::int32_t>(out[r * stride + p]);
      said[p].push_back({(bits & 1) != 0, (bits & 2) != 0});
    }
  }
  return said;
}

// The truth, pair by pair.
Said evaluate(const ir::Program& program, const Rectangle& r, const Buffers& buffers) {
  const Scalar params[] = {Scalar{r.param}};
  const ir::Environment environment{.batch_size = 4,
                                    .num_heads = 8,
                                    .num_kv_heads = 4,
                                    .q_len = r.q_len,
                                    .kv_len = r.kv_len,
                                    .buffers = buffers.views,
                                    .params = params};
  ir::Interpreter interpreter(program, environment);
  Said truth{false, true};
  std::vector<std::uint8_t> allowed(static_cast<std::size_t>(r.kv_last - r.kv_first + 1));
  for (std::int32_t q = r.q_first; q <= r.q_last; ++q) {
    const ir::RowRange row{.b = r.b, .h = r.h, .q_idx = q, .kv_begin = r.kv_first, .count = r.kv_last - r.kv_first + 1};
    EXPECT_FALSE(interpreter.eval_mask(row, allowed).has_value());
    for (std::uint8_t one : allowed) truth = {truth.some || one != 0, truth.all && one != 0};
  }
  return truth;
}

// From the beginning, anywhere, and where sums leave an int.
std::vector<Rectangle> random_rectangles(std::size_t count, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  const auto below = [&](std::int32_t n) { return static_cast<std::int32_t>(random() % static_cast<std::uint64_t>(n)); };
  const auto position = [&] {
    const std::int32_t kind = below(4);
    return kind < 2 ? below(40) : kind == 2 ? below(100000) : (1 << 30) - 40 + below(20);
  };
  std::vector<Rectangle> rectangles;
  while (rectangles.size() < count) {
    const std::int32_t q = position(), kv = below(2) == 0 ? std::max(q - 8 + below(16), 0) : position();
    rectangles.push_back({q, q + below(6), kv, kv + below(16), below(4), below(8), q + 6 + below(9), kv + 16 + below(9),
                          below(3) == 0 ? position() : below(20) - 4});
  }
  return rectangles;
}

std::string text_of(const Rectangle& r) {
  const auto span = [](std::int32_t first, std::int32_t last) { return std::to_string(first) + " to " + std::to_string(last); };
  return "queries " + span(r.q_first, r.q_last) + ", keys " + span(r.kv_first, r.kv_last) + ", param " +
         std::to_string(r.param);
}

class Ranges : public ::testing::TestWithParam<plan::Isa> {
 protected:
  void SetUp() override {
    if (!can_call(GetParam())) GTEST_SKIP() << "neither this machine nor an emulator executes " << plan::name_of(GetParam());
  }
};

TEST_P(Ranges, AreSoundForRandomMasks) {
  constexpr std::uint64_t kBatches = 6, kPrograms = 60;
  std::int64_t compared = 0, decided = 0, wrapped = 0;
  for (std::uint64_t batch = 0; batch < kBatches; ++batch) {
    const Buffers buffers(batch);
    const std::vector<Rectangle> rectangles = random_rectangles(40, batch);
    std::vector<ir::Program> programs;
    for (std::uint64_t seed = batch * kPrograms; seed < (batch + 1) * kPrograms; ++seed) {
      const ir::Program program = random_mask(seed);
      programs.push_back(seed % 2 == 0 ? program : ir::simplify(program));  // kernels are made of simplified ones
    }
    const auto said = said_of(GetParam(), programs, rectangles, buffers);
    for (std::size_t p = 0; p < programs.size(); ++p) {
      for (std::size_t r = 0; r < rectangles.size(); ++r) {
        const Said truth = evaluate(programs[p], rectangles[r], buffers);
        ASSERT_TRUE(said[p][r].some || !truth.some)
            << "seed " << batch * kPrograms + p << ", " << text_of(rectangles[r]) << ": a pair is allowed\n"
            << ir::print(programs[p]);
        ASSERT_TRUE(!said[p][r].all || truth.all)
            << "seed " << batch * kPrograms + p << ", " << text_of(rectangles[r]) << ": a pair is not allowed\n"
            << ir::print(programs[p]);
        ++compared;
        decided += !said[p][r].some || said[p][r].all ? 1 : 0;
        wrapped += rectangles[r].q_first > 1 << 29 ? 1 : 0;
      }
    }
  }
  EXPECT_GT(decided, compared / 4) << "most rectangles were left open";
  EXPECT_GT(wrapped, compared / 20);
}

// A distance takes every value between its least and its greatest: what is said of it is the truth. So is what is said of the
// order of linear values with gaps.
TEST_P(Ranges, AreExactForBands) {
  // q_idx - factor * kv_idx, or what an op makes of it, compared with a bound.
  const auto pattern = [](Op op, std::int32_t factor, std::int32_t bound, std::optional<Op> of_distance = {}) {
    ir::ProgramBuilder builder;
    const ir::Id q = builder.variable(Op::kQIdx), kv = builder.variable(Op::kKvIdx);
    const ir::Id distance = builder.make(Op::kSub, {q, builder.make(Op::kMul, {kv, builder.const_int(factor)})});
    const ir::Id value = of_distance ? builder.make(*of_distance, {distance}) : distance;
    return std::move(builder).finish(ir::Id{}, builder.make(op, {value, builder.const_int(bound)}));
  };
  std::vector<ir::Program> programs;
  for (const Op op : {Op::kLt, Op::kLe, Op::kGt, Op::kGe}) {
    for (const std::int32_t factor : {1, -1, 3}) programs.push_back(pattern(op, factor, 5));
    for (const std::int32_t bound : {0, 5}) programs.push_back(pattern(op, 1, bound, Op::kAbs));
  }
  for (const Op op : {Op::kEq, Op::kNe}) programs.push_back(pattern(op, 1, 5));
  std::vector<Rectangle> rectangles;
  for (std::int32_t q = 0; q < 12; ++q) {
    for (std::int32_t kv = 0; kv < 12; ++kv) {
      for (std::int32_t size : {0, 1, 4}) rectangles.push_back({q, q + size, kv, kv + 2 * size, 0, 0, 40, 40, 0});
    }
  }
  const Buffers buffers(1);
  const auto said = said_of(GetParam(), programs, rectangles, buffers);
  for (std::size_t p = 0; p < programs.size(); ++p) {
    for (std::size_t r = 0; r < rectangles.size(); ++r) {
      const Said truth = evaluate(programs[p], rectangles[r], buffers);
      ASSERT_EQ(said[p][r].some, truth.some) << text_of(rectangles[r]) << "\n" << ir::print(programs[p]);
      ASSERT_EQ(said[p][r].all, truth.all) << text_of(rectangles[r]) << "\n" << ir::print(programs[p]);
    }
  }
}

// The code is scalar: a target of each way to select and to multiply.
INSTANTIATE_TEST_SUITE_P(All, Ranges, ::testing::Values(plan::Isa::kX86_64, plan::Isa::kX86_64_V3, plan::Isa::kAArch64),
                         [](const auto& test) {
                           std::string name(plan::name_of(test.param));
                           std::ranges::replace(name, '-', '_');
                           return name;
                         });

}  // namespace
}  // namespace flexjit::test
