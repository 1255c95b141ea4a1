// A cache in stripes over the ranks, against the reference over all of its keys.
#include <gtest/gtest.h>

#include <cmath>

#include "flexjit/mpi/decode.h"
#include "mpi/collective.h"
#include "support/random.h"

namespace flexjit::mpi {
namespace {

constexpr std::int32_t kHeads = 4, kKvHeads = 2, kDim = 16;

struct Cache {
  std::vector<float> k, v;  // (kv heads, length, dim)
  std::int32_t length = 0;
};

// Rows `at` of each head.
std::vector<float> rows(const std::vector<float>& whole, std::int32_t length, const std::vector<std::int32_t>& at) {
  std::vector<float> part;
  for (std::int32_t h = 0; h < kKvHeads; ++h)
    for (const std::int32_t row : at) {
      const auto begin = whole.begin() + (h * length + row) * kDim;
      part.insert(part.end(), begin, begin + kDim);
    }
  return part;
}

testing::AssertionResult decodes(const std::string& mask, std::int32_t q_len, std::int32_t kv_len, std::int32_t stripe) {
  AttentionSpec spec;
  spec.program = mask;
  spec.head_dim = kDim;
  test::Random random(3);
  const auto q = random.normals(static_cast<std::size_t>(kHeads * q_len * kDim));
  const auto k = random.normals(static_cast<std::size_t>(kKvHeads * kv_len * kDim)), v = random.normals(k.size());
  std::vector<std::int32_t> at;
  for (std::int32_t i = 0; i < kv_len; ++i)
    if (i / stripe % world_size() == world_rank()) at.push_back(i);
  const auto my_k = rows(k, kv_len, at), my_v = rows(v, kv_len, at);
  std::vector<float> out(q.size()), expected(q.size()), lse(static_cast<std::size_t>(kHeads * q_len)), expected_lse(lse.size());
  const std::int64_t count = static_cast<std::int64_t>(at.size());
  const ShardedDecoder decoder = ShardedDecoder::make(default_engine(), spec).value();
  static_cast<void>(decoder
                        .run({.q = TensorView(q.data(), DType::kF32, {1, kHeads, q_len, kDim}),
                              .k = TensorView(my_k.data(), DType::kF32, {1, kKvHeads, count, kDim}),
                              .v = TensorView(my_v.data(), DType::kF32, {1, kKvHeads, count, kDim}),
                              .out = MutableTensorView(out.data(), DType::kF32, {1, kHeads, q_len, kDim}),
                              .lse = MutableTensorView(lse.data(), DType::kF32, {1, kHeads, q_len}),
                              .kv_positions = at,
                              .kv_len = kv_len})
                        .value());
  const Attention whole = Engine({.backend = Backend::kReference}).compile(spec).value();
  static_cast<void>(whole
                        .run({.q = TensorView(q.data(), DType::kF32, {1, kHeads, q_len, kDim}),
                              .k = TensorView(k.data(), DType::kF32, {1, kKvHeads, kv_len, kDim}),
                              .v = TensorView(v.data(), DType::kF32, {1, kKvHeads, kv_len, kDim}),
                              .out = MutableTensorView(expected.data(), DType::kF32, {1, kHeads, q_len, kDim}),
                              .lse = MutableTensorView(expected_lse.data(), DType::kF32, {1, kHeads, q_len})})
                        .value());
  for (std::size_t i = 0; i < out.size(); ++i)
    if (!(std::abs(out[i] - expected[i]) <= 1e-5F * (1 + std::abs(expected[i]))))
      return testing::AssertionFailure() << "out[" << i << "] is " << out[i] << ", must be " << expected[i];
  for (std::size_t i = 0; i < lse.size(); ++i)
    if (!(std::abs(lse[i] - expected_lse[i]) <= 1e-5F * (1 + std::abs(expected_lse[i]))))
      return testing::AssertionFailure() << "lse[" << i << "] is " << lse[i] << ", must be " << expected_lse[i];
  return testing::AssertionSuccess();
}

// Positions and lengths are those of the whole, also where tokens of a step were refused and the cache is shorter again.
TEST(Pitfall, C12StripesOfACache) {
  const std::string causal = "mask = q_idx + kv_len - q_len >= kv_idx";
  EXPECT_TRUE(everywhere(decodes(causal, 2, 7, 1)));
  EXPECT_TRUE(everywhere(decodes(causal, 2, 5, 1)));
  EXPECT_TRUE(everywhere(decodes(causal, 2, 6, 1)));
}

TEST(ShardedDecoder, IsAttentionOverTheWholeCache) {
  const std::string causal = "mask = q_idx + kv_len - q_len >= kv_idx";
  EXPECT_TRUE(everywhere(decodes(causal, 1, 500, 16)));
  EXPECT_TRUE(everywhere(
      decodes("let d = q_idx + kv_len - q_len - kv_idx\nscore = score - 0.1 * d\nmask = d >= 0 && d < 40", 3, 300, 64)));
  EXPECT_TRUE(everywhere(decodes(causal, 1, 2, 1)));  // ranks without keys
}

TEST(ShardedDecoder, RefusesPositionsOutsideOfTheCache) {
  AttentionSpec spec;
  spec.head_dim = kDim;
  const ShardedDecoder decoder = ShardedDecoder::make(default_engine(), spec).value();
  std::vector<float> q(kHeads * kDim), k(kKvHeads * kDim), out(q.size());
  const std::vector<std::int32_t> at{world_rank() == world_size() - 1 ? 9 : 0};
  const Status found = decoder.run({.q = TensorView(q.data(), DType::kF32, {1, kHeads, 1, kDim}),
                                    .k = TensorView(k.data(), DType::kF32, {1, kKvHeads, 1, kDim}),
                                    .v = TensorView(k.data(), DType::kF32, {1, kKvHeads, 1, kDim}),
                                    .out = MutableTensorView(out.data(), DType::kF32, {1, kHeads, 1, kDim}),
                                    .kv_positions = at,
                                    .kv_len = 9});
  EXPECT_TRUE(everywhere(found ? testing::AssertionFailure() << "no error" : testing::AssertionSuccess()));
}

}  // namespace
}  // namespace flexjit::mpi
