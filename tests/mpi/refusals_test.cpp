// What is wrong on one rank is an error on all, and leaves nobody waiting.
#include <gtest/gtest.h>

#include "mpi/cases.h"
#include "mpi/collective.h"

namespace flexjit::mpi {
namespace {

AttentionSpec causal() {
  AttentionSpec spec;
  spec.program = "mask = q_idx >= kv_idx";
  spec.head_dim = 16;
  spec.v_head_dim = 8;
  return spec;
}
constexpr SequenceSizes kSizes{.q_heads = 2, .kv_heads = 2, .length = 100, .block = 16};

int last() { return world_size() - 1; }

// The kind of finding on the rank that is at fault, and that on the others.
template <typename T>
testing::AssertionResult fails(const Result<T>& found, const std::string& at_fault, const std::string& others) {
  if (found.has_value()) return testing::AssertionFailure() << "no error";
  const std::string& wanted = world_rank() == last() ? at_fault : others;
  if (found.diagnostics().front().kind == wanted) return testing::AssertionSuccess();
  return testing::AssertionFailure() << "another error: " << render(found.diagnostics());
}

// All ranks say that they differ; one alone differs from none.
template <typename T>
testing::AssertionResult disagree(const Result<T>& found) {
  if (world_size() > 1) return fails(found, "rank-mismatch", "rank-mismatch");
  return found ? testing::AssertionSuccess() : testing::AssertionFailure() << render(found.diagnostics());
}

TEST(Refusals, TextsThatDiffer) {
  AttentionSpec spec = causal();
  if (world_rank() == last()) spec.program = "mask = q_idx > kv_idx";
  EXPECT_TRUE(everywhere(disagree(ShardedAttention::make(default_engine(), spec, kSizes))));
  SequenceSizes sizes = kSizes;
  if (world_rank() == last()) sizes.length = 99;
  EXPECT_TRUE(everywhere(disagree(ShardedAttention::make(default_engine(), causal(), sizes))));
}

TEST(Refusals, MasksThatDiffer) {
  AttentionSpec spec = causal();
  spec.program = "param w : int\nmask = abs(q_idx - kv_idx) <= w";
  Bindings bindings;
  bindings.params["w"] = world_rank() == last() ? 90 : 5;
  EXPECT_TRUE(everywhere(disagree(ShardedAttention::make(default_engine(), spec, kSizes, {}, &bindings))));
}

TEST(Refusals, TensorsOfOneRank) {
  const Case of{.name = "", .spec = causal(), .sizes = kSizes};
  const ShardedAttention attention = ShardedAttention::make(default_engine(), of.spec, of.sizes).value();
  const Whole whole = whole_of(of);
  Part part = part_of(of, whole, attention);
  ShardArgs args = args_of(of, part);
  if (world_rank() == last()) args.k.shape[3] = 15;
  EXPECT_TRUE(everywhere(fails(attention.run(args), "shape", "other-rank")));
  args = args_of(of, part);
  if (world_rank() == last()) args.q.dtype = DType::kBF16;
  EXPECT_TRUE(everywhere(fails(attention.run(args), "dtype", "other-rank")));
  // And nobody is left in another call: the next one works.
  ASSERT_TRUE(attention.run(args_of(of, part)).has_value());
  EXPECT_TRUE(everywhere(is_forward(of, whole, attention, part)));
  // All of them ask for gradients of one buffer, or none does.
  ShardGradients gradients = gradients_of(of, part);
  std::vector<float> bias(1);
  if (world_rank() == last()) gradients.buffers["bias"] = MutableTensorView(bias.data(), DType::kF32, {1});
  const Result<Traffic> found = attention.run_backward(args_of(of, part), gradients);
  EXPECT_TRUE(everywhere(world_size() > 1 ? disagree(found) : fails(found, "unknown-binding", "")));
}

// A kernel finds out about a read that is out of range in the middle of the messages.
TEST(Refusals, ReadsThatOneRankMakes) {
  Case of{.name = "", .spec = causal(), .sizes = kSizes};
  of.spec.program = "buffer t : f32[?]\nparam n : int\nscore = score + t[q_idx == n ? 5 : 0]\nmask = q_idx >= kv_idx";
  of.captures.add("t", {1}, std::vector<float>{0.5F});
  of.captures.set("n", -1);
  const ShardedAttention attention =
      ShardedAttention::make(default_engine(), of.spec, of.sizes, {.dealing = Dealing::kContiguous}, &of.captures.bindings())
          .value();
  const Whole whole = whole_of(of);
  Part part = part_of(of, whole, attention);
  ASSERT_TRUE(attention.run(args_of(of, part)).has_value());
  std::int32_t rank = 0;  // with position 0
  of.captures.set("n", 0);
  const Result<Traffic> found = attention.run(args_of(of, part));
  ASSERT_TRUE(everywhere(found ? testing::AssertionFailure() << "no error" : testing::AssertionSuccess()));
  EXPECT_TRUE(everywhere(found.diagnostics().front().kind == (world_rank() == rank ? "buffer-read" : "other-rank")
                             ? testing::AssertionSuccess()
                             : testing::AssertionFailure() << render(found.diagnostics())));
}

TEST(Refusals, OptionsThatNoRankCanHave) {
  const auto kind = [](const AttentionSpec& spec, const SequenceSizes& sizes, const SequenceOptions& options) {
    const auto found = ShardedAttention::make(default_engine(), spec, sizes, options);
    return found ? std::string() : found.diagnostics().front().kind;
  };
  EXPECT_EQ(kind(causal(), {.q_heads = 6, .kv_heads = 3, .length = 64}, {.head_ranks = 2}), "bad-option");
  EXPECT_EQ(kind(causal(), {.q_heads = 3, .kv_heads = 2, .length = 64}, {}), "bad-option");
  EXPECT_EQ(kind(causal(), {.length = 0}, {}), "bad-option");
  EXPECT_EQ(kind(causal(), {.length = 64}, {.message_bytes = 0}), "bad-option");
  AttentionSpec spec = causal();
  spec.dtype = DType::kF64;
  EXPECT_EQ(kind(spec, kSizes, {}), "bad-option");
  spec = causal();
  spec.weights = Weights::kSigmoid;
  EXPECT_EQ(kind(spec, kSizes, {}), "bad-option");
  spec = causal();
  spec.program = "mask = q_idx >= nothing";
  EXPECT_EQ(kind(spec, kSizes, {}), "unknown-name");
}

}  // namespace
}  // namespace flexjit::mpi
