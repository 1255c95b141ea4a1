// What a backward launch keeps of one (batch, kv head) beside the caller's tensors: O(length x dims), and no copy of keys that
// lie as they are read.
#include <gtest/gtest.h>

#include <array>

#include "plan/sizes/backward.h"
#include "runtime/backward/gradient_job.h"

namespace flexjit::runtime {
namespace {

constexpr std::int32_t kLength = 16384, kDim = 128;
constexpr WorkShape kOneHead{
    .batch = 1, .q_heads = 1, .kv_heads = 1, .q_len = kLength, .kv_len = kLength, .q_tile = 48, .q_block = 48, .panel = 8};

plan::KernelLayout layout_for(DType dtype) {
  const plan::Target target{.isa = plan::Isa::kX86_64_V3, .tuning = {}, .bf16 = false};
  return plan::layout_of(plan::plan_kernel({.program = {},
                                            .nest = plan::Nest::kBackward,
                                            .types = {.q = dtype, .kv = dtype, .out = dtype},
                                            .head_dim = kDim,
                                            .v_head_dim = kDim},
                                           target));
}

std::int64_t bytes_of_pair(const plan::KernelLayout& layout, const plan::TensorArg& k) {
  const BufferSums none = sums_of({}, 4);
  return layout_of(kOneHead, layout, k_lies_ready(k, layout), none).sums_end;
}

alignas(64) std::array<float, 16> keys;
plan::TensorArg rows_of(std::int64_t stride) { return {keys.data(), stride * kLength, stride * kLength, stride}; }

TEST(GradientMemory, OfAHeadOf16kStaysBelow64MiB) {
  const std::int64_t copy = std::int64_t{kLength} * kDim * 4;
  const std::int64_t in_place = bytes_of_pair(layout_for(DType::kF32), rows_of(kDim));
  EXPECT_LE(in_place, std::int64_t{64} << 20);
  EXPECT_GE(in_place, 7 * copy);
  EXPECT_EQ(bytes_of_pair(layout_for(DType::kF32), rows_of(2 * kDim)), in_place + copy) << "rows that are apart are copied";
}

TEST(GradientMemory, KeysAreReadAsTheyLieOnlyWhereTheProductsCan) {
  const plan::KernelLayout f32 = layout_for(DType::kF32);
  EXPECT_TRUE(k_lies_ready(rows_of(kDim), f32));
  EXPECT_FALSE(k_lies_ready(rows_of(kDim), layout_for(DType::kBF16))) << "other elements";
  plan::TensorArg k = rows_of(kDim);
  k.data = keys.data() + 1;
  EXPECT_FALSE(k_lies_ready(k, f32)) << "between cache lines";
  k = rows_of(kDim);
  k.stride_head += 4;
  EXPECT_FALSE(k_lies_ready(k, f32)) << "the next head is between cache lines";
}

}  // namespace
}  // namespace flexjit::runtime
