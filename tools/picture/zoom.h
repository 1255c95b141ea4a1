// A small region of one plane, pair by pair: where something is to be seen.
#pragma once

#include <cstdint>
#include <vector>

#include "flexjit/attention.h"

namespace flexjit::tools {

struct Zoom {
  static constexpr std::int32_t kSide = 64;

  static constexpr std::int32_t kMaxSide = 256;  // that a user may ask for

  PositionRange q, kv;                // at most kSide positions each, unless they were asked for
  std::vector<std::uint8_t> allowed;  // row by row, 1 = allowed

  std::int32_t rows() const { return q.end - q.begin; }
  std::int32_t keys() const { return kv.end - kv.begin; }
  bool at(std::int32_t row, std::int32_t key) const {
    return allowed[static_cast<std::size_t>(row) * static_cast<std::size_t>(keys()) + static_cast<std::size_t>(key)] != 0;
  }
};

struct ZoomRequest {
  const Attention& attention;
  const BlockMaskOptions& options;
  const Bindings& bindings;
  const BlockMask& mask;
  std::int32_t b, h;  // of the call, not of the mask's planes
};

// In the first partial block from the middle row on: its first corner of kSide x kSide pairs that holds both kinds of pairs.
// Without a partial block, where a run of full blocks begins. Empty for a mask without pairs. Errors: those of mask_elements.
Result<Zoom> find_zoom(const ZoomRequest& request);

// These pairs. Errors: those of mask_elements.
Result<Zoom> zoom_at(const ZoomRequest& request, PositionRange q, PositionRange kv);

}  // namespace flexjit::tools
