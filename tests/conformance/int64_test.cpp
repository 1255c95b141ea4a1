// Buffers of i64 keep all their bits: ids, bit sets and times that differ above bit 31. What is expected is computed here in
// C++'s own 64-bit integers.
#include <bit>
#include <cmath>
#include <functional>
#include <limits>

#include "on_backends.h"

namespace flexjit::conformance {
namespace {

using Longs = std::vector<std::int64_t>;

constexpr std::int64_t kMin = std::numeric_limits<std::int64_t>::min(), kMax = std::numeric_limits<std::int64_t>::max();

// A tree of 48 nodes, by parent; node i has a bit for itself and each of its ancestors.
Longs ancestors() {
  constexpr int kParents[] = {-1, 0, 1,  1,  2,  1, 1,  0,  0,  0, 1, 8,  7, 11, 7, 9,  15, 12, 11, 10, 11, 19, 6, 18,
                              16, 0, 10, 23, 15, 0, 22, 22, 27, 5, 3, 30, 0, 20, 3, 11, 19, 17, 16, 1,  0,  5,  0, 31};
  Longs bits;
  for (int parent : kParents) {
    const std::int64_t own = std::int64_t{1} << bits.size();
    bits.push_back(own | (parent < 0 ? 0 : bits[static_cast<std::size_t>(parent)]));
  }
  return bits;
}

constexpr const char* kTree = R"(buffer anc : i64[q_len]
let past = kv_len - q_len
mask = kv_idx < past || ((anc[q_idx] >> (kv_idx - past)) & 1) == 1
)";

constexpr const char* kDocuments = R"(buffer q_doc : i64[q_len]
buffer kv_doc : i64[kv_len]
mask = q_doc[q_idx] == kv_doc[kv_idx]
)";

// `length` positions in documents of `each`, named by `id`.
Longs documents(std::int32_t length, std::int32_t each, const std::function<std::int64_t(std::int32_t)>& id) {
  Longs ids;
  for (std::int32_t i = 0; i < length; ++i) ids.push_back(id(i / each));
  return ids;
}

class Int64On : public OnBackends {
 protected:
  // The kernel's outputs with `mask` as text against those of the same mask as a function.
  void expect_mask(const std::string& program, const Shape& shape, const Captures& captures,
                   std::function<bool(const Position&)> allowed) {
    Problem tensors(shape);
    compile_or_throw(engine(), spec_of(program, shape)).run(tensors.args(&captures.bindings())).value();
    EXPECT_TRUE(is_attention(tensors, {.mask = std::move(allowed)}, {.lse = {1e-5}}));
  }

  std::int64_t count(const std::string& program, const BlockMaskOptions& options, const Captures& captures) {
    return compile_or_throw(engine(), spec_of(program, {.head_dim = 16})).count_allowed(options, &captures.bindings()).value();
  }
};

TEST_P(Int64On, TreesOf48Nodes) {
  const Longs anc = ancestors();
  Captures captures;
  captures.add("anc", {48}, anc);
  EXPECT_EQ(count(kTree, {.q_len = 48, .kv_len = 148}, captures), 4979);
  for (std::int32_t heads : {1, 4}) {
    const Shape shape{.q_heads = heads, .kv_heads = 1, .q_len = 48, .kv_len = 148, .head_dim = 16};
    expect_mask(kTree, shape, captures, [&](const Position& p) {
      return p.kv_idx < 100 || (anc[static_cast<std::size_t>(p.q_idx)] >> (p.kv_idx - 100) & 1) == 1;
    });
  }
}

// Few query rows take the decode nest.
TEST_P(Int64On, TreesOfFewRows) {
  Captures captures;
  const Longs anc{1, kMin, std::int64_t{5} << 40};
  captures.add("anc", {3}, anc);
  const std::string program = "buffer anc : i64[q_len]\nmask = ((anc[q_idx] >> kv_idx) & 1) == 1 || kv_idx == 70";
  expect_mask(program, {.q_heads = 2, .kv_heads = 1, .q_len = 3, .kv_len = 90, .head_dim = 16}, captures,
              [&](const Position& p) {
                return p.kv_idx == 70 || (anc[static_cast<std::size_t>(p.q_idx)] >> (p.kv_idx & 63) & 1) == 1;
              });
}

TEST_P(Int64On, IdsThatDifferAboveBit31) {
  const Shape shape{.q_heads = 1, .kv_heads = 1, .q_len = 150, .kv_len = 150, .head_dim = 16};
  const std::function<std::int64_t(std::int32_t)> names[] = {
      [](std::int32_t n) { return std::int64_t{7 + 2 * n} << 32 | 5; },
      [](std::int32_t n) { return (std::int64_t{1} << 60) + n; },  // no doubles
      [](std::int32_t n) { return n % 2 == 0 ? kMin + n : kMax - n; },
  };
  for (const auto& name : names) {
    const Longs ids = documents(150, 50, name);
    Captures captures;
    captures.add("q_doc", {150}, ids).add("kv_doc", {150}, ids);
    EXPECT_EQ(count(kDocuments, {.q_len = 150, .kv_len = 150}, captures), 3 * 50 * 50);
    expect_mask(kDocuments, shape, captures, [](const Position& p) { return p.q_idx / 50 == p.kv_idx / 50; });
  }
}

TEST_P(Int64On, TimesInMilliseconds) {
  Longs times;
  for (std::int64_t i = 0; i < 200; ++i) times.push_back(1'700'000'000'000 + i * i * 90'000);
  Captures captures;
  captures.add("time", {200}, times);
  const std::string program =
      "buffer time : i64[?]\nmask = time[q_idx] - time[kv_idx] >= 0 && time[q_idx] - time[kv_idx] < 86400000";
  const Shape shape{.q_len = 200, .kv_len = 200, .head_dim = 16};
  expect_mask(program, shape, captures, [&](const Position& p) {
    const std::int64_t age = times[static_cast<std::size_t>(p.q_idx)] - times[static_cast<std::size_t>(p.kv_idx)];
    return age >= 0 && age < 86'400'000;
  });
}

// Numbers beyond 2^53 that are one number over all pairs of a plane, of which no double is the value.
TEST_P(Int64On, OneLargeNumberAPlane) {
  constexpr std::int64_t kHash = 0x7a3b1c2d5e6f0001;
  Longs ids, bits{-(std::int64_t{1} << 54) - 5, std::int64_t{1} << 60 | 3};
  for (std::int32_t i = 0; i < 300; ++i) ids.push_back(i < 200 ? kHash + 2 : kHash);
  const Longs keys{kHash, kHash + 2};
  Captures captures;
  captures.add("ids", {300}, ids).add("key", {2}, keys).add("bits", {2}, bits);
  const auto bit = [&](std::size_t i, std::int32_t n) { return (bits[i] >> n & 1) == 1; };
  const std::pair<const char*, std::function<bool(const Position&)>> masks[] = {
      {"ids[kv_idx] == key[h]", [](const Position& p) { return (p.kv_idx < 200) == (p.h == 1); }},
      {"ids[kv_idx] <= key[h]", [](const Position& p) { return p.h == 1 || p.kv_idx >= 200; }},
      {"ids[kv_idx] >= key[1] - 1", [](const Position& p) { return p.kv_idx < 200; }},
      {"ids[kv_idx] - key[h] == 0 && q_idx >= 0", [](const Position& p) { return (p.kv_idx < 200) == (p.h == 1); }},
      {"(bits[h] >> (kv_idx % 64)) & 1 == 1",
       [&](const Position& p) { return bit(static_cast<std::size_t>(p.h), p.kv_idx % 64); }},
      {"((~bits[h] >> (kv_idx // 5 % 64)) & 1) == 0",
       [&](const Position& p) { return bit(static_cast<std::size_t>(p.h), p.kv_idx / 5 % 64); }},
      {"(((bits[1] ^ 5) >> (q_idx % 64)) & 1) == 1",
       [&](const Position& p) { return (((bits[1] ^ 5) >> (p.q_idx % 64)) & 1) == 1; }},
      {"int((bits[1] >> 57) & 15) == kv_idx % 9", [&](const Position& p) { return (bits[1] >> 57 & 15) == p.kv_idx % 9; }},
  };
  for (const auto& [text, allowed] : masks) {
    SCOPED_TRACE(text);
    const std::string program =
        std::string("buffer ids : i64[kv_len]; buffer key : i64[num_heads]; buffer bits : i64[?]\nmask = ") + text;
    for (const std::int32_t q_len : {1, 64, 300}) {
      const Shape shape{.q_heads = 2, .kv_heads = 1, .q_len = q_len, .kv_len = 300, .head_dim = 16};
      expect_mask(program, shape, captures, allowed);
      std::int64_t pairs = 0;
      for (std::int32_t h = 0; h < 2; ++h)
        for (std::int32_t q = 0; q < q_len; ++q)
          for (std::int32_t kv = 0; kv < 300; ++kv) pairs += allowed({0, h, q, kv}) ? 1 : 0;
      EXPECT_EQ(count(program, {.heads = 2, .q_len = q_len, .kv_len = 300}, captures), pairs);
    }
  }
}

// Every operation on longs, as (text) == (what C++ computes), which must hold everywhere.
TEST_P(Int64On, OperationsAsInCpp) {
  struct Operation {
    const char* text;
    std::function<std::int64_t(std::int64_t, std::int64_t)> value;
  };
  using Bits = std::uint64_t;
  const auto wrapped = [](Bits bits) { return static_cast<std::int64_t>(bits); };
  const auto floor_div = [&](std::int64_t x, std::int64_t y) {
    if (y == 0) return std::int64_t{0};
    if (y == -1) return wrapped(0 - static_cast<Bits>(x));
    return x / y - (x % y != 0 && (x % y < 0) != (y < 0) ? 1 : 0);
  };
  const auto of_float = [](double x) {
    return x >= 0x1p31 ? 2147483647LL : x < -0x1p31 ? -2147483648LL : static_cast<std::int64_t>(x);
  };
  const Operation operations[] = {
      {"x + y", [&](auto x, auto y) { return wrapped(static_cast<Bits>(x) + static_cast<Bits>(y)); }},
      {"x - y", [&](auto x, auto y) { return wrapped(static_cast<Bits>(x) - static_cast<Bits>(y)); }},
      {"x * y", [&](auto x, auto y) { return wrapped(static_cast<Bits>(x) * static_cast<Bits>(y)); }},
      {"-x + 1", [&](auto x, auto) { return wrapped(1 - static_cast<Bits>(x)); }},
      {"x // y", floor_div},
      {"x % y",
       [&](auto x, auto y) {
         return y == 0 ? 0 : wrapped(static_cast<Bits>(x) - static_cast<Bits>(floor_div(x, y)) * static_cast<Bits>(y));
       }},
      {"x // 1000 + y % 8", [&](auto x, auto y) { return floor_div(x, 1000) + (y & 7); }},
      {"x & y", [](auto x, auto y) { return x & y; }},
      {"x | y", [](auto x, auto y) { return x | y; }},
      {"x ^ ~y", [](auto x, auto y) { return x ^ ~y; }},
      {"x << y", [&](auto x, auto y) { return wrapped(static_cast<Bits>(x) << (y & 63)); }},
      {"x >> y", [](auto x, auto y) { return x >> (y & 63); }},
      {"(x >> 33) + (y << 3)",
       [&](auto x, auto y) { return wrapped(static_cast<Bits>(x >> 33) + (static_cast<Bits>(y) << 3)); }},
      {"min(x, y)", [](auto x, auto y) { return std::min(x, y); }},
      {"max(x, y, 7)", [](auto x, auto y) { return std::max({x, y, std::int64_t{7}}); }},
      {"abs(x)", [&](auto x, auto) { return x < 0 ? wrapped(0 - static_cast<Bits>(x)) : x; }},
      {"clamp(x, -5, y)", [](auto x, auto y) { return std::min(std::max(x, std::int64_t{-5}), y); }},
      {"relu(x)", [](auto x, auto) { return std::max(x, std::int64_t{0}); }},
      {"(x < y ? x : q_idx)", [](auto x, auto y) { return x < y ? x : -1; }},  // -1: q_idx, see below
      {"int(x)", [](auto x, auto) { return std::clamp<std::int64_t>(x, -2147483648LL, 2147483647LL); }},
      {"int(float(x) / 4)", [&](auto x, auto) { return of_float(static_cast<double>(static_cast<float>(x)) / 4); }},
      {"(x in {3, 5} || x == y ? 1 : 0)", [](auto x, auto y) { return x == 3 || x == 5 || x == y ? 1 : 0; }},
      {"int(bool(x)) + int(x != y) + int(x <= y) + int(x >= 0)",
       [](auto x, auto y) { return (x != 0) + (x != y) + (x <= y) + (x >= 0); }},
  };
  const Longs numbers{0,
                      1,
                      -1,
                      2,
                      3,
                      5,
                      7,
                      63,
                      64,
                      -100,
                      1000,
                      2147483647,
                      2147483648,
                      -(std::int64_t{1} << 31),
                      -(std::int64_t{1} << 32),
                      (std::int64_t{1} << 53) + 1,
                      kMin,
                      kMax,
                      kMax - 1,
                      kMin + 1,
                      0x123456789abcdef,
                      12};
  const auto n = static_cast<std::int32_t>(numbers.size());
  const BlockMaskOptions options{.q_len = n, .kv_len = n, .q_block = 8, .kv_block = 8};
  const std::string prelude =
      "buffer a : i64[q_len]\nbuffer c : i64[kv_len]\nbuffer want : i64[?, q_len, kv_len]\nlet x = a[q_idx]\nlet y = "
      "c[kv_idx]\nmask = ";
  Longs want;
  std::vector<std::string> texts;
  for (const Operation& operation : operations) {
    texts.push_back(std::string("(") + operation.text + ") == want[" + std::to_string(texts.size()) + ", q_idx, kv_idx]");
    for (std::int32_t q = 0; q < n; ++q) {
      for (std::int64_t y : numbers) {
        const std::int64_t x = numbers[static_cast<std::size_t>(q)];
        const bool index = std::string_view(operation.text).find("q_idx") != std::string_view::npos && x >= y;
        want.push_back(index ? q : operation.value(x, y));
      }
    }
  }
  Captures captures;
  captures.add("a", {n}, numbers).add("c", {n}, numbers).add("want", {static_cast<std::int64_t>(texts.size()), n, n}, want);
  if (GetParam() == "reference") {  // compiles nothing
    for (const std::string& text : texts) EXPECT_EQ(count(prelude + text, options, captures), std::int64_t{n} * n) << text;
  }
  // Where all is allowed the outputs are plain attention's. In both nests.
  std::string all = prelude + texts[0];
  for (std::size_t i = 1; i < texts.size(); ++i) all += " && " + texts[i];
  for (std::int32_t heads : {1, 2})
    expect_mask(all, {.q_heads = heads, .kv_heads = 1, .q_len = n, .kv_len = n, .head_dim = 8}, captures, {});
}

TEST_P(Int64On, AnIndexIsNeverCut) {
  const Longs page{1, 2, 0, std::int64_t{7} << 32 | 1};
  Captures captures;
  captures.add("page", {4}, page).add("table", {3}, std::vector<float>{1, 2, 3});
  const Shape shape{.q_len = 4, .kv_len = 4, .head_dim = 8};
  const AttentionSpec spec =
      spec_of("buffer page : i64[q_len]\nbuffer table : f32[3]\nscore = score + table[page[q_idx]]", shape);
  Problem tensors(shape);
  const auto outcome = compile_or_throw(engine(), spec).run(tensors.args(&captures.bindings()));
  ASSERT_FALSE(outcome.has_value());
  EXPECT_EQ(outcome.diagnostics().front().kind, "buffer-read");
}

INSTANTIATE_TEST_SUITE_P(All, Int64On, testing::ValuesIn(backends_here()), name_of_backend);

// Ids of 64 bits are proved and skipped as ids of 32 are.
TEST(Int64, DocumentsAreSkippedAsThoseOf32Bits) {
  constexpr std::int32_t kLength = 1024;
  const Longs ids = documents(kLength, 100, [](std::int32_t n) { return std::int64_t{7 + 2 * n} << 32 | 5; });
  std::vector<std::int32_t> narrow;
  for (std::int32_t i = 0; i < kLength; ++i) narrow.push_back(i / 100);
  Captures wide_captures, narrow_captures;
  wide_captures.add("q_doc", {kLength}, ids).add("kv_doc", {kLength}, ids);
  narrow_captures.add("q_doc", {kLength}, narrow).add("kv_doc", {kLength}, narrow);
  const Shape shape{.q_len = kLength, .kv_len = kLength, .head_dim = 16};
  std::string narrow_text = kDocuments;
  for (std::size_t at = narrow_text.find("i64"); at != std::string::npos; at = narrow_text.find("i64"))
    narrow_text.replace(at, 3, "i32");
  const BlockMaskOptions options{.q_len = kLength, .kv_len = kLength, .q_block = 32, .kv_block = 32};
  const Attention wide = compile_or_throw(engine_for("host"), spec_of(kDocuments, shape));
  const Attention other = compile_or_throw(engine_for("host"), spec_of(narrow_text, shape));
  BlockMaskReport of_wide, of_narrow;
  const BlockMask wide_mask = wide.create_block_mask(options, &wide_captures.bindings(), &of_wide).value();
  const BlockMask narrow_mask = other.create_block_mask(options, &narrow_captures.bindings(), &of_narrow).value();
  EXPECT_EQ(wide_mask.to_bytes(), narrow_mask.to_bytes());
  EXPECT_EQ(of_wide.proved, of_narrow.proved);
  Problem a(shape), b(shape);
  const RunStats wide_stats = wide.run(a.args(&wide_captures.bindings())).value();
  const RunStats narrow_stats = other.run(b.args(&narrow_captures.bindings())).value();
  EXPECT_EQ(wide_stats.scores_visited, narrow_stats.scores_visited);
  EXPECT_LT(wide_stats.scores_visited, std::int64_t{kLength} * kLength / 2);
  EXPECT_TRUE(outputs_identical(a, b));
}

}  // namespace
}  // namespace flexjit::conformance
