// KernelKey -> the tiles of the prefill nest, and what bounds each of their sizes.
#pragma once

#include <cstdint>

#include "plan/kernel_key.h"

namespace flexjit::plan {

// Vector registers of one micro-tile's product.
struct RegisterUse {
  std::int32_t accumulators = 0;
  std::int32_t operands = 0;    // one row of K or V vectors
  std::int32_t broadcasts = 0;  // of a query or a weight
  std::int32_t products = 0;    // before they are added, without FMA
  std::int32_t available = 0;

  std::int32_t used() const { return accumulators + operands + broadcasts + products; }
};
RegisterUse register_use(const KernelKey& key);

enum class KeyTileLimit : std::uint8_t { kLongest, kVisitBits, kCache, kShortest };

// What bounds the keys of a tile.
struct KeyTileBounds {
  std::int64_t key_bytes = 0;    // K, V and the scores of all rows, of one key
  std::int64_t cache_bytes = 0;  // that a tile may take: half of the second-level cache
  std::int64_t fitting = 0;      // keys that these hold
  std::int64_t tile = 0;         // keys, before rounding up to whole strips
  KeyTileLimit limit = KeyTileLimit::kLongest;
};
// Reads everything of the key but its tiling.
KeyTileBounds key_tile_bounds(const KernelKey& key);

Tiling prefill_tiling(const KernelKey& key);

}  // namespace flexjit::plan
