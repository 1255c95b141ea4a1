// Starts at the middle row: the first rows of many masks are their least typical ones.
#include "picture/zoom.h"

#include <algorithm>
#include <optional>

namespace flexjit::tools {
namespace {

constexpr std::int64_t kMaxTiles = 256;

// At most kSide positions from `begin` on, moved back where the sequence ends before.
PositionRange side_from(std::int64_t begin, std::int32_t length) {
  const std::int64_t first = std::clamp<std::int64_t>(begin, 0, std::max(0, length - Zoom::kSide));
  return {static_cast<std::int32_t>(first), static_cast<std::int32_t>(std::min<std::int64_t>(first + Zoom::kSide, length))};
}

class ZoomFinder {
 public:
  explicit ZoomFinder(const ZoomRequest& request) : request_(request), shape_(request.mask.shape()) {}

  Result<Zoom> find() {
    const std::int32_t rows = shape_.q_blocks();
    std::optional<BlockPosition> full;
    std::vector<BlockRun> runs;
    for (std::int32_t i = 0; i < rows; ++i) {
      const auto q_block = static_cast<std::int32_t>((rows / 2 + std::int64_t{i}) % rows);
      request_.mask.row_runs(request_.b, request_.h, q_block, runs);
      for (const BlockRun& run : runs) {
        if (run.kind == BlockKind::kPartial) return in_block({.q_block = q_block, .kv_block = run.kv_begin});
        // A corner inside the sequences, not their own.
        if (!full && q_block > 0 && run.kv_begin > 0) full = BlockPosition{.q_block = q_block, .kv_block = run.kv_begin};
      }
    }
    const BlockPosition corner = full.value_or(BlockPosition{});
    return at(std::int64_t{corner.q_block} * shape_.q_block - Zoom::kSide / 2,
              std::int64_t{corner.kv_block} * shape_.kv_block - Zoom::kSide / 2);
  }

 private:
  Result<Zoom> at(std::int64_t q_begin, std::int64_t kv_begin) const {
    return zoom_at(request_, side_from(q_begin, shape_.q_len), side_from(kv_begin, shape_.kv_len));
  }

  Result<Zoom> in_block(BlockPosition block) const {
    const std::int64_t top = std::int64_t{block.q_block} * shape_.q_block,
                       left = std::int64_t{block.kv_block} * shape_.kv_block;
    const std::int64_t bottom = std::min<std::int64_t>(top + shape_.q_block, shape_.q_len);
    const std::int64_t right = std::min<std::int64_t>(left + shape_.kv_block, shape_.kv_len);
    std::int64_t tiles = 0;
    for (std::int64_t q = top; q < bottom; q += Zoom::kSide)
      for (std::int64_t kv = left; kv < right && tiles < kMaxTiles; kv += Zoom::kSide, ++tiles) {
        Result<Zoom> zoom = at(q, kv);
        if (!zoom) return zoom;
        const auto allowed = std::ranges::count(zoom->allowed, std::uint8_t{1});
        if (allowed > 0 && allowed < std::ssize(zoom->allowed)) return zoom;
      }
    return at(top, left);
  }

  const ZoomRequest& request_;
  const BlockMaskShape& shape_;
};

}  // namespace

Result<Zoom> zoom_at(const ZoomRequest& request, PositionRange q, PositionRange kv) {
  Zoom zoom{.q = q, .kv = kv, .allowed = {}};
  auto allowed =
      request.attention.mask_elements(request.options, {.b = request.b, .h = request.h}, zoom.q, zoom.kv, &request.bindings);
  if (!allowed) return allowed.diagnostics();
  zoom.allowed = std::move(*allowed);
  return zoom;
}

Result<Zoom> find_zoom(const ZoomRequest& request) {
  const BlockMaskShape& shape = request.mask.shape();
  if (shape.q_len == 0 || shape.kv_len == 0) return Zoom{};
  return ZoomFinder(request).find();
}

}  // namespace flexjit::tools
