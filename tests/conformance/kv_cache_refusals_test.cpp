// append_kv is all or nothing: whatever is wrong with a call, no byte of the cache is another.
#include <gtest/gtest.h>

#include <functional>

#include "cache_model.h"
#include "support/checklist.h"

namespace flexjit::conformance {
namespace {

// A call that is refused: its message says what was wrong, and no byte of the cache is another.
struct Refusal {
  const char* says;
  KeysIn keys;
  std::function<void(Cache&, KvCache&, NewKeys&)> breakage;
};

std::vector<Refusal> refusals() {
  static const std::vector<std::int32_t> far{3, 4000}, negative{3, -1}, three{1, 2, 3}, bad_begins{0, 9, 5};
  return {
      {"block_table", KeysIn::kPages, [](Cache&, KvCache& c, NewKeys&) { c.past_len = Cache::ints(far); }},
      {"page_indices", KeysIn::kPageList, [](Cache&, KvCache& c, NewKeys&) { c.past_len = Cache::ints(far); }},
      {"cache.k holds", KeysIn::kCache, [](Cache&, KvCache& c, NewKeys&) { c.past_len = Cache::ints(far); }},
      {"cache.k holds", KeysIn::kPaddedCache, [](Cache&, KvCache& c, NewKeys&) { c.past_len = Cache::ints(far); }},
      {"past_len[1] is -1", KeysIn::kPages, [](Cache&, KvCache& c, NewKeys&) { c.past_len = Cache::ints(negative); }},
      {"past_len is absent", KeysIn::kPages, [](Cache&, KvCache& c, NewKeys&) { c.past_len = {}; }},
      {"fresh.k has batch", KeysIn::kPages, [](Cache&, KvCache& c, NewKeys&) { c.past_len = Cache::ints(three); }},
      {"block_table[1, 1] is -1", KeysIn::kPages, [](Cache& o, KvCache&, NewKeys&) { o.table[at(o.max_pages + 1)] = -1; }},
      {"block_table[0, 2] is 9999", KeysIn::kPages, [](Cache& o, KvCache&, NewKeys&) { o.table[2] = 9999; }},
      {"both append to page", KeysIn::kPages, [](Cache& o, KvCache&, NewKeys&) { o.table[1] = o.table[at(o.max_pages + 1)]; }},
      {"both append to entry", KeysIn::kCache, [](Cache& o, KvCache&, NewKeys&) { o.entries[0] = o.entries[1]; }},
      {"cache_batch_idx[0] is 77", KeysIn::kCache, [](Cache& o, KvCache&, NewKeys&) { o.entries[0] = 77; }},
      {"cache_leftpad[1] is -2", KeysIn::kPaddedCache, [](Cache& o, KvCache&, NewKeys&) { o.leftpad[1] = -2; }},
      {"fresh.k is f16", KeysIn::kPages, [](Cache&, KvCache&, NewKeys& n) { n.k.dtype = DType::kF16; }},
      {"fresh.v has kv_heads 1", KeysIn::kPages, [](Cache&, KvCache&, NewKeys& n) { n.v.shape[1] = 1; }},
      {"fresh.v has dim 4", KeysIn::kPages, [](Cache&, KvCache&, NewKeys& n) { n.v.shape[3] = 4; }},
      {"fresh.v has new_len", KeysIn::kPages, [](Cache&, KvCache&, NewKeys& n) { n.v.shape[2] = 1; }},
      {"cu_seqlens_k_new", KeysIn::kPages,
       [](Cache&, KvCache&, NewKeys& n) { n.cu_seqlens_k_new = Cache::ints(bad_begins), n.k.shape[0] = n.v.shape[0] = 1; }},
      {"cache.k overlap", KeysIn::kPages, [](Cache&, KvCache& c, NewKeys&) { c.k.strides[0] = 0; }},
      {"it must be i32", KeysIn::kPages, [](Cache&, KvCache& c, NewKeys&) { c.block_table.dtype = DType::kI64; }},
  };
}

TEST(AppendKv, WhatIsRefusedChangesNoByte) {
  covers("C15 D20 P32");
  for (const Refusal& refusal : refusals()) {
    SCOPED_TRACE(refusal.says);
    Cache one({.sequences = {{3, 5}, {2, 5}}, .keys = refusal.keys});
    const Tensor k = one.k, v = one.v;
    KvCache cache = one.cache();
    NewKeys fresh = one.fresh();
    refusal.breakage(one, cache, fresh);
    const Result<AppendStats> appended = append_kv(cache, fresh);
    ASSERT_FALSE(appended);
    EXPECT_NE(render(appended.diagnostics()).find(refusal.says), std::string::npos) << render(appended.diagnostics());
    EXPECT_EQ(one.k.bytes, k.bytes);
    EXPECT_EQ(one.v.bytes, v.bytes);
  }
}

TEST(AppendKv, WrongRotaryTablesChangeNoByte) {
  covers("D16");
  const RotaryTables tables(8, 16, RotaryPairing::kHalves), wide(8, 18, RotaryPairing::kHalves),
      short_ones(7, 16, RotaryPairing::kHalves);
  Rotary unsaid = tables.arg(), mixed = tables.arg(), other = tables.arg();
  unsaid.pairing = {};
  mixed.sin.dtype = DType::kF16;
  other.sin.shape[0] = 7;
  for (const auto& [says, rotary] : {std::pair{"position 7 is looked up", short_ones.arg()},
                                     {"have 8 pairs at most", wide.arg()},
                                     {"rotary.pairing", unsaid},
                                     {"rotary.sin is f16", mixed},
                                     {"rotary.sin has positions 7", other}}) {
    Cache one({.sequences = {{3, 5}, {2, 5}}});
    const Tensor k = one.k, v = one.v;
    const Result<AppendStats> appended = append_kv(one.cache(), one.fresh(&rotary));
    ASSERT_FALSE(appended) << says;
    EXPECT_NE(render(appended.diagnostics()).find(says), std::string::npos) << render(appended.diagnostics());
    EXPECT_EQ(one.k.bytes, k.bytes);
    EXPECT_EQ(one.v.bytes, v.bytes);
  }
}

}  // namespace
}  // namespace flexjit::conformance
