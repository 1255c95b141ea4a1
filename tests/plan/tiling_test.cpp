// Tilings of every target, element type and head dim: multiples that the nests rely on, tiles that fit what they must fit, and
// micro-tiles that fit the register file.
#include "plan/sizes/prefill.h"

#include <gtest/gtest.h>

#include "keys.h"
#include "plan/sizes/decode.h"

namespace flexjit::plan {
namespace {

KernelKey key_of(const Target& target, const ElementTypes& types, std::int32_t head_dim, std::int32_t v_head_dim) {
  return plan_kernel({.program = {}, .types = types, .head_dim = head_dim, .v_head_dim = v_head_dim}, target);
}

// Every head dim, beside an equal, a small and a large one of the values.
template <typename Check>
void for_every_key(const Check& check) {
  for (const Target& target : all_targets()) {
    for (const ElementTypes& types : kElementTypes) {
      for (std::int32_t dim = 1; dim <= 1024; ++dim) {
        for (const std::int32_t v_dim : {dim, 1, 1024}) {
          const KernelKey key = key_of(target, types, dim, v_dim);
          SCOPED_TRACE(to_string(key));
          check(key);
          if (::testing::Test::HasFatalFailure()) return;
        }
      }
    }
  }
}

TEST(PrefillTiling, IsMadeOfWholeMicroTiles) {
  for_every_key([](const KernelKey& key) {
    const Tiling& t = key.tiling;
    const std::int32_t lanes = lanes_of(key.target.isa, arithmetic_of(key.types, key.target));
    ASSERT_EQ(t, prefill_tiling(key));
    ASSERT_EQ(t.q_tile % t.micro_rows, 0);
    ASSERT_EQ(t.q_tile % lanes, 0);
    ASSERT_EQ(t.kv_tile % (lanes * t.micro_vectors), 0);
    ASSERT_GT(t.kv_tile, 0);
    ASSERT_LE(t.kv_tile / lanes, 64) << "a bit of an integer for each panel";
    ASSERT_EQ(t.micro_rows, facts_of(key.target.isa).micro_rows);
  });
}

TEST(PrefillTiling, RegistersSuffice) {
  for_every_key([](const KernelKey& key) {
    const RegisterUse use = register_use(key);
    ASSERT_EQ(use.available, facts_of(key.target.isa).vector_registers);
    ASSERT_EQ(use.accumulators, key.tiling.micro_rows * key.tiling.micro_vectors);
    ASSERT_GE(use.operands, key.tiling.micro_vectors);
    ASSERT_LE(use.used(), use.available);
    // A product that is not added in one instruction lies somewhere before it is.
    ASSERT_EQ(use.used(), use.accumulators + use.operands + 1 + (has(key.target.isa, kFma) ? 0 : 1));
  });
}

TEST(KeyTiles, FitTheCacheOrSayWhatBoundsThem) {
  for_every_key([](const KernelKey& key) {
    const KeyTileBounds bounds = key_tile_bounds(key);
    const bool is_f64 = key.types.q == DType::kF64;
    const std::int64_t element = is_f64 ? 8 : arithmetic_of(key.types, key.target) == Arithmetic::kBF16 ? 2 : 4;
    const std::int64_t scores = key.tiling.q_tile * std::int64_t{is_f64 ? 8 : 4};
    ASSERT_EQ(bounds.key_bytes, (key.head_dim + key.v_head_dim) * element + scores);
    ASSERT_EQ(bounds.cache_bytes, caches_of(key.target).l2 / 2);
    ASSERT_EQ(bounds.fitting, bounds.cache_bytes / bounds.key_bytes);
    const std::int64_t panels = 64 * lanes_of(key.target.isa, arithmetic_of(key.types, key.target));
    ASSERT_LE(bounds.tile, std::min<std::int64_t>(320, panels));
    ASSERT_EQ(bounds.limit == KeyTileLimit::kShortest, bounds.tile > bounds.fitting);
    if (bounds.limit == KeyTileLimit::kLongest) {
      ASSERT_EQ(bounds.tile, 320);
    }
    if (bounds.limit == KeyTileLimit::kVisitBits) {
      ASSERT_EQ(bounds.tile, panels);
    }
    if (bounds.limit == KeyTileLimit::kCache) {
      ASSERT_GT(2 * bounds.tile, bounds.fitting) << "a longer one would fit";
    }
    ASSERT_GE(key.tiling.kv_tile, bounds.tile);
    ASSERT_LT(key.tiling.kv_tile, bounds.tile + layout_of(key).strip);
  });
}

TEST(KeyTiles, ShrinkAsHeadsGrow) {
  for (const Target& target : all_targets()) {
    for (const ElementTypes& types : kElementTypes) {
      std::int32_t last = key_of(target, types, 1, 1).tiling.kv_tile;
      for (std::int32_t dim = 2; dim <= 1024; ++dim) {
        const std::int32_t keys = key_of(target, types, dim, dim).tiling.kv_tile;
        ASSERT_LE(keys, last) << to_string(key_of(target, types, dim, dim));
        last = keys;
      }
    }
  }
}

TEST(DecodeTiling, IsMadeOfWholeMicroTilesInRegisters) {
  for (const Target& target : all_targets()) {
    for (const ElementTypes& types :
         {ElementTypes{}, {DType::kBF16, DType::kI8, DType::kBF16}, {DType::kF32, DType::kE4M3, DType::kF32}}) {
      SCOPED_TRACE(name_of(target) + ", " + std::string(flexjit::name_of(types.kv)));
      const Tiling t = decode_tiling(target.isa, types);
      const std::int32_t lanes = lanes_of(target.isa);
      EXPECT_EQ(t.q_tile % t.micro_rows, 0);
      EXPECT_EQ(t.kv_tile % lanes, 0) << "scores of a row are whole vectors";
      EXPECT_EQ(t.kv_tile % 4, 0) << "keys are multiplied by fours";
      EXPECT_EQ(t.q_tile % 16, 0);
      // Accumulators, a vector of one operand beside one broadcast of the other, and products where they are not added at once.
      const std::int32_t accumulators = t.micro_rows * t.micro_vectors;
      const std::int32_t products = has(target.isa, kFma) ? 0 : accumulators;
      EXPECT_LE(accumulators + products + t.micro_vectors + 1, facts_of(target.isa).vector_registers);
    }
  }
  EXPECT_FALSE(can_decode({DType::kF64, DType::kF64, DType::kF64}));
}

}  // namespace
}  // namespace flexjit::plan
