// update_paged_kv_cache and validate_paged_kv_params: rows of pages written down here token by token, steps that feed the next,
// and an error for every rule.
#include <cmath>
#include <functional>

#include "flash_layouts.h"
#include "flexjit/flash_attention.h"
#include "on_backends.h"
#include "support/checklist.h"

namespace flexjit::conformance {
namespace {

constexpr std::int64_t kHeads = 2, kDim = 3, kRow = kHeads * kDim;

struct Pages {
  std::int64_t page_size = 4;
  std::vector<std::int32_t> table{2, 0, 3, 1}, lens{0, 0};  // two sequences of two pages
  std::vector<float> k, v, new_k, new_v;

  explicit Pages(std::int64_t size) : page_size(size), k(at(4 * size * kRow)), v(k) {}

  TensorView table_view() const { return {table.data(), DType::kI32, {2, 2}}; }
  std::vector<std::int64_t> shape() const { return {4, page_size, kHeads, kDim}; }
  MutableTensorView cache(std::vector<float>& of) { return {of.data(), DType::kF32, shape()}; }
  static TensorView fresh(const std::vector<float>& of) {
    return {of.data(), DType::kF32, {2, static_cast<std::int64_t>(of.size()) / (2 * kRow), kHeads, kDim}};
  }
  // `count` keys each, of values that tell where they come from.
  void bring(std::int64_t count, float first) {
    new_k.clear();
    for (std::int64_t i = 0; i < 2 * count * kRow; ++i) new_k.push_back(first + static_cast<float>(i));
    new_v = new_k;
    for (float& value : new_v) value = -value;
  }
  Result<std::vector<std::int32_t>> update() {
    return update_paged_kv_cache(cache(k), cache(v), fresh(new_k), fresh(new_v), table_view(), ints(lens));
  }
};

// Steps of so many keys; afterwards every row of a page is the key of its position, or 0 where none has come.
void grows(std::int64_t page_size, const std::vector<std::int64_t>& steps) {
  Pages pages(page_size);
  std::vector<float> k(pages.k.size()), v(k);
  for (const std::int64_t count : steps) {
    pages.bring(count, static_cast<float>(1000 + 1000 * pages.lens[0]));
    const auto lens = pages.update();
    ASSERT_TRUE(lens) << render(lens.diagnostics());
    for (std::int64_t b = 0; b < 2; ++b) {
      for (std::int64_t i = 0; i < count; ++i) {
        const std::int64_t position = pages.lens[at(b)] + i;
        const std::int64_t row = pages.table[at(2 * b + position / page_size)] * page_size + position % page_size;
        std::copy_n(&pages.new_k[at((b * count + i) * kRow)], kRow, &k[at(row * kRow)]);
        std::copy_n(&pages.new_v[at((b * count + i) * kRow)], kRow, &v[at(row * kRow)]);
      }
      EXPECT_EQ((*lens)[at(b)], pages.lens[at(b)] + count);
    }
    pages.lens = *lens;
    EXPECT_EQ(pages.k, k);
    EXPECT_EQ(pages.v, v);
  }
}

TEST(PagedCache, GrowsAcrossPages) {
  covers("P29");
  grows(4, {3, 5});
  grows(6, {6, 3});
  grows(4, {8});
  grows(6, {1, 0, 1, 4, 6});
}

// Keys that come with a call are in the cache as if they had come before it, and queries see them.
TEST(PagedCache, AppendIsThatOfACallWithKeys) {
  covers("P30 P31");
  Pages before(4), within(4);
  for (Pages* pages : {&before, &within}) {
    pages->bring(3, 1);
    pages->lens = *pages->update();
    pages->bring(2, 0.25F);
  }
  std::vector<float> q(at(2 * 2 * kRow), 0.01F), out(q.size()), other(q.size());
  const TensorView q_view(q.data(), DType::kF32, {2, 2, kHeads, kDim});
  FlashAttnKvcacheOptions options{
      .out = {out.data(), DType::kF32, {2, 2, kHeads, kDim}}, .block_table = before.table_view(), .causal = true};
  const std::vector<std::int32_t> grown = before.update().value();
  options.cache_seqlens = ints(grown);
  ASSERT_TRUE(flash_attn_with_kvcache(engine_for("host"), q_view, before.cache(before.k), before.cache(before.v), options));
  options.out.data = other.data();
  options.k = Pages::fresh(within.new_k);
  options.v = Pages::fresh(within.new_v);
  options.block_table = within.table_view();
  options.cache_seqlens = ints(within.lens);
  options.return_cache_seqlens = MutableTensorView(within.lens.data(), DType::kI32, {2});  // in their place
  const auto run = [&] {
    return flash_attn_with_kvcache(engine_for("host"), q_view, within.cache(within.k), within.cache(within.v), options);
  };
  ASSERT_TRUE(run());
  EXPECT_EQ(within.lens, grown);
  EXPECT_EQ(within.k, before.k);
  EXPECT_EQ(other, out);
  options.k = options.v = {};  // nothing new
  ASSERT_TRUE(run());
  EXPECT_EQ(within.lens, grown);
  options.return_cache_seqlens.shape[0] = 3;
  const Result<RunStats> refused = run();
  ASSERT_FALSE(refused);
  EXPECT_NE(render(refused.diagnostics()).find("return_cache_seqlens has sequences 3, but q has 2"), std::string::npos)
      << render(refused.diagnostics());
}

TEST(PagedCache, ParamsAreThoseOfTheTensors) {
  covers("P32");
  Pages pages(6);
  const auto params = validate_paged_kv_params(pages.table_view(), 2, pages.cache(pages.k), pages.cache(pages.v));
  ASSERT_TRUE(params) << render(params.diagnostics());
  EXPECT_EQ(params->page_size, 6);
  EXPECT_EQ(params->max_pages, 2);
  pages.table[3] = -1;
  EXPECT_TRUE(validate_paged_kv_params(pages.table_view(), 2, pages.cache(pages.k), pages.cache(pages.v)));
}

struct Views {
  TensorView table, k, v;
};
struct WrongPages {
  const char* expected;
  std::function<void(Pages& pages, Views& views)> breakage;
};

TEST(PagedCache, EveryRuleHasAnError) {
  covers("P32");
  const std::vector<WrongPages> all = {
      {"block_table has no data", [](Pages&, Views& of) { of.table = {}; }},
      {"block_table is i64; it must be i32", [](Pages&, Views& of) { of.table.dtype = DType::kI64; }},
      {"block_table has 1 dimensions; it must have 2", [](Pages&, Views& of) { of.table.rank = 1; }},
      {"block_table has sequences 1, but this call has 2", [](Pages&, Views& of) { of.table.shape[0] = 1; }},
      {"k_cache has 3 dimensions; it must have 4", [](Pages&, Views& of) { of.k.rank = 3; }},
      {"v_cache has 3 dimensions; it must have 4", [](Pages&, Views& of) { of.v.rank = 3; }},
      {"v_cache has page_size 3, but k_cache has 4", [](Pages&, Views& of) { of.v.shape[1] = 3; }},
      {"v_cache has num_pages 3, but k_cache has 4", [](Pages&, Views& of) { of.v.shape[0] = 3; }},
      {"k_cache has 4 pages of 0 rows", [](Pages&, Views& of) { of.k.shape[1] = of.v.shape[1] = 0; }},
      {"k_cache has 0 pages of 4 rows", [](Pages&, Views& of) { of.k.shape[0] = of.v.shape[0] = 0; }},
      {"block_table has 0 pages a sequence", [](Pages&, Views& of) { of.table.shape[1] = 0; }},
      {"block_table[1, 0] is 4; it must be below 4", [](Pages& pages, Views&) { pages.table[2] = 4; }},
  };
  for (const WrongPages& wrong : all) {
    Pages pages(4);
    Views views{pages.table_view(), pages.cache(pages.k), pages.cache(pages.v)};
    wrong.breakage(pages, views);
    const auto result = validate_paged_kv_params(views.table, 2, views.k, views.v);
    ASSERT_FALSE(result) << wrong.expected;
    EXPECT_NE(render(result.diagnostics()).find(wrong.expected), std::string::npos) << wrong.expected << "\n"
                                                                                    << render(result.diagnostics());
  }
}

TEST(PagedCache, ErrorsOfAnUpdateLeaveTheCache) {
  covers("C15 P29");
  const auto refused = [](std::string_view expected, const std::function<void(Pages&)>& breakage) {
    Pages pages(4);
    pages.bring(2, 1);
    breakage(pages);
    const auto result = pages.update();
    ASSERT_FALSE(result) << expected;
    EXPECT_NE(render(result.diagnostics()).find(expected), std::string::npos) << expected << "\n"
                                                                              << render(result.diagnostics());
    EXPECT_EQ(pages.k, std::vector<float>(pages.k.size()));
  };
  refused("sequence 1 would have 9 keys, 2 of them new, but its 2 pages in block_table hold 8",
          [](Pages& pages) { pages.lens = {0, 7}; });
  refused("cache_seqlens[0] is 9; it must be 0 to 8", [](Pages& pages) { pages.lens = {9, 0}; });
  refused("cache_seqlens[1] is -1; it must be 0 to 8", [](Pages& pages) { pages.lens = {0, -1}; });
  refused("block_table[1, 1] is -1", [](Pages& pages) { pages.lens = {0, 3}, pages.table[3] = -1; });
  refused("sequences 0 and 1 both append to page 2", [](Pages& pages) { pages.table[2] = 2; });
  refused("new_v has seqlen_new 1, but new_k has 2", [](Pages& pages) { pages.new_v.resize(pages.new_v.size() / 2); });
  refused("block_table has sequences 2, but this call has 1", [](Pages& pages) { pages.lens = {0}; });
}

}  // namespace
}  // namespace flexjit::conformance
