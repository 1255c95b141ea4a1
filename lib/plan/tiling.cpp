// Registers bound the micro-tile, the second-level cache bounds the tile of keys.
#include "plan/tiling.h"

#include <algorithm>

namespace flexjit::plan {
namespace {

constexpr std::int32_t kQTile = 48;  // divides by every micro_rows and by every number of lanes
// A tile has at most 64 panels, even of 4 lanes: which of them are visited is kept in the bits of one integer.
constexpr std::int64_t kMaxPanels = 64;
constexpr std::int64_t kMaxKvTile = 320;
constexpr std::int64_t kMinKvTile = 64;

struct MicroTile {
  std::int32_t rows;
  std::int32_t vectors;
};

// Accumulators fill the register file but for one row of B vectors and a broadcast: 24 + 4 + 1 of 32, 12 + 2 + 1 of 16.
// Without FMA (baseline) a product needs one more register.
MicroTile micro_tile_for(Isa isa) {
  switch (isa) {
    case Isa::kX86_64_V4: return {6, 4};
    case Isa::kX86_64_V3: return {6, 2};
    case Isa::kX86_64:
    case Isa::kX86_64_V2: return {4, 2};
    case Isa::kAArch64: return {4, 4};
  }
  return {};
}

}  // namespace

RegisterUse register_use(const KernelKey& key) {
  const MicroTile micro = micro_tile_for(key.target.isa);
  return {.accumulators = micro.rows * micro.vectors,
          .operands = micro.vectors,
          .broadcasts = 1,
          .products = has_fma(key.target.isa) ? 0 : 1,
          .available = vector_registers_of(key.target.isa)};
}

// The longest tile of keys whose K, V and scores take half of the second-level cache: the more keys between two rescales of
// the output, the less they cost.
KeyTileBounds key_tile_bounds(const KernelKey& key) {
  const Arithmetic arithmetic = arithmetic_of(key.types, key.target);
  const std::int64_t cell = key.types.q == DType::kF64 ? 8 : (arithmetic == Arithmetic::kBF16 ? 2 : 4);
  const std::int64_t real = key.types.q == DType::kF64 ? 8 : 4;
  const std::int64_t panels = kMaxPanels * lanes_of(key.target.isa, arithmetic);
  KeyTileBounds bounds;
  bounds.key_bytes = (key.head_dim + key.v_head_dim) * cell + kQTile * real;
  bounds.cache_bytes = caches_of(key.target).l2 / 2;
  bounds.fitting = bounds.cache_bytes / bounds.key_bytes;
  bounds.tile = std::min(kMaxKvTile, panels);
  bounds.limit = panels < kMaxKvTile ? KeyTileLimit::kVisitBits : KeyTileLimit::kLongest;
  while (bounds.tile > kMinKvTile && bounds.tile > bounds.fitting) {
    bounds.tile /= 2;
    bounds.limit = KeyTileLimit::kCache;
  }
  if (bounds.tile > bounds.fitting) bounds.limit = KeyTileLimit::kShortest;
  return bounds;
}

Tiling prefill_tiling(const KernelKey& key) {
  const MicroTile micro = micro_tile_for(key.target.isa);
  const std::int64_t strip = std::int64_t{micro.vectors} * lanes_of(key.target.isa, arithmetic_of(key.types, key.target));
  const std::int64_t keys = (key_tile_bounds(key).tile + strip - 1) / strip * strip;
  return {
      .q_tile = kQTile, .kv_tile = static_cast<std::int32_t>(keys), .micro_rows = micro.rows, .micro_vectors = micro.vectors};
}

}  // namespace flexjit::plan
