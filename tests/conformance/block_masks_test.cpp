// Block masks of the patterns that users write, and of random masks, against any and all over every element; and everything
// that makes a mask from another one against making it anew.
#include <algorithm>
#include <iostream>

#include "patterns.h"
#include "random_expression.h"
#include "support/checklist.h"

namespace flexjit::conformance {
namespace {

Engine& reference_engine() {
  static Engine engine = [] {
    EngineOptions options;
    options.backend = Backend::kReference;
    return Engine(options);
  }();
  return engine;
}

// Allowed pairs of one plane, summed from the corner: how many lie in a rectangle takes four look-ups.
class Elements {
 public:
  Elements(const std::vector<std::uint8_t>& allowed, std::int32_t q_len, std::int32_t kv_len)
      : width_(at(kv_len) + 1), sums_((at(q_len) + 1) * width_) {
    for (std::size_t q = 0; q < at(q_len); ++q) {
      for (std::size_t kv = 0; kv < at(kv_len); ++kv) {
        sum(q + 1, kv + 1) = sum(q, kv + 1) + sum(q + 1, kv) - sum(q, kv) + allowed[q * at(kv_len) + kv];
      }
    }
  }

  std::int64_t count(PositionRange q, PositionRange kv) {
    return sum(at(q.end), at(kv.end)) - sum(at(q.begin), at(kv.end)) - sum(at(q.end), at(kv.begin)) +
           sum(at(q.begin), at(kv.begin));
  }

 private:
  static std::size_t at(std::int32_t index) { return static_cast<std::size_t>(index); }
  std::int64_t& sum(std::size_t q, std::size_t kv) { return sums_[q * width_ + kv]; }

  std::size_t width_;
  std::vector<std::int64_t> sums_;
};

BlockKind kind_of(std::int64_t allowed, PositionRange q, PositionRange kv) {
  if (allowed == 0) return BlockKind::kEmpty;
  return allowed == std::int64_t{q.end - q.begin} * (kv.end - kv.begin) ? BlockKind::kFull : BlockKind::kPartial;
}

PositionRange block_range(std::int32_t block, std::int32_t size, std::int32_t length) {
  return {block * size, std::min((block + 1) * size, length)};
}

// What is wrong with the mask's plane, as text; nothing if it equals the elements.
std::string difference(const BlockMask& mask, std::int32_t b, std::int32_t h, Elements& elements) {
  const BlockMaskShape& s = mask.shape();
  for (std::int32_t i = 0; i < s.q_blocks(); ++i) {
    for (std::int32_t j = 0; j < s.kv_blocks(); ++j) {
      const PositionRange q = block_range(i, s.q_block, s.q_len), kv = block_range(j, s.kv_block, s.kv_len);
      const BlockKind expected = kind_of(elements.count(q, kv), q, kv);
      if (mask.kind(b, h, i, j) == expected) continue;
      return "block " + std::to_string(i) + ", " + std::to_string(j) + " of plane " + std::to_string(b) + ", " +
             std::to_string(h) + " is kind " + std::to_string(static_cast<int>(mask.kind(b, h, i, j))) + ", not " +
             std::to_string(static_cast<int>(expected));
    }
  }
  return {};
}

struct Blocks {
  std::int32_t q, kv;
};

// Every block size against the elements of every plane; the counts of all.
struct Totals {
  std::int64_t decided = 0;  // full and empty blocks
  std::int64_t proved = 0;
};

std::string check_plane(const Attention& attention, BlockMaskOptions options, const Bindings* bindings, Blocks blocks,
                        Totals& totals) {
  options.q_block = blocks.q, options.kv_block = blocks.kv;
  BlockMaskReport report;
  const Result<BlockMask> mask = attention.create_block_mask(options, bindings, &report);
  if (!mask) return render(mask.diagnostics());
  const BlockCounts counts = mask->counts();
  totals.decided += counts.full + counts.empty;
  totals.proved += report.proved;
  std::int64_t allowed = 0;
  for (std::int32_t b = 0; b < mask->shape().batch; ++b) {
    for (std::int32_t h = 0; h < mask->shape().heads; ++h) {
      const PositionRange q{0, options.q_len}, kv{0, options.kv_len};
      const auto values = attention.mask_elements(options, {.b = b, .h = h}, q, kv, bindings);
      if (!values) return render(values.diagnostics());
      Elements elements(*values, options.q_len, options.kv_len);
      allowed += elements.count(q, kv);
      if (std::string wrong = difference(*mask, b, h, elements); !wrong.empty()) return wrong;
    }
  }
  const std::int64_t planes = std::int64_t{options.batch} * options.heads / (mask->shape().batch * mask->shape().heads);
  const std::int64_t counted = attention.count_allowed(options, bindings).value();
  return counted == allowed * planes ? "" : "counted " + std::to_string(counted) + ", not " + std::to_string(allowed * planes);
}

class BlockMasksOf : public testing::TestWithParam<Pattern> {};

TEST_P(BlockMasksOf, EveryLengthAndBlockSize) {
  covers("C10");
  const Pattern& pattern = GetParam();
  const bool is_costly = std::string_view(pattern.name).starts_with("range_lists");  // a hundred operations an element
  const std::int32_t longest = is_costly ? 320 : 1024;
  Totals totals;
  for (auto [q_len, kv_len] : {std::pair{1, 1}, {17, 17}, {longest, longest}, {longest - 24, longest + 707}}) {
    const Shape shape{.batch = 2, .q_heads = 2, .kv_heads = 1, .q_len = q_len, .kv_len = kv_len, .head_dim = 16};
    Captures captures;
    if (pattern.bind != nullptr) pattern.bind(shape, captures);
    const Attention attention = compile_or_throw(reference_engine(), spec_of(pattern.program, shape));
    const BlockMaskOptions options{.batch = 2, .heads = 2, .kv_heads = 1, .q_len = q_len, .kv_len = kv_len};
    for (Blocks blocks : {Blocks{16, 16}, {64, 64}, {128, 128}, {64, 128}}) {
      EXPECT_EQ(check_plane(attention, options, &captures.bindings(), blocks, totals), "")
          << q_len << " x " << kv_len << " in blocks of " << blocks.q << " x " << blocks.kv;
    }
  }
  const double share =
      totals.decided == 0 ? 100.0 : 100.0 * static_cast<double>(totals.proved) / static_cast<double>(totals.decided);
  std::cout << "proved " << share << " % of the full and empty blocks of " << pattern.name << "\n";
  // Tables of random numbers leave nothing to prove, and a window that wraps is decided at representatives, which are
  // evaluated.
  const std::string_view name = pattern.name;
  EXPECT_GE(share, is_costly ? 10.0 : name == "swin" ? 98.0 : 99.0);
}

INSTANTIATE_TEST_SUITE_P(Masks, BlockMasksOf, testing::ValuesIn(mask_patterns().begin(), mask_patterns().end()),
                         [](const auto& test) { return std::string(test.param.name); });

class RandomBlockMasks : public testing::TestWithParam<int> {};

// No block may be called full or empty wrongly, whatever the mask.
TEST_P(RandomBlockMasks, EqualEveryElement) {
  constexpr int kPrograms = 5000, kShards = 4;
  int compared = 0;
  for (int n = GetParam(); n < kPrograms; n += kShards) {
    Random random(static_cast<std::uint64_t>(n) + 1);
    RandomProgram program = random_program(random);
    while (program.mask.empty()) program = random_program(random);
    program.score.clear();
    const Shape shape{.batch = 2,
                      .q_heads = 2,
                      .kv_heads = 1,
                      .q_len = random.integer(1, 60),
                      .kv_len = random.integer(1, 90),
                      .head_dim = 16};
    const Captures captures = random_captures(shape, random);
    const Result<Attention> attention = reference_engine().compile(spec_of(text_of(program), shape));
    if (!attention) continue;  // a division by zero, a tree too deep
    const BlockMaskOptions options{.batch = 2, .heads = 2, .kv_heads = 1, .q_len = shape.q_len, .kv_len = shape.kv_len};
    if (!attention->count_allowed(options, &captures.bindings())) continue;  // a read outside its buffer
    Totals totals;
    const Blocks blocks{random.integer(1, 40), random.integer(1, 40)};
    ASSERT_EQ(check_plane(*attention, options, &captures.bindings(), blocks, totals), "") << "seed " << n + 1 << "\n"
                                                                                          << text_of(program);
    ++compared;
  }
  EXPECT_GE(compared, kPrograms / kShards * 3 / 4);
}

INSTANTIATE_TEST_SUITE_P(Shards, RandomBlockMasks, testing::Range(0, 4));

BlockMaskOptions square(std::int32_t length, std::int32_t block) {
  return {.q_len = length, .kv_len = length, .q_block = block, .kv_block = block};
}

Attention pattern_of(const std::string& text) { return compile_or_throw(reference_engine(), spec_of(text, {.head_dim = 16})); }

constexpr const char* kWindow = "mask = q_idx >= kv_idx && q_idx - kv_idx < 100";

TEST(ExtendedBlockMask, EqualsOneMadeAnew) {
  for (const char* text : {kWindow, "mask = kv_idx <= q_idx + kv_len - q_len", "mask = (q_idx // 7 + kv_idx // 5) % 3 != 0"}) {
    const Attention attention = pattern_of(text);
    for (auto [from, to] : {std::pair{0, 1}, {1, 2}, {63, 64}, {64, 65}, {100, 357}, {500, 500}, {128, 1000}}) {
      const BlockMask old = attention.create_block_mask(square(from, 64)).value();
      const BlockMask grown = attention.extend_block_mask(old, square(to, 1)).value();
      const BlockMask made = attention.create_block_mask(square(to, 64)).value();
      EXPECT_EQ(grown.shape(), made.shape());
      EXPECT_EQ(grown.to_dense(), made.to_dense()) << text << ", " << from << " to " << to;
    }
  }
}

// Lists of a row's own, planes, and rows that go on with new blocks.
TEST(ExtendedBlockMask, KeepsTheListsOfEveryPlane) {
  for (const char* text : {"mask = (kv_idx // 64 + q_idx // 64 + h) % 3 != 1", "mask = kv_idx <= q_idx + 130 * h",
                           "mask = q_idx >= kv_idx || kv_idx % 256 < 64 + h"}) {
    const Attention attention = pattern_of(text);
    for (auto [from, to] : {std::pair{640, 641}, {641, 642}, {700, 1500}, {640, 640}, {1, 640}}) {
      const auto options = [&](std::int32_t length) {
        return BlockMaskOptions{.heads = 3, .q_len = length, .kv_len = length, .q_block = 64, .kv_block = 64};
      };
      const BlockMask old = attention.create_block_mask(options(from)).value();
      const BlockMask grown = attention.extend_block_mask(old, options(to)).value();
      const BlockMask made = attention.create_block_mask(options(to)).value();
      EXPECT_EQ(grown.to_bytes(), made.to_bytes()) << text << ", " << from << " to " << to;
      EXPECT_EQ(grown.bytes(), made.bytes()) << text << ", " << from << " to " << to;
      EXPECT_EQ(grown.counts().full, made.counts().full);
    }
  }
}

TEST(ExtendedBlockMask, LooksAtTheNewBlocksOnly) {
  const Attention attention = pattern_of(kWindow);
  const BlockMask old = attention.create_block_mask(square(4096, 64)).value();
  BlockMaskReport report;
  const BlockMask grown = attention.extend_block_mask(old, square(4097, 64), nullptr, &report).value();
  EXPECT_EQ(grown.to_dense(), attention.create_block_mask(square(4097, 64)).value().to_dense());
  EXPECT_LE(report.proved, 2 * 65) << "a row and a column of 65 blocks";
}

TEST(DecidedBlockMask, EqualsOneMadeAnew) {
  const Attention left = pattern_of("mask = q_idx >= kv_idx"), right = pattern_of("mask = q_idx - kv_idx < 100");
  const BlockMask a = left.create_block_mask(square(700, 32)).value(), c = right.create_block_mask(square(700, 32)).value();
  const auto exact = [](const char* text, const BlockMask& open) {
    const Attention attention = pattern_of(text);
    const BlockMask decided = attention.decide_block_mask(open, square(700, 1)).value();
    EXPECT_EQ(decided.to_dense(), attention.create_block_mask(square(700, 32)).value().to_dense()) << text;
  };
  exact("mask = q_idx >= kv_idx && q_idx - kv_idx < 100", a.intersect(c).value());
  exact("mask = q_idx >= kv_idx || q_idx - kv_idx < 100", a.unite(c).value());
  exact("mask = q_idx < kv_idx", a.complement());
}

TEST(SlicedBlockMask, ServesDecodingSteps) {
  const Attention whole = pattern_of(kWindow);
  const BlockMask mask = whole.create_block_mask(square(1000, 64)).value();
  const Attention step = pattern_of("param past : int\nmask = q_idx + past >= kv_idx && q_idx + past - kv_idx < 100");
  for (std::int32_t past : {0, 5, 63, 64, 500, 999}) {
    const BlockMask cut = mask.slice({past, past + 1}, {0, past + 1}).value();
    Captures captures;
    captures.set("past", past);
    const BlockMaskOptions options{.q_len = 1, .kv_len = past + 1};
    const BlockMask decided = step.decide_block_mask(cut, options, &captures.bindings()).value();
    BlockMaskOptions anew = options;
    anew.q_block = anew.kv_block = 64;
    EXPECT_EQ(decided.to_dense(), step.create_block_mask(anew, &captures.bindings()).value().to_dense()) << past;
  }
}

// A matrix of blocks with elements inside, run through the kernel, against the same elements as a dense mask.
TEST(ImportedBlockMask, BlocksWithElementsRunAsTheDenseMask) {
  const Shape shape{.batch = 1, .q_heads = 2, .kv_heads = 2, .q_len = 100, .kv_len = 150, .head_dim = 16};
  constexpr int kRows = 16, kColumns = 16;
  Random random(5);
  std::vector<std::int32_t> indptr{0}, indices;
  std::vector<std::uint8_t> data;
  std::vector<bool> bits, dense(static_cast<std::size_t>(shape.q_len * shape.kv_len));
  for (int r = 0; r < (shape.q_len + kRows - 1) / kRows; ++r) {
    for (int c = 0; c < (shape.kv_len + kColumns - 1) / kColumns; ++c) {
      if (random.chance(0.6)) continue;
      const bool full = random.chance(0.4);
      indices.push_back(c);
      for (int i = 0; i < kRows * kColumns; ++i) {
        const bool allowed = full || random.chance(0.5);
        const int q = r * kRows + i / kColumns, kv = c * kColumns + i % kColumns;
        data.push_back(allowed ? 1 : 0);
        bits.push_back(allowed);
        if (q < shape.q_len && kv < shape.kv_len) dense[static_cast<std::size_t>(q * shape.kv_len + kv)] = allowed;
      }
    }
    indptr.push_back(static_cast<std::int32_t>(indices.size()));
  }
  const BlockMaskShape blocks{.q_len = shape.q_len, .kv_len = shape.kv_len, .q_block = kRows, .kv_block = kColumns};
  const BsrMatrix matrix{indptr, indices, data};
  const BlockMask mask = BlockMask::from_bsr(blocks, matrix).value();
  Captures captures, dense_captures;
  captures.set("bsr_rows", kRows).set("bsr_columns", kColumns);
  captures.add("bsr_slots", {blocks.q_blocks(), blocks.kv_blocks()}, matrix.slots(blocks));
  captures.add("bsr_data", {static_cast<std::int64_t>(indices.size()), kRows, kColumns}, bits);
  dense_captures.add("allowed", {shape.q_len, shape.kv_len}, dense);
  const Attention sparse = compile_or_throw(engine_for("host"), spec_of(find_preset("bsr").value().text, shape));
  const Attention plain = compile_or_throw(
      engine_for("host"), spec_of("buffer allowed : bool[q_len, kv_len]\nmask = allowed[q_idx, kv_idx]", shape));
  Problem actual(shape), expected(shape);
  RunArgs args = actual.args(&captures.bindings());
  args.block_mask = &mask;
  sparse.run(args).value();
  plain.run_reference(expected.args(&dense_captures.bindings())).value();
  EXPECT_TRUE(outputs_agree(actual, expected));
  const BlockMaskOptions options{.q_len = 100, .kv_len = 150, .q_block = kRows, .kv_block = kColumns};
  EXPECT_EQ(plain.create_block_mask(options, &dense_captures.bindings()).value().to_dense(), mask.to_dense());
}

}  // namespace
}  // namespace flexjit::conformance
