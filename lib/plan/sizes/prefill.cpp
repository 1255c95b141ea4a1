// Registers bound the micro-tile, the second-level cache bounds the tile of keys.
#include "plan/sizes/prefill.h"

#include <algorithm>

namespace flexjit::plan {
namespace {

constexpr std::int32_t kQTile = 48;  // divides by every micro_rows and by every number of lanes
// A tile has at most 64 panels, even of 4 lanes: which of them are visited is kept in the bits of one integer.
constexpr std::int64_t kMaxPanels = 64;
constexpr std::int64_t kMaxKvTile = 320;
constexpr std::int64_t kMinKvTile = 64;

}  // namespace

RegisterUse register_use(const KernelKey& key) {
  const IsaFacts& isa = facts_of(key.target.isa);
  return {.accumulators = isa.micro_rows * isa.micro_vectors,
          .operands = isa.micro_vectors,
          .broadcasts = 1,
          .products = has(key.target.isa, kFma) ? 0 : 1,
          .available = isa.vector_registers};
}

// The longest tile of keys whose K, V and scores take half of the second-level cache: the more keys between two rescales of
// the output, the less they cost.
KeyTileBounds key_tile_bounds(const KernelKey& key) {
  const Arithmetic arithmetic = arithmetic_of(key);
  const ArithmeticFacts& facts = facts_of(arithmetic);
  const std::int64_t panels = kMaxPanels * lanes_of(key.target.isa, arithmetic);
  KeyTileBounds bounds;
  bounds.key_bytes = (key.head_dim + key.v_head_dim) * facts.cell_bytes / facts.elements_of_cell + kQTile * facts.real_bytes;
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
  const IsaFacts& isa = facts_of(key.target.isa);
  const std::int64_t strip = std::int64_t{isa.micro_vectors} * lanes_of(key.target.isa, arithmetic_of(key));
  const std::int64_t keys = (key_tile_bounds(key).tile + strip - 1) / strip * strip;
  return {.q_tile = kQTile,
          .kv_tile = static_cast<std::int32_t>(keys),
          .micro_rows = isa.micro_rows,
          .micro_vectors = isa.micro_vectors};
}

}  // namespace flexjit::plan
