// Forward and backward on as many ranks as there are: what one rank gives, the same bits each time, no byte more than the mask
// needs.
#include <gtest/gtest.h>

#include "mpi/cases.h"
#include "mpi/collective.h"

namespace flexjit::mpi {
namespace {

Engine& engine() {
  static Engine engine;
  return engine;
}

TEST(ShardedAttention, IsAttentionOfTheWhole) {
  for (const Case& of : cases()) {
    SCOPED_TRACE(of.name);
    const ShardedAttention attention =
        ShardedAttention::make(engine(), of.spec, of.sizes, of.options, &of.captures.bindings()).value();
    const Whole whole = whole_of(of);
    Part part = part_of(of, whole, attention);
    Part again = part;
    for (Part* one : {&part, &again}) {
      ASSERT_TRUE(attention.run(args_of(of, *one)).has_value());
      ASSERT_TRUE(attention.run_backward(args_of(of, *one), gradients_of(of, *one)).has_value());
    }
    EXPECT_TRUE(everywhere(is_forward(of, whole, attention, part)));
    EXPECT_TRUE(everywhere(is_backward(of, whole, attention, part)));
    EXPECT_TRUE(everywhere(part == again ? testing::AssertionSuccess() : testing::AssertionFailure() << "two runs differ"));
  }
}

// Sums over ranks of what travelled, against the layout's own count of what the mask needs.
TEST(ShardedAttention, SendsWhatTheMaskNeeds) {
  for (const Case& of : cases()) {
    if (of.options.head_ranks > 1) continue;
    SCOPED_TRACE(of.name);
    const ShardedAttention attention =
        ShardedAttention::make(engine(), of.spec, of.sizes, of.options, &of.captures.bindings()).value();
    const Attention plain = Engine({.backend = Backend::kReference}).compile(of.spec).value();
    const SequenceSizes& s = of.sizes;
    const BlockMask mask = plain
                               .create_block_mask({.batch = s.batch,
                                                   .heads = s.q_heads,
                                                   .kv_heads = s.kv_heads,
                                                   .q_len = s.length,
                                                   .kv_len = s.length,
                                                   .q_block = s.block,
                                                   .kv_block = s.block},
                                                  &of.captures.bindings())
                               .value();
    const auto bytes = static_cast<std::int64_t>(size_of(of.spec.kv_dtype.value_or(of.spec.dtype)));
    const Distribution needed = distribute(
        mask, attention.layout(), std::int64_t{s.batch} * s.kv_heads * (of.spec.head_dim + of.spec.v_head_dim) * bytes);
    const Whole whole = whole_of(of);
    Part part = part_of(of, whole, attention);
    const Traffic traffic = attention.run(args_of(of, part)).value();
    const RankShare& share = needed.ranks[static_cast<std::size_t>(world_rank())];
    const bool exact = traffic.bytes_sent == share.bytes_sent && traffic.bytes_received == share.bytes_received;
    EXPECT_TRUE(
        everywhere(exact ? testing::AssertionSuccess()
                         : testing::AssertionFailure() << traffic.bytes_sent << " bytes sent, needed " << share.bytes_sent));
  }
}

}  // namespace
}  // namespace flexjit::mpi
