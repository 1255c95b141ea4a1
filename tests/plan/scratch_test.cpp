// Scratch layouts of many keys: each section is as large as what the emitter keeps there (written down here from the comments
// of the structs), begins at a cache line, and shares nothing with another.
#include "plan/sizes/scratch.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "ir/passes/passes.h"
#include "ir/random_ir.h"
#include "keys.h"
#include "plan/hoisting.h"
#include "plan/sizes/backward.h"
#include "plan/sizes/decode.h"
#include "plan/sizes/linear.h"

namespace flexjit::plan {
namespace {

struct Section {
  const char* name;
  std::int64_t begin, bytes;
};

void expect_apart(std::vector<Section> sections, std::int64_t bytes) {
  std::ranges::sort(sections, {}, [](const Section& one) { return std::pair(one.begin, one.begin + one.bytes); });
  std::int64_t end = 0;
  for (const Section& section : sections) {
    ASSERT_EQ(section.begin % 64, 0) << section.name;
    ASSERT_GE(section.begin, end) << section.name << " begins inside the section before it";
    end = section.begin + section.bytes;
  }
  ASSERT_LE(end, bytes) << sections.back().name << " ends outside";
  ASSERT_EQ(bytes % 64, 0);
}

void expect_prefill(const KernelKey& key) {
  const ScratchLayout s = scratch_of(key);
  const Hoisting hoisting = hoist(key.program, key.nest);
  const KernelLayout layout = layout_of(key);
  const bool is_f64 = key.types.q == DType::kF64;
  const std::int64_t real = is_f64 ? 8 : 4, rows = key.tiling.q_tile, lanes = layout.lanes;
  const std::int64_t groups = rows / key.tiling.micro_rows, panels = key.tiling.kv_tile / lanes;
  ASSERT_EQ(s.bytes, layout.scratch_bytes);
  // A group may begin a strip at the last panel of a tile.
  ASSERT_GE(s.s_stride, key.tiling.kv_tile + layout.strip - lanes);
  ASSERT_EQ(s.s_stride * real % 128, 64) << "an odd number of cache lines";
  ASSERT_GE(s.diagonals, rows + key.tiling.kv_tile - 1);
  ASSERT_EQ(s.diagonals % lanes, 0);
  expect_apart({{"q", s.q, rows * layout.k_depth * layout.cell_bytes},
                {"s", s.s, rows * s.s_stride * real},
                {"o", s.o, rows * layout.v_padded * real},
                {"max_lanes", s.max_lanes, rows * lanes * real},
                {"sum_lanes", s.sum_lanes, rows * lanes * real},
                {"row_max", s.row_max, rows * real},
                {"base", s.base, rows * real},
                {"rescale", s.rescale, rows * real},
                {"least", s.least, rows * real},
                {"unsettled", s.unsettled, rows * 4},
                {"row_values", s.row_values, hoisting.row_slots * rows * 4},
                {"column_values", s.column_values, std::int64_t{hoisting.column_slots} * key.tiling.kv_tile * 4},
                {"diagonal_values", s.diagonal_values, hoisting.diagonal_slots * s.diagonals * 4},
                {"row_ranges", s.row_ranges, hoisting.row_range_slots * groups * 2 * 4},
                {"column_ranges", s.column_ranges, hoisting.column_range_slots * panels * 2 * 4},
                {"visits", s.visits, groups * static_cast<std::int64_t>(sizeof(Visit))}},
               s.bytes);
}

void expect_backward(const KernelKey& key) {
  const BackwardScratch s = backward_scratch_of(key);
  const Hoisting hoisting = hoist(key.program, key.nest);
  const KernelLayout layout = layout_of(key);
  const std::int64_t real = key.types.q == DType::kF64 ? 8 : 4, rows = key.tiling.q_tile, lanes = layout.lanes;
  const std::int64_t groups = rows / key.tiling.micro_rows, panels = key.tiling.kv_tile / lanes;
  const auto sums = static_cast<std::int64_t>(key.program.accumulations().size());
  ASSERT_EQ(s.bytes, layout.scratch_bytes);
  ASSERT_EQ(rows % key.tiling.micro_rows, 0);
  ASSERT_EQ(key.tiling.kv_tile % layout.strip, 0);
  ASSERT_LE(panels, 64) << "bits of a visit";
  ASSERT_GE(s.s_stride, key.tiling.kv_tile + layout.strip - lanes);
  ASSERT_GE(s.diagonals, rows + key.tiling.kv_tile - 1);
  ASSERT_GE(sums_bytes(key), rows * lanes * real) << "a vector of lanes for each row";
  ASSERT_GE(sums_bytes(key), s.diagonals * key.tiling.micro_rows * real) << "diagonals in as many copies";
  expect_apart({{"weights", s.weights, rows * s.s_stride * real},
                {"gradients", s.gradients, rows * s.s_stride * real},
                {"row_begin", s.row_begin, panels * 8},
                {"row_end", s.row_end, panels * 8},
                {"sums", s.sums, sums == 0 ? 0 : kSumsBegin + sums * sums_bytes(key)},
                {"row_values", s.row_values, hoisting.row_slots * rows * 4},
                {"column_values", s.column_values, std::int64_t{hoisting.column_slots} * key.tiling.kv_tile * 4},
                {"diagonal_values", s.diagonal_values, hoisting.diagonal_slots * s.diagonals * 4},
                {"row_ranges", s.row_ranges, hoisting.row_range_slots * groups * 2 * 4},
                {"column_ranges", s.column_ranges, hoisting.column_range_slots * panels * 2 * 4},
                {"visits", s.visits, groups * static_cast<std::int64_t>(sizeof(Visit))}},
               s.bytes);
}

void expect_decode(const KernelKey& key) {
  const DecodeScratch s = decode_scratch_of(key);
  const Hoisting hoisting = hoist(key.program, key.nest);
  const std::int64_t rows = key.tiling.q_tile, keys = key.tiling.kv_tile, lanes = lanes_of(key.target.isa);
  const bool is_pairs = key.types.q == DType::kBF16 && key.types.kv == DType::kBF16 && key.target.bf16;
  ASSERT_EQ(s.bytes, layout_of(key).scratch_bytes);
  ASSERT_GE(s.q_stride, key.head_dim);
  ASSERT_EQ(s.q_stride % (is_pairs ? 2 * lanes : lanes), 0) << "rows of Q end with whole vectors";
  expect_apart({{"q", s.q, rows * s.q_stride * (is_pairs ? 2 : 4)},
                {"s", s.s, rows * keys * 4},
                {"k_rows", s.k_rows, keys * 4},
                {"v_rows", s.v_rows, keys * 8},
                {"k_to_come", s.k_to_come, keys * 4},
                {"v_to_come", s.v_to_come, keys * 4},
                {"sum_lanes", s.sum_lanes, rows * lanes * 4},
                {"unsettled", s.unsettled, rows * 4},
                {"row_values", s.row_values, hoisting.row_slots * rows * 4},
                {"column_values", s.column_values, hoisting.column_slots * keys * 4}},
               s.bytes);
}

// Several values of kv_idx - q_idx, which random programs seldom have.
ir::Program distances(std::int32_t count, ir::Precision precision) {
  ir::ProgramBuilder builder(precision);
  const ir::Id q = builder.variable(ir::Op::kQIdx),
               distance = builder.make(ir::Op::kSub, {builder.variable(ir::Op::kKvIdx), q});
  ir::Id score = builder.variable(ir::Op::kScore);
  for (std::int32_t i = 0; i < count; ++i) {
    const ir::Id bucket = builder.make(ir::Op::kMod, {distance, builder.const_int(7 + i)});
    const ir::Id scaled = builder.make(ir::Op::kMul, {bucket, q});
    score = builder.make(ir::Op::kAdd, {score, builder.make(ir::Op::kIntToFloat, {scaled})});
  }
  return std::move(builder).finish(score, ir::Id{});
}

ir::Program random_program(std::uint64_t seed, const ElementTypes& types) {
  const bool is_f64 = types.q == DType::kF64;
  if (seed % 3 == 2)
    return distances(1 + static_cast<std::int32_t>(seed % 11), is_f64 ? ir::Precision::kFp64 : ir::Precision::kFp32);
  // Programs of one in four seeds are fp64, as those of fp64 kernels are.
  return ir::test::random_ir(is_f64 ? seed * 4 + 3 : seed * 4, ir::test::ScoreUse::kInTail).program;
}

// By the score and all captured buffers of floats.
ir::Program gradient_of(const ir::Program& program) {
  std::vector<std::uint32_t> buffers;
  for (std::uint32_t slot = 0; slot < program.buffers().size(); ++slot) {
    if (ir::element_type(program.buffers()[slot].dtype) == ir::Type::kFloat) buffers.push_back(slot);
  }
  return ir::differentiate(program, buffers);
}

KernelRequest random_request(std::uint64_t seed, Nest nest, const ElementTypes& types) {
  std::mt19937_64 random(seed);
  const auto dim = [&] { return static_cast<std::int32_t>(1 + random() % (random() % 2 == 0 ? 80 : 1024)); };
  return {.program = random_program(seed, types),
          .nest = nest,
          .types = types,
          .weights = random() % 4 == 0 ? Weights::kSigmoid : Weights::kSoftmax,
          .head_dim = dim(),
          .v_head_dim = dim()};
}

TEST(Scratch, SectionsOfRandomKeysLieApart) {
  std::int64_t with_tables = 0, with_diagonals = 0, with_sums = 0;
  for (std::uint64_t seed = 0; seed < 60; ++seed) {
    for (const Target& target : all_targets()) {
      for (const ElementTypes& types : kElementTypes) {
        for (const Nest nest : {Nest::kPrefill, Nest::kDecode, Nest::kBackward}) {
          if (nest == Nest::kDecode && !can_decode(types)) continue;
          KernelRequest request = random_request(seed, nest, types);
          if (nest == Nest::kBackward) request.program = gradient_of(request.program);
          const KernelKey key = plan_kernel(std::move(request), target);
          SCOPED_TRACE(::testing::Message() << "seed " << seed << ", " << name_of(nest) << ", " << to_string(key));
          switch (nest) {
            case Nest::kPrefill: expect_prefill(key); break;
            case Nest::kDecode: expect_decode(key); break;
            case Nest::kBackward: expect_backward(key); break;
            case Nest::kLinear:
            case Nest::kLinearRows: FAIL() << "of programs with features, below";
          }
          with_sums += key.program.accumulations().empty() ? 0 : 1;
          if (::testing::Test::HasFatalFailure()) return;
          const Hoisting hoisting = hoist(key.program, nest);
          with_tables += hoisting.row_slots > 0 && hoisting.column_slots > 0 ? 1 : 0;
          with_diagonals += hoisting.diagonal_slots > 1 ? 1 : 0;
        }
      }
    }
  }
  EXPECT_GT(with_tables, 1000);
  EXPECT_GT(with_diagonals, 100);
  EXPECT_GT(with_sums, 100);
}

// Features that are elements, with a gate a key or without.
ir::Program features(bool gated, const ElementTypes& types) {
  ir::ProgramBuilder builder(types.q == DType::kF64 ? ir::Precision::kFp64 : ir::Precision::kFp32);
  ir::Roots roots;
  roots[ir::Root::kFeature] = builder.variable(ir::Op::kRowValue);
  if (gated) roots[ir::Root::kGate] = builder.const_float(0.5);
  return std::move(builder).finish(roots);
}

void expect_linear(const KernelKey& key) {
  const LinearScratch s = linear_scratch_of(key);
  const KernelLayout layout = layout_of(key);
  const std::int64_t real = key.types.q == DType::kF64 ? 8 : 4, lanes = layout.lanes, chunk = key.tiling.q_tile;
  const std::int64_t gated = key.program.gate().valid() ? chunk : 0;
  ASSERT_EQ(s.bytes, layout.scratch_bytes);
  ASSERT_EQ(chunk, key.tiling.kv_tile);
  ASSERT_EQ(chunk % lanes, 0);
  ASSERT_GE(s.k_stride, chunk);
  ASSERT_GE(s.q_stride, layout.f_padded);
  ASSERT_GE(s.q_row_stride, key.head_dim);
  ASSERT_GE(layout.f_padded, key.linear.features);
  ASSERT_EQ(layout.state_bytes, layout.f_padded * (layout.v_padded + std::int64_t{1}) * real);
  expect_apart({{"k_panels", s.k_panels, chunk * key.head_dim * real},
                {"k_features", s.k_features, key.linear.features * s.k_stride * real},
                {"kept", s.kept, chunk * real},
                {"squares", s.squares, chunk * real},
                {"v", s.v, chunk * layout.v_padded * real},
                {"faded_v", s.faded_v, gated * layout.v_padded * real},
                {"q", s.q, chunk * s.q_row_stride * real},
                {"q_squares", s.q_squares, chunk * real},
                {"q_features", s.q_features, chunk * s.q_stride * real},
                {"weights", s.weights, chunk * s.k_stride * real},
                {"gates", s.gates, gated * real},
                {"since", s.since, gated * s.k_stride * real},
                {"since_begin", s.since_begin, gated * real},
                {"normalisers", s.normalisers, chunk * real},
                {"sums", s.sums, lanes * lanes * real}},
               s.bytes);
}

TEST(Scratch, SectionsOfLinearKeysLieApart) {
  for (std::uint64_t seed = 0; seed < 30; ++seed) {
    for (const Target& target : all_targets()) {
      for (const ElementTypes& types : kElementTypes) {
        if (!can_decode(types)) continue;
        KernelRequest request = random_request(seed, Nest::kLinear, types);
        request.program = features(seed % 2 == 0, types);
        request.weights = Weights::kLinear;
        request.linear = {.features = 1 + static_cast<std::int32_t>(seed * 37 % 300)};
        const KernelKey key = plan_kernel(std::move(request), target);
        SCOPED_TRACE(::testing::Message() << "seed " << seed << ", " << to_string(key));
        expect_linear(key);
        if (::testing::Test::HasFatalFailure()) return;
      }
    }
  }
}

TEST(Scratch, DecodeKeysAreThoseOfTheirPrefillKernels) {
  for (const Target& target : all_targets()) {
    for (const ElementTypes& types : kElementTypes) {
      if (!can_decode(types)) continue;
      const KernelKey prefill = plan_kernel(random_request(7, Nest::kPrefill, types), target);
      const KernelKey decode = decode_key_of(prefill);
      EXPECT_EQ(decode, plan_kernel(random_request(7, Nest::kDecode, types), target)) << to_string(prefill);
    }
  }
}

}  // namespace
}  // namespace flexjit::plan
