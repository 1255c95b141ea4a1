// Sequences with lengths of their own: packed, in caches, in pages, with flags and texts, in both nests, each against attention
// written down naively for it alone. By default some hundred random cases; FLEXJIT_SEQUENCE_CASES sets another count and
// FLEXJIT_SEQUENCE_SEED another first seed.
#include <cmath>
#include <cstdlib>

#include "on_backends.h"
#include "support/checklist.h"
#include "support/ragged.h"

namespace flexjit::conformance {
namespace {

constexpr KeysIn kKeys[] = {KeysIn::kPacked, KeysIn::kOwnCache,    KeysIn::kCache,   KeysIn::kPaddedCache,
                            KeysIn::kPages,  KeysIn::kPagesByHead, KeysIn::kPageList};

std::int64_t setting(const char* name, std::int64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr || *text == '\0' ? otherwise : std::strtoll(text, nullptr, 10);
}

// A pattern as a spec and as what it means for a position of a ragged problem.
struct Meaning {
  const char* name;
  const char* program;
  bool causal = false;
  std::optional<Window> window{};
  std::function<OraclePattern(const Ragged&)> pattern{};
};

std::int32_t diagonal(const Ragged& r, const Position& p) {
  const Lengths& lengths = r.shape().lengths[at(p.b)];
  return p.q_idx + lengths.kv - lengths.q;
}

const std::vector<Meaning>& meanings() {
  static const std::vector<Meaning> all = {
      {"none", "", false, {}, [](const Ragged&) { return OraclePattern{}; }},
      {"causal",
       "",
       true,
       {},
       [](const Ragged& r) { return OraclePattern{.mask = [&r](const Position& p) { return p.kv_idx <= diagonal(r, p); }}; }},
      {"window", "", false, Window{16, 3},
       [](const Ragged& r) {
         return OraclePattern{.mask = [&r](const Position& p) {
           const std::int32_t distance = diagonal(r, p) - p.kv_idx;
           return distance <= 16 && -distance <= 3;
         }};
       }},
      {"causal window", "", true, Window{16, 0},
       [](const Ragged& r) {
         return OraclePattern{.mask = [&r](const Position& p) {
           const std::int32_t distance = diagonal(r, p) - p.kv_idx;
           return distance <= 16 && distance >= 0;
         }};
       }},
      {"text",
       "score = score + 0.05 * (kv_idx - q_idx) + 0.1 * b\nmask = (kv_idx + b) % 7 != 2 && kv_idx < kv_len - q_len // 9",
       false,
       {},
       [](const Ragged& r) {
         return OraclePattern{
             .score = [](Real score, const Position& p) { return score + Real(0.05) * (p.kv_idx - p.q_idx) + Real(0.1) * p.b; },
             .mask =
                 [&r](const Position& p) {
                   const Lengths& l = r.shape().lengths[at(p.b)];
                   return (p.kv_idx + p.b) % 7 != 2 && p.kv_idx < l.kv - l.q / 9;
                 }};
       }},
      {"global",
       "score = score + 0.01 * (kv_global - q_global)\nmask = (kv_global + q_global) % 5 != 1",
       false,
       {},
       [](const Ragged& r) {
         const auto q = [&r](const Position& p) { return p.q_idx + r.q_offset(at(p.b)); };
         const auto kv = [&r](const Position& p) { return p.kv_idx + r.kv_offset(at(p.b)); };
         return OraclePattern{.score = [q, kv](Real score, const Position& p) { return score + Real(0.01) * (kv(p) - q(p)); },
                              .mask = [q, kv](const Position& p) { return (kv(p) + q(p)) % 5 != 1; }};
       }},
  };
  return all;
}

AttentionSpec spec_of(const Meaning& meaning, const RaggedShape& shape) {
  AttentionSpec spec = conformance::spec_of(meaning.program, shape.each);
  spec.causal = meaning.causal;
  spec.window = meaning.window;
  spec.dtype = shape.types.q;
  spec.kv_dtype = shape.types.kv;
  spec.out_dtype = shape.types.out;
  return spec;
}

Bounds bounds_of(const RaggedShape& shape) {
  if (shape.types.q == DType::kF32) return {near(2e-5), near(2e-5)};
  return {near(shape.types.q == DType::kBF16 ? 2e-2 : 3e-3), near(1e-2)};
}

class OnSequences : public OnBackends {};

TEST_P(OnSequences, EveryLayoutUnderEveryPattern) {
  covers("P25 P26 P35 P37 P42 P43 D03 D04 D09 D12 D18 D19 D33 D34 D37 D49 D52 I03 I05");
  // Decodes, prefills, and none of either, in one call.
  const std::vector<Lengths> lengths{{1, 70}, {60, 130}, {0, 5}, {3, 0}, {1, 1}, {40, 40}, {50, 9}, {2, 300}, {1, 64}};
  for (const Meaning& meaning : meanings()) {
    for (const QueriesIn queries : {QueriesIn::kBatch, QueriesIn::kPacked}) {
      for (const KeysIn keys : kKeys) {
        RaggedShape shape{.lengths = lengths,
                          .each = {.q_heads = 4, .kv_heads = 2, .head_dim = 24, .v_head_dim = 16},
                          .queries = queries,
                          .keys = keys};
        SCOPED_TRACE(std::string(meaning.name) + ": " + to_string(shape));
        Ragged ragged(shape);
        const Attention attention = compile_or_throw(engine(), spec_of(meaning, shape));
        const Result<RunStats> ran = attention.run(ragged.args());
        ASSERT_TRUE(ran) << render(ran.diagnostics());
        ASSERT_TRUE(ragged.is_attention(meaning.pattern(ragged), bounds_of(shape)));
      }
    }
  }
}

TEST_P(OnSequences, PagesOfAnySize) {
  covers("P25 C14 D20 D49 I17");
  for (const std::int32_t page_size : {1, 4, 5, 6, 16, 24, 32, 128, 256}) {
    for (const KeysIn keys : {KeysIn::kPages, KeysIn::kPagesByHead, KeysIn::kPageList}) {
      const std::int32_t p = page_size;
      RaggedShape shape{.lengths = {{1, 32}, {1, 96}, {1, 0}, {1, 1}, {1, p}, {1, p + 1}, {30, 96}, {70, 3 * p + 61}, {9, 700}},
                        .each = {.q_heads = 4, .kv_heads = 1, .head_dim = 32},
                        .keys = keys,
                        .page_size = page_size};
      Ragged ragged(shape);
      const Meaning& causal = meanings()[1];
      const Attention attention = compile_or_throw(engine(), spec_of(causal, shape));
      const Result<RunStats> ran = attention.run(ragged.args());
      ASSERT_TRUE(ran) << render(ran.diagnostics());
      ASSERT_TRUE(ragged.is_attention(causal.pattern(ragged), bounds_of(shape)));
    }
  }
}

TEST_P(OnSequences, RandomCases) {
  const std::int64_t cases = setting("FLEXJIT_SEQUENCE_CASES", 40), first = setting("FLEXJIT_SEQUENCE_SEED", 1);
  for (std::int64_t seed = first; seed < first + cases; ++seed) {
    Random random(static_cast<std::uint64_t>(seed));
    RaggedShape shape;
    shape.seed = static_cast<std::uint64_t>(seed);
    const int sequences = random.integer(1, 6);
    for (int i = 0; i < sequences; ++i)
      shape.lengths.push_back({random.chance(0.4) ? random.integer(0, 4) : random.integer(0, 90),
                               random.integer(0, random.chance(0.2) ? 900 : 150)});
    shape.each.kv_heads = random.integer(1, 2);
    shape.each.q_heads = shape.each.kv_heads * random.integer(1, 3);
    constexpr std::int32_t kDims[] = {8, 16, 20, 33, 64};
    shape.each.head_dim = kDims[random.integer(0, 4)];
    shape.each.v_head_dim = kDims[random.integer(0, 4)];
    constexpr DType kTypes[] = {DType::kF32, DType::kF32, DType::kBF16, DType::kF16};
    const DType type = kTypes[random.integer(0, 3)];
    shape.types = {type, type, type};
    shape.queries = random.chance(0.5) ? QueriesIn::kBatch : QueriesIn::kPacked;
    shape.keys = kKeys[random.integer(0, 6)];
    constexpr std::int32_t kPages[] = {1, 3, 8, 16, 17, 48, 64};
    shape.page_size = kPages[random.integer(0, 6)];
    const Meaning& meaning = meanings()[at(random.integer(0, static_cast<std::int32_t>(meanings().size()) - 1))];
    SCOPED_TRACE(std::string(meaning.name) + ", FLEXJIT_SEQUENCE_SEED=" + std::to_string(seed));
    Ragged ragged(shape);
    const Attention attention = compile_or_throw(engine(), spec_of(meaning, shape));
    const Result<RunStats> ran = attention.run(ragged.args());
    ASSERT_TRUE(ran) << render(ran.diagnostics());
    ASSERT_TRUE(ragged.is_attention(meaning.pattern(ragged), bounds_of(shape)));
  }
}

// Keys of holes are masked, wherever the holes lie, and no page is read for them.
TEST_P(OnSequences, HolesAreMasked) {
  covers("P26 C15");
  for (const std::int32_t page_size : {1, 3, 8, 16, 40}) {
    RaggedShape shape{.lengths = {{1, 90}, {40, 90}, {3, 41}, {1, 500}},
                      .each = {.q_heads = 2, .kv_heads = 1, .head_dim = 16},
                      .keys = KeysIn::kPages,
                      .page_size = page_size};
    Ragged ragged(shape);
    const std::vector<std::int32_t> whole = ragged.block_table();
    Random random(page_size);
    for (std::int32_t& page : ragged.block_table()) page = random.chance(0.3) ? -1 - random.integer(0, 3) : page;
    for (std::size_t i = 0; i < 3; ++i) ragged.block_table()[at(ragged.max_pages()) * 2 + i] = -1;  // the first keys of one
    const std::vector<std::int32_t> table = ragged.block_table();
    const auto is_there = [&](const Position& p) {
      return table[at(p.b) * at(ragged.max_pages()) + at(p.kv_idx / page_size)] >= 0;
    };
    for (const Meaning& meaning : {meanings()[0], meanings()[1], meanings()[4]}) {
      const Attention attention = compile_or_throw(engine(), spec_of(meaning, shape));
      ragged.poison_outputs();
      const Result<RunStats> ran = attention.run(ragged.args());
      ASSERT_TRUE(ran) << render(ran.diagnostics());
      OraclePattern pattern = meaning.pattern(ragged);
      const auto mask = pattern.mask;
      pattern.mask = [&, mask](const Position& p) { return is_there(p) && (!mask || mask(p)); };
      ASSERT_TRUE(ragged.is_attention(pattern, bounds_of(shape))) << meaning.name << ", page size " << page_size;
    }
  }
}

// A sequence has the bits that it has alone, whoever is beside it and wherever its keys lie.
TEST_P(OnSequences, BitsDoNotDependOnNeighboursOrPlaces) {
  covers("D53 I16 I03 P30");
  const std::vector<Lengths> lengths{{1, 700}, {64, 130}, {2, 33}, {1, 700}, {5, 64}};
  const Meaning& causal = meanings()[1];
  std::vector<std::vector<double>> first(lengths.size());
  for (const KeysIn keys : kKeys) {
    for (const std::int32_t page_size : {16, 5}) {
      RaggedShape shape{
          .lengths = lengths, .each = {.q_heads = 4, .kv_heads = 2, .head_dim = 64}, .keys = keys, .page_size = page_size};
      Ragged together(shape);
      const Attention attention = compile_or_throw(engine(), spec_of(causal, shape));
      ASSERT_TRUE(attention.run(together.args()));
      for (std::size_t i = 0; i < lengths.size(); ++i) {
        const std::vector<double> bits = together.outputs_of(i);
        if (first[i].empty()) {
          Problem& alone = together.problem(i);
          ASSERT_TRUE(attention.run(alone.args()));
          first[i] = alone.out.values();
          first[i].insert(first[i].end(), alone.lse.begin(), alone.lse.end());
        }
        EXPECT_EQ(bits, first[i]) << i << " in " << to_string(shape);
      }
    }
  }
}

// Sequences that begin with the same pages read them together; each has the bits that it has alone.
TEST_P(OnSequences, SharedPrefixesAreReadOnce) {
  covers("P27 I14");
  for (const std::int32_t page_size : {1, 16, 24}) {
    const std::vector<Lengths> lengths{{1, 1300}, {1, 1177}, {2, 1300}, {1, 1090}, {1, 600}, {1, 1300}, {9, 1250}};
    RaggedShape shape{.lengths = lengths,
                      .each = {.q_heads = 8, .kv_heads = 2, .head_dim = 32},
                      .keys = KeysIn::kPages,
                      .page_size = page_size};
    Ragged ragged(shape);
    // All but the fifth begin with the pages of the first.
    const std::int32_t shared = 1080 / page_size;
    for (std::size_t i = 1; i < lengths.size(); ++i) {
      for (std::int32_t page = 0; page < shared && i != 4; ++page)
        ragged.block_table()[i * at(ragged.max_pages()) + at(page)] = ragged.block_table()[at(page)];
    }
    for (std::size_t i = 1; i < lengths.size(); ++i) {
      if (i != 4) ragged.share_keys(0, i, shared * page_size);
    }
    for (const Meaning& meaning : {meanings()[0], meanings()[1], meanings()[3], meanings()[4]}) {
      SCOPED_TRACE(meaning.name);
      const Attention attention = compile_or_throw(engine(), spec_of(meaning, shape));
      ragged.poison_outputs();
      const Result<RunStats> together = attention.run(ragged.args());
      ASSERT_TRUE(together) << render(together.diagnostics());
      ASSERT_TRUE(ragged.is_attention(meaning.pattern(ragged), bounds_of(shape)));
      for (std::size_t i = 0; i < lengths.size(); ++i) {
        if (std::string(meaning.name) == "text") break;  // reads b, which a problem alone has as 0
        Problem& alone = ragged.problem(i);
        ASSERT_TRUE(attention.run(alone.args()));
        std::vector<double> bits = alone.out.values();
        bits.insert(bits.end(), alone.lse.begin(), alone.lse.end());
        EXPECT_EQ(ragged.outputs_of(i), bits) << i;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, OnSequences, ::testing::ValuesIn(backends_here()), name_of_backend);

}  // namespace
}  // namespace flexjit::conformance
