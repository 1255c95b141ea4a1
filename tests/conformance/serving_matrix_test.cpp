// Option x element types x where keys lie x long or short x prefill or decode: a call is attention as it is written down and
// not what it is without the option, or it is refused with nothing written. By default a pairwise covering array of these
// factors and some random calls with several options at once; FLEXJIT_SERVING_CELLS=all takes the whole product,
// FLEXJIT_RANDOM_SERVING sets how many random calls and FLEXJIT_RANDOM_SEED the first seed, of which call n has first + n.
#include <cmath>
#include <cstdlib>
#include <string>

#include "serving_cases.h"
#include "support/checklist.h"
#include "support/pairwise.h"

namespace flexjit::conformance {
namespace {

constexpr DType kF32 = DType::kF32, kF16 = DType::kF16, kBF16 = DType::kBF16, kI8 = DType::kI8, kE4M3 = DType::kE4M3,
                kE5M2 = DType::kE5M2;
constexpr Types kTypes[] = {{kF32, kF32, kF32}, {kF16, kF16, kF16},  {kBF16, kBF16, kBF16},
                            {kF32, kI8, kF32},  {kF32, kE4M3, kF32}, {kBF16, kE5M2, kBF16}};
constexpr KeysIn kLayouts[] = {KeysIn::kPacked, KeysIn::kPaddedCache, KeysIn::kPages, KeysIn::kPagesByHead, KeysIn::kPageList};
constexpr int kDense = std::size(kLayouts);  // the layout after these

enum Factor : std::uint8_t { kOption, kType, kLayout, kLong, kStage };
const FactorLevels kFactors{kOptions, static_cast<int>(std::size(kTypes)), kDense + 1, 2, 2};

std::string setting(const char* name) {
  const char* text = std::getenv(name);
  return text == nullptr ? "" : text;
}

std::vector<Lengths> lengths_of(bool is_long, bool is_decode) {
  constexpr std::int32_t kLongKeys[] = {700, 0, 531}, kShortKeys[] = {70, 0, 41};  // long ones are cut into splits
  constexpr std::int32_t kFew[] = {2, 3, 1}, kMany[] = {18, 2, 33};
  std::vector<Lengths> lengths;
  for (std::size_t i = 0; i < 3; ++i)
    lengths.push_back({is_decode ? kFew[i] : kMany[i], is_long ? kLongKeys[i] : kShortKeys[i]});
  return lengths;
}

ServingCase case_of(const FactorLevels& row) {
  ServingCase one{.options = {static_cast<Option>(row[kOption])},
                  .shape = {.lengths = lengths_of(row[kLong] == 1, row[kStage] == 1),
                            .each = {.q_heads = 4, .kv_heads = 2, .head_dim = 32, .v_head_dim = 16},
                            .types = kTypes[row[kType]]}};
  one.dense = row[kLayout] == kDense;
  if (one.dense)
    one.shape.lengths.resize(2);
  else
    one.shape.keys = kLayouts[row[kLayout]];
  one.shape.page_size = one.shape.keys == KeysIn::kPages ? 5 : 16;  // pages that hold no whole panel, and those that do
  return one;
}

// The kind of the finding that a call must have, "" for none.
std::string refusal_of(const ServingCase& one) {
  const bool has_scales = one.has(Option::kKeyScales) || one.has(Option::kValueScales);
  if (one.has(Option::kSigmoid) && one.has(Option::kSinks)) return "no-softmax";
  if (has_scales && size_of(one.shape.types.kv) != 1) return "no-scales";
  return "";
}

// A run of `serving`; what it was refused for, "" for nothing.
std::string run(Engine& engine, const Serving& serving) {
  const Result<Attention> attention = engine.compile(serving.spec());
  if (!attention) return attention.diagnostics()[0].kind;
  const Result<RunStats> ran = attention->run(serving.args());
  return ran ? "" : ran.diagnostics()[0].kind;
}

bool differs(const std::vector<double>& with, const std::vector<double>& without, double least) {
  for (std::size_t i = 0; i < with.size(); ++i)
    if (std::abs(with[i] - without[i]) > least) return true;
  return false;
}

// Whether it was refused.
bool try_cell(const ServingCase& one) {
  SCOPED_TRACE(to_string(one));
  Serving with(one);
  const std::string refused = run(engine_for("host"), with), expected = refusal_of(one);
  EXPECT_EQ(refused, expected);
  if (!refused.empty()) {
    EXPECT_TRUE(with.is_untouched());
    return true;
  }
  EXPECT_TRUE(with.is_attention());
  ServingCase off = one;
  off.options.clear();
  Serving without(off);
  EXPECT_EQ(run(engine_for("host"), without), "");
  EXPECT_TRUE(differs(with.outputs(), without.outputs(), one.shape.types.q == kF32 ? 1e-4 : 5e-4)) << "the option is ignored";
  return false;
}

TEST(ServingMatrix, TheArrayCoversEveryPair) {
  const std::vector<FactorLevels> rows = covering_array(kFactors);
  LevelPairs seen;
  for (const FactorLevels& row : rows)
    for (std::size_t f = 0; f < row.size(); ++f)
      for (std::size_t g = f + 1; g < row.size(); ++g) seen.emplace(f, row[f], g, row[g]);
  std::size_t pairs = 0;
  for_each_pair(kFactors, [&](std::size_t f, int a, std::size_t g, int b) {
    ++pairs;
    EXPECT_TRUE(seen.contains({f, a, g, b}));
  });
  EXPECT_EQ(pairs, seen.size());
  EXPECT_LE(rows.size(), 130U);  // 17 options x 6 types need 102
}

TEST(ServingMatrix, EveryCellIsAttentionOrRefused) {
  covers("P42 D04 D06 D07 D08 D34 D45 I10");
  int cells = 0, refused = 0;
  if (setting("FLEXJIT_SERVING_CELLS") == "all") {
    FactorLevels row(kFactors.size(), 0);
    for (bool done = false; !done;) {
      refused += try_cell(case_of(row)) ? 1 : 0;
      ++cells;
      std::size_t factor = 0;
      while (factor < row.size() && ++row[factor] == kFactors[factor]) row[factor++] = 0;
      done = factor == row.size();
    }
  } else {
    for (const FactorLevels& row : covering_array(kFactors)) {
      refused += try_cell(case_of(row)) ? 1 : 0;
      ++cells;
    }
  }
  RecordProperty("cells", cells);
  RecordProperty("refused", refused);
  EXPECT_LT(refused * 4, cells);
}

// A pattern is one of few, so that thousands of calls compile some hundred kernels.
ServingCase random_case(std::uint64_t seed) {
  constexpr std::uint64_t kPatterns = 120;
  constexpr Types kMixed[] = {{kF32, kF32, kF32}, {kF16, kF16, kF16}, {kBF16, kBF16, kBF16}, {kF32, kBF16, kF32},
                              {kF32, kI8, kF32},  {kF16, kI8, kF16},  {kF32, kE4M3, kF32},   {kBF16, kE5M2, kBF16}};
  Random pattern(seed % kPatterns + 1), random(seed * 7919 + 1);
  ServingCase one;
  for (int i = pattern.integer(0, 4); i > 0; --i) {
    const auto option = static_cast<Option>(pattern.integer(0, kOptions - 1));
    if (!one.has(option)) one.options.push_back(option);
  }
  RaggedShape& shape = one.shape;
  shape.seed = seed;
  shape.types = kMixed[pattern.integer(0, 7)];
  constexpr std::int32_t kDims[] = {16, 24, 64};
  shape.each.head_dim = kDims[pattern.integer(0, 2)];
  shape.each.v_head_dim = kDims[pattern.integer(0, 2)];
  shape.each.kv_heads = random.integer(1, 2);
  shape.each.q_heads = shape.each.kv_heads * random.integer(1, 3);
  one.dense = random.chance(0.2);
  shape.queries = random.chance(0.3) ? QueriesIn::kBatch : QueriesIn::kPacked;
  constexpr KeysIn kAll[] = {KeysIn::kPacked, KeysIn::kOwnCache,    KeysIn::kCache,   KeysIn::kPaddedCache,
                             KeysIn::kPages,  KeysIn::kPagesByHead, KeysIn::kPageList};
  shape.keys = kAll[random.integer(0, 6)];
  constexpr std::int32_t kPageSizes[] = {1, 3, 8, 16, 48, 64};
  shape.page_size = kPageSizes[random.integer(0, 5)];
  const int sequences = random.integer(1, 4);
  for (int i = 0; i < sequences; ++i) {
    const std::int32_t keys = random.chance(0.03) ? random.integer(512, 1300) : random.integer(random.chance(0.1) ? 0 : 1, 100);
    std::int32_t queries = random.chance(0.6) ? random.integer(0, 4) : random.integer(0, 30);
    if (one.has(Option::kRotary) && keys > 0) queries = std::min(queries, keys);
    shape.lengths.push_back({queries, keys});
  }
  return one;
}

TEST(ServingMatrix, RandomCases) {
  const std::string wanted = setting("FLEXJIT_RANDOM_SERVING"), begin = setting("FLEXJIT_RANDOM_SEED");
  const std::int64_t count = wanted.empty() ? 60 : std::stoll(wanted), first = begin.empty() ? 1 : std::stoll(begin);
  const std::vector<std::string> targets = targets_here();
  std::int64_t refused = 0;
  for (std::int64_t n = 0; n < count && !HasFailure(); ++n) {
    const auto seed = static_cast<std::uint64_t>(first + n);
    const ServingCase one = random_case(seed);
    SCOPED_TRACE("FLEXJIT_RANDOM_SERVING=1 FLEXJIT_RANDOM_SEED=" + std::to_string(seed) + ": " + to_string(one));
    Serving serving(one);
    const std::string found = run(engine_for(targets[seed % targets.size()]), serving);
    EXPECT_EQ(found, refusal_of(one));
    refused += found.empty() ? 0 : 1;
    if (found.empty())
      EXPECT_TRUE(serving.is_attention());
    else
      EXPECT_TRUE(serving.is_untouched());
  }
  RecordProperty("refused", static_cast<int>(refused));
  EXPECT_LE(refused * 3, count + 3);
}

}  // namespace
}  // namespace flexjit::conformance
