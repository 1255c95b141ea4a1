// Pages of a pool: who owns them, what is shared, what a refusal leaves as it was. And appending at positions that tokens say.
#include "flexjit/page_pool.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

#include "flexjit/kv_cache.h"
#include "flexjit/sequences.h"
#include "support/checklist.h"
#include "support/random.h"

namespace flexjit::conformance {
namespace {

using test::Random;

PagePool pool_of(std::int32_t pages, std::int32_t page_size = 4) {
  return PagePool::create({.pages = pages, .kv_heads = 2, .head_dim = 8, .v_head_dim = 4, .page_size = page_size}).value();
}

TEST(PagePool, MakesTheExampleOfPagedCaches) {
  covers("P28");
  PagePool pool =
      PagePool::create({.pages = 64, .kv_heads = 8, .head_dim = 128, .dtype = DType::kBF16, .page_size = 128}).value();
  EXPECT_EQ(pool.k().shape, (std::array<std::int64_t, 4>{64, 8, 128, 128}));
  PageList one, two;
  ASSERT_TRUE(pool.make_room(one, 0, 4096));
  ASSERT_TRUE(pool.make_room(two, 0, 4096));
  EXPECT_EQ(one.size(), 32U);
  EXPECT_EQ(pool.free_pages(), 0);
}

TEST(PagePool, PagesAreZerosAndAligned) {
  const PagePool pool = pool_of(3);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(pool.k().data) % 64, 0U);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(pool.v().data) % 64, 0U);
  const auto* k = static_cast<const float*>(pool.k().data);
  EXPECT_TRUE(std::all_of(k, k + 3 * 2 * 4 * 8, [](float x) { return x == 0; }));
}

TEST(PagePool, WhoWritesToASharedPageGetsACopy) {
  PagePool pool = pool_of(5);
  PageList one;
  ASSERT_TRUE(pool.make_room(one, 0, 7));  // two pages
  auto* k = static_cast<float*>(pool.k().data);
  constexpr std::int64_t kPage = 2 * 4 * 8;
  std::fill_n(k + one[1] * kPage, kPage, 3.0F);
  PageList two = pool.share(one, 6).value();
  EXPECT_EQ(two, one);
  EXPECT_EQ(pool.owners(one[0]), 2);
  ASSERT_TRUE(pool.make_room(two, 6, 1));
  EXPECT_EQ(two[0], one[0]);
  EXPECT_NE(two[1], one[1]);
  EXPECT_EQ(pool.owners(one[1]), 1);
  EXPECT_EQ(k[two[1] * kPage + 5], 3.0F);
  ASSERT_TRUE(pool.release(one));
  EXPECT_TRUE(one.empty());
  EXPECT_EQ(pool.free_pages(), 3);
  ASSERT_TRUE(pool.release(two));
  EXPECT_EQ(pool.free_pages(), 5);
}

TEST(PagePool, RefusalsChangeNothing) {
  PagePool pool = pool_of(3);
  PageList one;
  ASSERT_TRUE(pool.make_room(one, 0, 8));
  const PageList before = one;
  PageList two = pool.share(one, 8).value();
  const auto refused = [](const auto& result, const char* says) {
    return !result && render(result.diagnostics()).find(says) != std::string::npos;
  };
  EXPECT_TRUE(refused(pool.make_room(one, 8, 9), "3 pages are needed and 1 of 3 are free"));
  EXPECT_TRUE(refused(pool.make_room(two, 1, 7), "2 pages are needed and 1 of 3 are free"));
  EXPECT_TRUE(refused(pool.make_room(one, 9, 1), "past_len is 9"));
  EXPECT_TRUE(refused(pool.make_room(one, 0, -1), "new_len is -1"));
  EXPECT_TRUE(refused(pool.share(one, 9), "prefix_len is 9"));
  PageList foreign{7}, unowned{2};
  EXPECT_TRUE(refused(pool.release(foreign), "pages[0] is 7"));
  EXPECT_TRUE(refused(pool.release(unowned), "pages[0] is 2"));
  std::int32_t row[1];
  EXPECT_TRUE(refused(pool.write_row(one, row), "the sequence has 2 pages"));
  EXPECT_TRUE(refused(PagePool::create({.pages = 0, .kv_heads = 1, .head_dim = 1}), "pages is 0"));
  EXPECT_TRUE(refused(PagePool::create({.pages = 1, .kv_heads = 1, .head_dim = 1, .dtype = DType::kI32}), "dtype is i32"));
  EXPECT_EQ(one, before);
  EXPECT_EQ(two, before);
  EXPECT_EQ(pool.free_pages(), 1);
}

// Sequences come, fork, grow and go: every page has the owners that lists say, and no page that is written is another's.
TEST(PagePool, CountsOwnersWhateverHappens) {
  Random random(1);
  PagePool pool = pool_of(40);
  struct Living {
    PageList pages;
    std::int32_t length = 0;
  };
  std::vector<Living> all(8);
  for (int step = 0; step < 4000; ++step) {
    Living& one = all[static_cast<std::size_t>(random.integer(0, 7))];
    Living& other = all[static_cast<std::size_t>(random.integer(0, 7))];
    const std::int32_t more = random.integer(0, 9);
    if (random.chance(0.2)) {
      ASSERT_TRUE(pool.release(one.pages));
      one.length = 0;
      if (&other != &one && random.chance(0.5)) {
        one.length = random.integer(0, other.length);
        one.pages = pool.share(other.pages, one.length).value();
      }
    } else if (pool.make_room(one.pages, one.length, more)) {
      for (std::int32_t key = one.length; key < one.length + more; ++key)
        ASSERT_EQ(pool.owners(one.pages[static_cast<std::size_t>(key / 4)]), 1);
      one.length += more;
    }
    std::map<std::int32_t, int> owners;
    for (const Living& living : all) {
      for (const std::int32_t page : living.pages) ++owners[page];
    }
    for (std::int32_t page = 0; page < 40; ++page) ASSERT_EQ(pool.owners(page), owners.contains(page) ? owners[page] : 0);
    ASSERT_EQ(pool.free_pages(), 40 - static_cast<std::int32_t>(owners.size()));
  }
}

TensorView ints(const std::vector<std::int32_t>& of) {
  return {of.data(), DType::kI32, {static_cast<std::int64_t>(of.size())}};
}

// The example of FlashInfer's documentation: pages of 16, 45, 8, 25 and 22 keys.
TEST(AppendKvAt, EqualsAppendKv) {
  covers("I15 P29");
  const std::vector<std::int32_t> indptr{0, 3, 4, 6, 8}, indices{5, 2, 9, 0, 1, 7, 8, 3}, last{13, 8, 9, 6};
  const std::vector<std::int32_t> append_indptr{0, 45, 53, 78, 100}, total{45, 8, 25, 22}, none{0, 0, 0, 0};
  const TokenPlaces places = get_batch_indices_positions(append_indptr, total).value();
  ASSERT_EQ(places.positions.size(), 100U);
  EXPECT_EQ(places.batch_indices[44], 0);
  EXPECT_EQ(places.positions[44], 44);
  EXPECT_EQ(places.batch_indices[53], 2);
  EXPECT_EQ(places.positions[53], 0);
  Random random(1);
  const std::vector<float> k = random.normals(100 * 2 * 8), v = random.normals(100 * 2 * 8);
  std::vector<std::vector<float>> caches(4, std::vector<float>(10 * 2 * 16 * 8, -1));
  const auto cache_of = [&](std::size_t i) {
    return KvCache{.k = bshd(caches[i].data(), DType::kF32, {10, 16, 2, 8}),
                   .v = bshd(caches[i + 1].data(), DType::kF32, {10, 16, 2, 8}),
                   .page_indptr = ints(indptr),
                   .page_indices = ints(indices)};
  };
  const TensorView new_k = thd(k.data(), DType::kF32, {100, 2, 8}), new_v = thd(v.data(), DType::kF32, {100, 2, 8});
  const Result<AppendStats> at_places = append_kv_at(cache_of(0), {.k = new_k,
                                                                   .v = new_v,
                                                                   .batch_indices = ints(places.batch_indices),
                                                                   .positions = ints(places.positions),
                                                                   .last_page_len = ints(last)});
  ASSERT_TRUE(at_places) << render(at_places.diagnostics());
  EXPECT_EQ(at_places->total_len, total);
  KvCache behind = cache_of(2);
  behind.past_len = ints(none);
  ASSERT_TRUE(append_kv(behind, {.k = new_k, .v = new_v, .cu_seqlens_k_new = ints(append_indptr)}));
  EXPECT_EQ(caches[0], caches[2]);
  EXPECT_EQ(caches[1], caches[3]);
  EXPECT_FALSE(get_batch_indices_positions(append_indptr, std::vector<std::int32_t>{44, 8, 25, 22}));
}

TEST(AppendKvAt, RefusesWhatDoesNotFitAndSkipsWhatBelongsToNone) {
  covers("I15");
  const std::vector<float> k(3 * 2 * 4, 1.0F);
  std::vector<float> cache(2 * 2 * 4 * 4, -1.0F), untouched = cache;
  const std::vector<std::int32_t> indptr{0, 2}, indices{1, 0}, last{3};
  const auto append = [&](const std::vector<std::int32_t>& batch_indices, const std::vector<std::int32_t>& positions,
                          const std::vector<std::int32_t>& ends) {
    const TensorView fresh = thd(k.data(), DType::kF32, {3, 2, 4});
    std::vector<float> values(cache.size());
    return append_kv_at({.k = {cache.data(), DType::kF32, {2, 2, 4, 4}},
                         .v = {values.data(), DType::kF32, {2, 2, 4, 4}},
                         .page_indptr = ints(indptr),
                         .page_indices = ints(indices)},
                        {.k = fresh,
                         .v = fresh,
                         .batch_indices = ints(batch_indices),
                         .positions = ints(positions),
                         .last_page_len = ints(ends)});
  };
  EXPECT_NE(render(append({0, 0, 0}, {5, 6, 7}, last).diagnostics()).find("positions[2] is 7; it must be below 7"),
            std::string::npos);
  EXPECT_NE(render(append({0, 0, 1}, {5, 6, 6}, last).diagnostics()).find("batch_indices[2] is 1"), std::string::npos);
  EXPECT_NE(render(append({0, 0, 0}, {5, 6, 5}, last).diagnostics()).find("both append to page 0"), std::string::npos);
  EXPECT_NE(render(append({0, 0, 0}, {4, 5, 6}, {5}).diagnostics()).find("last_page_len[0] is 5"), std::string::npos);
  EXPECT_EQ(cache, untouched);
  ASSERT_TRUE(append({-1, 0, -7}, {5, 6, 9}, last));
  for (std::size_t i = 0; i < cache.size(); ++i) {
    const bool is_written = i / 32 == 0 && i / 4 % 4 == 2;  // page 0, row 2
    EXPECT_EQ(cache[i], is_written ? 1.0F : -1.0F) << i;
  }
}

}  // namespace
}  // namespace flexjit::conformance
