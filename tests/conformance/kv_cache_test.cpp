// append_kv: what is in a cache afterwards, element by element, against a model that places and rotates each row by itself.
#include "flexjit/kv_cache.h"

#include <gtest/gtest.h>

#include "cache_model.h"
#include "guarded_memory.h"
#include "support/checklist.h"
#include "support/comparison.h"

namespace flexjit::conformance {
namespace {

constexpr KeysIn kCaches[] = {KeysIn::kCache, KeysIn::kPaddedCache, KeysIn::kPages, KeysIn::kPagesByHead, KeysIn::kPageList};
constexpr DType kTypes[] = {DType::kF32, DType::kBF16, DType::kF16, DType::kF64};

double unit_of(DType dtype) {
  switch (dtype) {
    case DType::kBF16: return 0x1p-7;
    case DType::kF16: return 0x1p-10;
    case DType::kF64: return 1e-14;
    default: return 1e-6;
  }
}

// Appends, and compares the whole cache. Of rotated keys the last bit may differ.
void append_and_compare(const CacheShape& shape, const RotaryTables* tables, int threads = 0) {
  Cache one(shape);
  Tensor k = one.k, v = one.v;
  one.append_to(k, v, tables);
  const Rotary rotary = tables != nullptr ? tables->arg() : Rotary{};
  NewKeys fresh = one.fresh(tables != nullptr ? &rotary : nullptr);
  fresh.threads = threads;
  const Result<AppendStats> appended = append_kv(one.cache(), fresh);
  ASSERT_TRUE(appended) << render(appended.diagnostics());
  EXPECT_EQ(one.v.bytes, v.bytes);
  if (tables == nullptr) {
    EXPECT_EQ(one.k.bytes, k.bytes);
  } else {
    EXPECT_TRUE(close(one.k.values(), k.values(), near(unit_of(shape.dtype))));
  }
  for (std::int64_t b = 0; b < one.batch(); ++b) EXPECT_EQ(appended->total_len[at(b)], one.past[at(b)] + one.more(b));
}

TEST(AppendKv, WritesTheNewSlotsAndNoOthers) {
  covers("P24 P29 C15 C17 D14 D20 D22");
  for (const KeysIn keys : kCaches) {
    for (const DType dtype : kTypes) {
      for (const bool packed : {false, true}) {
        SCOPED_TRACE(to_string(keys) + " of " + std::string(name_of(dtype)) + (packed ? ", packed" : ""));
        append_and_compare({.sequences = {{3, 5}, {0, 5}, {4, 5}, {11, 5}}, .keys = keys, .dtype = dtype, .packed = packed},
                           nullptr);
        if (packed)
          append_and_compare({.sequences = {{3, 5}, {0, 0}, {0, 1}, {11, 30}, {7, 0}, {4, 4}}, .keys = keys, .packed = true},
                             nullptr);
      }
    }
  }
}

TEST(AppendKv, RotatesKeysAtTheirPositions) {
  covers("D16 D17");
  for (const RotaryPairing pairing : {RotaryPairing::kInterleaved, RotaryPairing::kHalves}) {
    for (const DType dtype : kTypes) {
      for (const DType of_tables : {DType::kF32, DType::kBF16, DType::kF16}) {
        for (const std::int32_t rotary_dim : {0, 2, 6, 16, 32}) {
          const RotaryTables tables(60, rotary_dim, pairing, of_tables);
          for (const KeysIn keys : {KeysIn::kPaddedCache, KeysIn::kPages}) {
            SCOPED_TRACE(to_string(keys) + " of " + std::string(name_of(dtype)) + ", tables of " +
                         std::string(name_of(of_tables)) + ", dim " + std::to_string(rotary_dim));
            append_and_compare({.sequences = {{3, 5}, {0, 5}, {54, 5}}, .keys = keys, .dtype = dtype, .k_dim = 32}, &tables);
          }
        }
      }
    }
  }
}

// q = (1, 0, 0, 0) turned by an angle of 1: (c, s, 0, 0) interleaved, (c, 0, s, 0) by halves.
TEST(AppendKv, PairingsAreWhatTheirNamesSay) {
  covers("D17");
  const float c = std::cos(1.0F), s = std::sin(1.0F);
  const std::vector<float> cos{1, 1, c, 1}, sin{0, 0, s, 0}, k{1, 0, 0, 0};
  for (const auto& [pairing, expected] : {std::pair{RotaryPairing::kInterleaved, std::vector{c, s, 0.0F, 0.0F}},
                                          {RotaryPairing::kHalves, std::vector{c, 0.0F, s, 0.0F}}}) {
    std::vector<float> k_cache(8), v_cache(8);
    const std::vector<std::int32_t> past{1};
    const Rotary rotary{{cos.data(), DType::kF32, {2, 2}}, {sin.data(), DType::kF32, {2, 2}}, pairing};
    const TensorView row(k.data(), DType::kF32, {1, 1, 1, 4});
    ASSERT_TRUE(append_kv({.k = {k_cache.data(), DType::kF32, {1, 1, 2, 4}},
                           .v = {v_cache.data(), DType::kF32, {1, 1, 2, 4}},
                           .past_len = Cache::ints(past)},
                          {.k = row, .v = row, .rotary = &rotary}));
    EXPECT_EQ(std::vector(k_cache.begin() + 4, k_cache.end()), expected);
    EXPECT_EQ(std::vector(v_cache.begin() + 4, v_cache.end()), k);
  }
}

// Steps that cross pages, each with the lengths that the one before returned, up to the last slot.
TEST(AppendKv, LengthsFeedTheNextStep) {
  covers("P29 D20");
  for (const auto& [page_size, first, second] : {std::array{4, 3, 5}, {6, 6, 3}, {4, 8, 0}, {4, 0, 8}, {1, 1, 3}}) {
    Cache one({.sequences = {{0, first + second}, {0, first + second}}, .page_size = page_size});
    one.k.fill([](std::size_t) { return 0.0; });
    Tensor k = one.k, v = one.v;
    for (const std::int32_t more : {first, second}) {
      one.fresh_k = Tensor(DType::kF32, {2, 2, more, 16});
      one.fresh_v = Tensor(DType::kF32, {2, 2, more, 8});
      one.fresh_k.fill([&](std::size_t i) { return static_cast<double>(i) + more; });
      one.fresh_v.fill([&](std::size_t i) { return -static_cast<double>(i); });
      one.append_to(k, v, nullptr);
      const Result<AppendStats> appended = append_kv(one.cache(), one.fresh());
      ASSERT_TRUE(appended) << render(appended.diagnostics());
      EXPECT_EQ(one.k.bytes, k.bytes);
      EXPECT_EQ(one.v.bytes, v.bytes);
      one.past = appended->total_len;
    }
    EXPECT_EQ(one.past, std::vector(2, first + second));
  }
}

TEST(AppendKv, ThreadsDoNotChangeBytes) {
  for (const int threads : {1, 2, 7})
    append_and_compare(
        {.sequences = {{3, 700}, {0, 0}, {200, 700}, {11, 1}}, .page_size = 16, .k_dim = 64, .v_dim = 64, .packed = true},
        nullptr, threads);
}

TEST(AppendKv, RandomCases) {
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    Random random(seed);
    CacheShape shape{.sequences = {}, .seed = seed};
    for (int i = random.integer(1, 5); i > 0; --i) shape.sequences.push_back({random.integer(0, 40), random.integer(0, 40)});
    shape.packed = true;
    shape.keys = kCaches[random.integer(0, 4)];
    shape.dtype = kTypes[random.integer(0, 3)];
    shape.page_size = random.integer(1, 20);
    shape.kv_heads = random.integer(1, 3);
    shape.k_dim = random.integer(1, 40);
    shape.v_dim = random.integer(1, 40);
    SCOPED_TRACE("seed " + std::to_string(seed));
    const RotaryTables tables(90, shape.k_dim / 2 * 2,
                              random.chance(0.5) ? RotaryPairing::kHalves : RotaryPairing::kInterleaved);
    append_and_compare(shape, random.chance(0.5) ? &tables : nullptr);
  }
}

// A hole before what is appended is nobody's business.
TEST(AppendKv, HolesInThePastStay) {
  Cache one({.sequences = {{9, 2}, {2, 2}}});
  one.table[0] = one.table[1] = -1;
  EXPECT_TRUE(append_kv(one.cache(), one.fresh()));
}

// Entries and pages that lie 2^30 elements apart, so that an offset in 32 bits would end in another one.
TEST(AppendKv, FarEntriesAreFar) {
  constexpr std::int64_t kApart = std::int64_t{1} << 30, kRow = 2 * 4;
  const std::size_t bytes = at(4 * kApart + kRow) * sizeof(std::uint16_t);
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) GTEST_SKIP() << "no address space";
  auto* elements = static_cast<std::uint16_t*>(memory);
  const std::vector<std::uint16_t> fresh{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};
  MutableTensorView cache(elements, DType::kBF16, {5, 1, 2, 4});
  cache.strides[0] = kApart;
  std::vector<std::uint16_t> values(5 * kRow);
  const std::vector<std::int32_t> past{1, 1, 1, 1}, entries{1, 2, 3, 4};
  const TensorView rows(fresh.data(), DType::kBF16, {4, 1, 1, 4}), places = Cache::ints(entries);
  KvCache to{.k = cache, .v = {values.data(), DType::kBF16, {5, 1, 2, 4}}, .past_len = Cache::ints(past)};
  for (const bool paged : {false, true}) {
    to.cache_batch_idx = paged ? TensorView{} : places;
    to.block_table = paged ? TensorView(entries.data(), DType::kI32, {4, 1}) : TensorView{};
    const Result<AppendStats> appended = append_kv(to, {.k = rows, .v = rows});
    ASSERT_TRUE(appended) << render(appended.diagnostics());
    for (std::int64_t i = 0; i < 5; ++i) {
      for (std::int64_t d = 0; d < kRow; ++d) {
        const bool is_new = i > 0 && d >= 4;
        std::uint16_t& seen = elements[i * kApart + d];
        ASSERT_EQ(seen, is_new ? fresh[at((i - 1) * 4 + d - 4)] : 0) << i << ", " << d;
        seen = 0;
      }
    }
  }
  munmap(memory, bytes);
}

// What was appended and is no longer counted is written over.
TEST(AppendKv, RejectedKeysAreWrittenOver) {
  Cache one({.sequences = {{10, 3}, {10, 3}}});
  ASSERT_TRUE(append_kv(one.cache(), one.fresh()));
  one.past = {13, 11};
  Tensor k = one.k, v = one.v;
  one.fresh_k = Tensor(DType::kF32, {2, 2, 1, 16});
  one.fresh_v = Tensor(DType::kF32, {2, 2, 1, 8});
  one.fresh_k.fill([](std::size_t i) { return static_cast<double>(i); });
  one.append_to(k, v, nullptr);
  ASSERT_TRUE(append_kv(one.cache(), one.fresh()));
  EXPECT_EQ(one.k.bytes, k.bytes);
  EXPECT_EQ(one.v.bytes, v.bytes);
}

// The first and the last slot of a cache, the first and the last new row, between pages that nobody may touch.
TEST(AppendKv, TouchesNothingOutside) {
  for (const Edge edge : {Edge::kBegin, Edge::kEnd}) {
    for (const DType dtype : kTypes) {
      const std::size_t size = size_of(dtype);
      GuardedArray<unsigned char> k(2 * 3 * 4 * 6 * size, edge), v(2 * 3 * 4 * 5 * size, edge), fresh_k(3 * 8 * 6 * size, edge),
          fresh_v(3 * 8 * 5 * size, edge);
      const RotaryTables tables(8, 6, RotaryPairing::kInterleaved, dtype == DType::kF64 ? DType::kF32 : dtype);
      const Rotary rotary = tables.arg();
      GuardedArray<std::int32_t> past(std::vector{0}, edge), table(std::vector{1, 0}, edge);
      KvCache cache{.k = {k.data(), dtype, {2, 3, 4, 6}}, .v = {v.data(), dtype, {2, 3, 4, 5}}};
      cache.past_len = {past.data(), DType::kI32, {1}};
      cache.block_table = {table.data(), DType::kI32, {1, 2}};
      EXPECT_TRUE(append_kv(
          cache, {.k = {fresh_k.data(), dtype, {1, 3, 8, 6}}, .v = {fresh_v.data(), dtype, {1, 3, 8, 5}}, .rotary = &rotary}));
    }
  }
}

}  // namespace
}  // namespace flexjit::conformance
