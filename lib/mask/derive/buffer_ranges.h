// Captured buffers -> the range of their values over a box of indices, for interval analysis: what lets a document mask be
// decided from document ids. Where one index varies, a tree of minima and maxima built once answers in logarithmic time;
// small boxes are scanned; anything else is answered by the element type alone, which is always sound.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <span>
#include <vector>

#include "ir/analysis/intervals.h"
#include "mask/derive/range_tree.h"

namespace flexjit::mask {

// Not synchronised: trees are built on demand, so one object per thread. The buffers must not change while it lives.
class BufferTable final : public ir::BufferRanges {
 public:
  static constexpr std::int64_t kScanLimit = 4096;                 // elements of a box that is read one by one
  static constexpr std::int64_t kChunk = 128;                      // elements under one leaf of a tree
  static constexpr std::int64_t kFewElements = 16;                 // of a line, read sooner than looked up
  static constexpr std::size_t kNodeLimit = std::size_t{1} << 20;  // of all kept trees (8 MiB)

  // As a program whose floats have this precision reads the buffers.
  BufferTable(std::span<const TensorView> buffers, ir::Precision precision) : buffers_(buffers), precision_(precision) {}

  // `index`: one int range a dimension. Indices outside the buffer contribute the value 0.
  ir::Range range(std::uint32_t buffer, std::span<const ir::Range> index) const override;
  // The contents of buffers have changed.
  void forget() {
    trees_.clear();
    nodes_ = 0;
    answers_.clear();
  }
  // At most kNodeLimit, or one line's when that alone is more.
  std::size_t kept_nodes() const { return nodes_; }

 private:
  // Elements base, base + stride, ...; `count` of them, the whole of one dimension.
  struct Line {
    std::int64_t base = 0;
    std::int64_t stride = 0;
    std::int64_t count = 0;
  };
  // Inclusive bounds in each dimension.
  struct IndexBox {
    std::array<std::int64_t, kMaxRank> lo{};
    std::array<std::int64_t, kMaxRank> hi{};
    bool operator==(const IndexBox&) const = default;
  };
  struct Answer {
    std::uint32_t buffer = ~0U;
    IndexBox box;
    ir::Range range;
  };
  using LineKey = std::array<std::int64_t, 3>;  // buffer, dimension, base

  // Where it is kept, or would be.
  Answer& answer_to(std::uint32_t buffer, const IndexBox& box) const;
  ir::Range range_along(std::uint32_t buffer, int varying, std::int64_t base, const IndexBox& box) const;
  ir::Range scan(const TensorView& view, const IndexBox& box) const;
  ir::Range query(const TensorView& view, const Line& line, const RangeTree& tree, std::int64_t lo, std::int64_t hi) const;
  const RangeTree& tree_of(const TensorView& view, const LineKey& key, const Line& line) const;

  ir::Range range_of_line(const TensorView& view, std::int64_t offset, std::int64_t stride, std::int64_t count) const;

  std::span<const TensorView> buffers_;
  ir::Precision precision_;
  mutable std::map<LineKey, RangeTree> trees_;
  mutable std::size_t nodes_ = 0;
  mutable std::vector<Answer> answers_;  // the last ones, by hash; empty before the first
};

}  // namespace flexjit::mask
