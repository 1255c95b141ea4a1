// Forward and backward on as many ranks as there are: what one rank gives, the same bits each time, no byte more than the mask
// needs.
#include <gtest/gtest.h>

#include <functional>
#include <vector>

#include "mpi/cases.h"
#include "mpi/collective.h"

namespace flexjit::mpi {
namespace {

TEST(ShardedAttention, IsAttentionOfTheWhole) {
  for (const Case& of : cases()) {
    if (!of.pitfall.empty()) continue;
    EXPECT_TRUE(is_whole(of));
  }
}

// Blocks in turn, but for the last one, which the first rank has.
Layout in_turn(const SequenceSizes& sizes, int ranks) {
  Layout made{.length = sizes.length, .block = sizes.block, .blocks = {}};
  made.blocks.resize(static_cast<std::size_t>(ranks));
  for (std::int32_t b = 0; b < made.block_count(); ++b)
    made.blocks[b + 1 == made.block_count() ? 0 : static_cast<std::size_t>(b % ranks)].push_back(b);
  return made;
}

TEST(ShardedAttention, TakesTheLayoutOfItsCaller) {
  Case of = cases()[0];
  const Layout layout = in_turn(of.sizes, world_size());
  of.options.layout = &layout;
  const auto attention = ShardedAttention::make(default_engine(), of.spec, of.sizes, of.options).value();
  EXPECT_EQ(attention.layout().blocks, layout.blocks);
  EXPECT_TRUE(is_whole(of));
  for (const auto& spoil : std::vector<std::function<void(Layout&)>>{
           [](Layout& one) { one.blocks.emplace_back(); }, [](Layout& one) { one.blocks[0].push_back(0); },
           [](Layout& one) { one.blocks[0].pop_back(); }, [](Layout& one) { one.block = 8; },
           [](Layout& one) { one.blocks[0].back() = 99; }}) {
    Layout other = layout;
    spoil(other);
    of.options.layout = &other;
    const auto found = ShardedAttention::make(default_engine(), of.spec, of.sizes, of.options);
    EXPECT_TRUE(!found && found.diagnostics().front().kind == "bad-option");
  }
}

// Sums over ranks of what travelled, against the layout's own count of what the mask needs.
TEST(ShardedAttention, SendsWhatTheMaskNeeds) {
  for (const Case& of : cases()) {
    if (of.options.head_ranks > 1) continue;
    SCOPED_TRACE(of.name);
    const ShardedAttention attention =
        ShardedAttention::make(default_engine(), of.spec, of.sizes, of.options, &of.captures.bindings()).value();
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
