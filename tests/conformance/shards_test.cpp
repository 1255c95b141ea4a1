// A handle of compile_shard() on rows from all over a sequence, in any order, against the reference of the whole.
#include <gtest/gtest.h>

#include <cmath>

#include "flexjit/flexjit.h"
#include "support/random.h"

namespace flexjit {
namespace {

constexpr std::int32_t kLength = 150, kHeads = 2, kDim = 16;

std::vector<float> rows_of(const std::vector<float>& whole, const std::vector<std::int32_t>& at) {
  std::vector<float> part;
  for (std::int32_t h = 0; h < kHeads; ++h)
    for (const std::int32_t row : at) {
      const auto begin = whole.begin() + (h * kLength + row) * kDim;
      part.insert(part.end(), begin, begin + kDim);
    }
  return part;
}

template <typename T>
auto view(T* data, std::int64_t heads, std::int64_t rows) {
  using Pointer = std::conditional_t<std::is_const_v<T>, const void*, void*>;
  return BasicTensorView<Pointer>(data, DType::kF32, {1, heads, rows, kDim});
}

// Of a call with head 1 alone.
void bind_shard(const std::vector<std::int32_t>& q_at, const std::vector<std::int32_t>& kv_at, Bindings& bindings) {
  bindings.buffers[std::string(shard::kQPositions)] =
      TensorView(q_at.data(), DType::kI32, {static_cast<std::int64_t>(q_at.size())});
  bindings.buffers[std::string(shard::kKvPositions)] = TensorView(kv_at.data(), DType::kI32, {kLength});
  for (const auto name : {shard::kQLen, shard::kKvLen}) bindings.params[std::string(name)] = kLength;
  for (const auto name : {shard::kHeads, shard::kKvHeads}) bindings.params[std::string(name)] = kHeads;
  bindings.params[std::string(shard::kFirstHead)] = bindings.params[std::string(shard::kFirstKvHead)] = 1;
}

TEST(Shards, RowsFromAllOverASequence) {
  AttentionSpec spec;
  spec.head_dim = kDim;
  spec.causal = true;
  spec.program = "buffer bias : f32[num_heads, q_len, kv_len]\nscore = score + bias[h, q_idx, kv_idx] * h";
  spec.dropout = Dropout{.p = 0.3};
  test::Random random(4);
  const auto q = random.normals(kHeads * kLength * kDim), k = random.normals(q.size()), v = random.normals(q.size());
  const auto bias = random.normals(kHeads * kLength * kLength);
  Bindings bindings;
  bindings.buffers["bias"] = TensorView(bias.data(), DType::kF32, {kHeads, kLength, kLength});
  std::vector<float> expected(q.size());
  const Attention whole = Engine({.backend = Backend::kReference}).compile(spec).value();
  static_cast<void>(whole
                        .run({.q = view(q.data(), kHeads, kLength),
                              .k = view(k.data(), kHeads, kLength),
                              .v = view(v.data(), kHeads, kLength),
                              .out = view(expected.data(), kHeads, kLength),
                              .bindings = &bindings})
                        .value());
  std::vector<std::int32_t> q_at, kv_at;  // keys backwards: their order is nobody's business
  for (std::int32_t i = 0; i < kLength; ++i) kv_at.push_back(kLength - 1 - i);
  for (std::int32_t i = 5; i < kLength; i += 7) q_at.push_back(i);
  const auto count = static_cast<std::int64_t>(q_at.size());
  bind_shard(q_at, kv_at, bindings);
  // Head 1 alone.
  const auto half = static_cast<std::ptrdiff_t>(q.size() / 2);
  std::vector<float> my_q = rows_of(q, q_at), my_k = rows_of(k, kv_at), my_v = rows_of(v, kv_at);
  std::vector<float> out(static_cast<std::size_t>(count * kDim), std::nanf(""));
  const Attention part = compile_shard(default_engine(), spec).value();
  static_cast<void>(part.run({.q = view(std::as_const(my_q).data() + count * kDim, 1, count),
                              .k = view(std::as_const(my_k).data() + half, 1, kLength),
                              .v = view(std::as_const(my_v).data() + half, 1, kLength),
                              .out = view(out.data(), 1, count),
                              .bindings = &bindings})
                        .value());
  const std::vector<float> wanted = rows_of(expected, q_at);
  for (std::size_t i = 0; i < out.size(); ++i) {
    const float right = wanted[out.size() + i];
    ASSERT_LE(std::abs(out[i] - right), 1e-5F * (1 + std::abs(right))) << i;
  }
}

TEST(Shards, Refusals) {
  const auto kind = [](const AttentionSpec& spec) {
    const Result<Attention> found = compile_shard(default_engine(), spec);
    return found ? std::string() : found.diagnostics().front().kind;
  };
  EXPECT_EQ(kind({.program = "param shard_q_len : int = 3\nmask = q_idx < shard_q_len"}), "flag-name");
  EXPECT_EQ(kind({.weights = Weights::kLinear}), "bad-option");
  EXPECT_EQ(kind({.program = "mask = q_idx"}), "result-type");
  Engine gone;
  const Engine other = std::move(gone);
  EXPECT_EQ(compile_shard(gone, {}).diagnostics().front().kind, "empty-handle");  // NOLINT(bugprone-use-after-move)
}

}  // namespace
}  // namespace flexjit
