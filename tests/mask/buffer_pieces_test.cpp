// Pieces of captured buffers where they are known from how the buffer was made.
#include "mask/derive/buffer_pieces.h"

#include <gtest/gtest.h>

#include <numeric>

#include "expression.h"

namespace flexjit {
namespace {

using mask::BufferPieces;
using test::Names;

class BufferPiecesTest : public ::testing::Test {
 protected:
  // Segments [0, 10), [10, 30), [30, 45), [45, 80) of 80 positions.
  BufferPiecesTest() {
    for (std::int32_t i = 0; i < 80; ++i) segment_.push_back(i < 10 ? 0 : i < 30 ? 1 : i < 45 ? 2 : 3);
    std::iota(counter_.begin(), counter_.end(), 0);
  }

  std::uint32_t capture(const std::vector<std::int32_t>& values) {
    buffers_.emplace_back(values.data(), DType::kI32, std::initializer_list{static_cast<std::int64_t>(values.size())});
    return names_.builder.add_buffer({DType::kI32, 1});
  }

  BufferPieces pieces(test::Expression mask, ir::Op axis) {
    program_ = std::move(names_).mask(mask);
    environment_ = {.q_len = 80, .kv_len = 80, .buffers = buffers_, .params = {}};
    BufferPieces pieces(program_, environment_, axis);
    pieces.look_at(0, 0, {0, 79});
    return pieces;
  }

  std::vector<std::int32_t> segment_, counter_ = std::vector<std::int32_t>(80);
  const std::vector<std::int32_t> start_ = {0, 10, 10, 45};
  std::vector<TensorView> buffers_;
  Names names_;
  ir::Program program_;
  ir::Environment environment_;
};

TEST_F(BufferPiecesTest, TheNearestToTheMiddle) {
  Names& n = names_;
  const std::uint32_t segment = capture(segment_);
  BufferPieces found = pieces(n.read(segment, {n.q}) == n.kv, ir::Op::kQIdx);
  EXPECT_EQ(found.split({0, 79}), 45);
  EXPECT_EQ(found.split({0, 44}), 30);
  EXPECT_EQ(found.split({0, 29}), 10);
  EXPECT_EQ(found.split({10, 29}), std::nullopt);
  EXPECT_EQ(found.split({9, 10}), 10);
  EXPECT_EQ(found.split({45, 45}), std::nullopt);
  EXPECT_EQ(found.split({46, 79}), std::nullopt);
}

TEST_F(BufferPiecesTest, OfTheAxisAskedForAlone) {
  Names& n = names_;
  const std::uint32_t segment = capture(segment_);
  EXPECT_EQ(pieces(n.read(segment, {n.q}) == n.kv, ir::Op::kKvIdx).split({0, 79}), std::nullopt);
}

TEST_F(BufferPiecesTest, ReadsOfBothIndicesHaveNone) {
  Names& n = names_;
  const std::uint32_t segment = capture(segment_);
  EXPECT_EQ(pieces(n.read(segment, {(n.q + n.kv) / 2}) == 1, ir::Op::kQIdx).split({0, 79}), std::nullopt);
}

// start[segment[q - 5]] changes with the segment, five positions later and not from the second to the third; the read before
// the first element is 0.
TEST_F(BufferPiecesTest, OfReadsOfReads) {
  Names& n = names_;
  const std::uint32_t segment = capture(segment_), start = capture(start_);
  const test::Expression at = n.read(segment, {n.kv - 5});
  BufferPieces found = pieces(n.read(start, {at}) <= n.q, ir::Op::kKvIdx);
  EXPECT_EQ(found.split({0, 34}), 15);
  EXPECT_EQ(found.split({15, 49}), 35) << "of the segment itself";
  EXPECT_EQ(found.split({36, 79}), 50);
}

// A buffer with a value a position hides no pieces of another one.
TEST_F(BufferPiecesTest, UnsteadyBuffersAreLeftOut) {
  Names& n = names_;
  const std::uint32_t segment = capture(segment_), counter = capture(counter_);
  BufferPieces found = pieces((n.read(segment, {n.q}) == n.kv) & (n.read(counter, {n.q}) < n.kv), ir::Op::kQIdx);
  EXPECT_EQ(found.split({0, 79}), 45);
  EXPECT_EQ(found.split({46, 79}), std::nullopt);
}

TEST_F(BufferPiecesTest, GuardsDoNotMatter) {
  Names& n = names_;
  const std::uint32_t segment = capture(segment_);
  const test::Expression guard = n.q >= n.kv;
  BufferPieces found = pieces(guard & (n.read_guarded(segment, guard, {n.kv}) == 1), ir::Op::kKvIdx);
  EXPECT_EQ(found.split({11, 44}), 30);
}

TEST_F(BufferPiecesTest, LooksAtAnotherWindow) {
  Names& n = names_;
  const std::uint32_t segment = capture(segment_);
  BufferPieces found = pieces(n.read(segment, {n.q}) == n.kv, ir::Op::kQIdx);
  EXPECT_EQ(found.split({0, 79}), 45);
  found.look_at(0, 0, {20, 40});
  EXPECT_EQ(found.split({20, 40}), 30);
  EXPECT_EQ(found.split({31, 40}), std::nullopt);
}

}  // namespace
}  // namespace flexjit
