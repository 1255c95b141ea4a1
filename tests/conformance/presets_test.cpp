// Every preset and every combination of masks against what it means, pair by pair.
#include <cmath>
#include <map>

#include "harness.h"

namespace flexjit::conformance {
namespace {

constexpr Shape kShape{.batch = 2, .q_heads = 3, .kv_heads = 3, .q_len = 40, .kv_len = 55, .head_dim = 16};

struct Meaning {
  OraclePattern naive;
  std::function<void(Captures&)> bind{};  // null: nothing is captured, params have their defaults
};

// Longer than 40 lines: one row a preset.
std::map<std::string, Meaning, std::less<>> meanings() {
  static const std::vector<std::int32_t> lengths = {9, 50};
  static const std::vector<float> slopes = Random(1).normals(3, 0.2F);
  static const std::vector<float> bias = Random(2).normals(3 * 94);
  const auto document = [](std::int32_t position) { return position / 17; };
  const auto mask_of = [](std::function<bool(const Position&)> mask, std::function<void(Captures&)> bind = {}) {
    return Meaning{{.mask = std::move(mask)}, std::move(bind)};
  };
  const auto score_of = [](std::function<double(double, const Position&)> score, std::function<void(Captures&)> bind = {}) {
    return Meaning{{.score = std::move(score)}, std::move(bind)};
  };
  const auto ids = [=](std::int32_t count) {
    std::vector<std::int32_t> values;
    for (std::int32_t i = 0; i < count; ++i) values.push_back(document(i));
    return values;
  };
  std::map<std::string, Meaning, std::less<>> all;
  all["causal"] = mask_of([](const Position& p) { return p.kv_idx - 15 <= p.q_idx; });
  all["causal_top_left"] = mask_of([](const Position& p) { return p.kv_idx <= p.q_idx; });
  all["window"] = mask_of([](const Position& p) { return p.kv_idx >= p.q_idx + 15 - 4 && p.kv_idx <= p.q_idx + 15 + 2; },
                          [](Captures& c) { c.set("window_left", 4).set("window_right", 2); });
  all["sliding_window"] = mask_of([](const Position& p) { return p.kv_idx <= p.q_idx && p.kv_idx >= p.q_idx - 6; },
                                  [](Captures& c) { c.set("window", 6); });
  all["dilated_window"] =
      mask_of([](const Position& p) { return std::abs(p.q_idx - p.kv_idx) <= 12 && std::abs(p.q_idx - p.kv_idx) % 3 == 0; },
              [](Captures& c) { c.set("window", 12).set("dilation", 3); });
  all["chunked"] = mask_of([](const Position& p) { return p.q_idx / 11 == p.kv_idx / 11 && p.kv_idx <= p.q_idx; },
                           [](Captures& c) { c.set("chunk", 11); });
  all["prefix_lm"] =
      mask_of([](const Position& p) { return p.kv_idx < 8 || p.kv_idx <= p.q_idx; }, [](Captures& c) { c.set("prefix", 8); });
  all["streaming"] = mask_of([](const Position& p) { return p.kv_idx <= p.q_idx && (p.kv_idx < 2 || p.q_idx - p.kv_idx <= 5); },
                             [](Captures& c) { c.set("window", 5).set("first", 2); });
  all["document"] = mask_of([=](const Position& p) { return document(p.q_idx) == document(p.kv_idx); },
                            [=](Captures& c) { c.add("q_document", {40}, ids(40)).add("kv_document", {55}, ids(55)); });
  all["key_lengths"] = mask_of([](const Position& p) { return p.kv_idx < lengths[at(p.b)]; },
                               [](Captures& c) { c.add("key_lengths", {2}, lengths); });
  all["key_mask"] = mask_of([](const Position& p) { return (p.kv_idx + p.b) % 4 != 0; },
                            [](Captures& c) {
                              std::vector<bool> keep;
                              for (int i = 0; i < 2 * 55; ++i) keep.push_back((i % 55 + i / 55) % 4 != 0);
                              c.add("key_mask", {2, 55}, keep);
                            });
  // Blocks of 8 x 5 that lie where row and column differ by no multiple of 3; their elements depend on the block's number.
  const auto in_bsr = [](std::int32_t slot, std::int32_t r, std::int32_t c) { return (slot + r + 2 * c) % 4 != 0; };
  all["bsr"] = mask_of(
      [=](const Position& p) {
        const std::int32_t r = p.q_idx / 8, c = p.kv_idx / 5;
        return (r + c) % 3 != 0 && in_bsr(r * 11 + c, p.q_idx % 8, p.kv_idx % 5);
      },
      [=](Captures& captures) {
        std::vector<std::int32_t> slots;
        std::vector<bool> data;
        for (std::int32_t block = 0; block < 5 * 11; ++block) {
          slots.push_back((block / 11 + block % 11) % 3 != 0 ? block : -1);
          for (std::int32_t i = 0; i < 8 * 5; ++i) data.push_back(in_bsr(block, i / 5, i % 5));
        }
        captures.set("bsr_rows", 8).set("bsr_columns", 5).add("bsr_slots", {5, 11}, slots).add("bsr_data", {55, 8, 5}, data);
      });
  all["softcap"] = score_of([](double score, const Position&) { return 1.25 * std::tanh(score / 1.25); },
                            [](Captures& c) { c.set("softcap", 1.25F); });
  all["alibi"] = score_of(
      [](double score, const Position& p) {
        return score - static_cast<double>(slopes[at(p.h)]) * std::abs(p.q_idx + 15 - p.kv_idx);
      },
      [](Captures& c) { c.add("alibi_slopes", {3}, slopes); });
  all["relative_bias"] = score_of(
      [](double score, const Position& p) { return score + static_cast<double>(bias[at(p.h * 94 + p.q_idx - p.kv_idx + 54)]); },
      [](Captures& c) { c.add("bias", {3, 94}, bias); });
  return all;
}

void expect_meaning(const AttentionSpec& spec, const Bindings& bindings, const OraclePattern& naive) {
  Problem tensors(kShape);
  compile_or_throw(engine_for("host"), spec).run(tensors.args(&bindings)).value();
  EXPECT_TRUE(is_attention(tensors, naive));
}

TEST(Presets, MeanWhatTheySayInBothForms) {
  const auto all = meanings();
  EXPECT_EQ(all.size(), presets().size());
  for (const Preset& preset : presets()) {
    SCOPED_TRACE(preset.text);
    ASSERT_TRUE(all.contains(preset.name));
    EXPECT_EQ(find_preset(preset.name).value().text, preset.text);
    const Meaning& meaning = all.find(preset.name)->second;
    Captures captures;
    if (meaning.bind) meaning.bind(captures);
    expect_meaning(spec_of(preset.text, kShape), captures.bindings(), meaning.naive);
    AttentionSpec expressions = spec_of("", kShape);
    expressions.score_mod = preset.score_mod;
    expressions.mask_mod = preset.mask_mod;
    expect_meaning(expressions.declare(captures.bindings()), captures.bindings(), meaning.naive);
  }
}

// Texts with everything that can stand in a mask: lets, consts, nested lets, comments, line ends, conditionals, guarded reads.
constexpr const char* kNear = "const reach : int = 7  # on both sides\nlet d = q_idx - kv_idx\nd <= reach &&\n  -d <= reach";
bool near(const Position& p) { return std::abs(p.q_idx - p.kv_idx) <= 7; }
constexpr const char* kListed =
    "let d = kv_idx; let e = (let d = d + 1; d * 2)\nd < 20 ? marks[d] != 0 : e % 4 == 0 # beyond the marks";
bool listed(const Position& p) { return p.kv_idx < 20 ? p.kv_idx % 3 == 1 : (p.kv_idx + 1) % 2 == 0; }
constexpr const char* kAlias = "q >= kv";
bool alias(const Position& p) { return p.q_idx >= p.kv_idx; }

class Combined : public testing::Test {
 protected:
  Combined() {
    std::vector<std::int32_t> marks;
    for (int i = 0; i < 20; ++i) marks.push_back(i % 3 == 1 ? 1 : 0);
    captures_.add("marks", {20}, marks).set("cached", 15);
  }
  void expect_mask(const Result<std::string>& mask, const std::function<bool(const Position&)>& meaning) {
    ASSERT_TRUE(mask) << render(mask.diagnostics());
    SCOPED_TRACE(*mask);
    EXPECT_EQ(mask->find('\n'), std::string::npos);
    AttentionSpec spec = spec_of("", kShape);
    spec.mask_mod = *mask;
    expect_meaning(spec.declare(captures_.bindings()), captures_.bindings(), {.mask = meaning});
  }
  Captures captures_;
};

TEST_F(Combined, And) {
  expect_mask(and_masks(std::vector<std::string>{kNear, kListed, kAlias, ""}),
              [](const Position& p) { return near(p) && listed(p) && alias(p); });
  expect_mask(and_masks({}), {});
}

TEST_F(Combined, Or) {
  expect_mask(or_masks(std::vector<std::string>{kListed, kNear}), [](const Position& p) { return near(p) || listed(p); });
  expect_mask(or_masks(std::vector<std::string>{kNear, ""}), {});
  expect_mask(or_masks({}), [](const Position&) { return false; });
}

TEST_F(Combined, Not) {
  expect_mask(not_mask(kListed), [](const Position& p) { return !listed(p); });
  expect_mask(not_mask(not_mask(kNear).value()), near);
  expect_mask(not_mask(""), [](const Position&) { return false; });
}

TEST_F(Combined, Nested) {
  const std::string either = or_masks(std::vector<std::string>{kNear, kListed}).value();
  expect_mask(and_masks(std::vector<std::string>{either, kAlias}),
              [](const Position& p) { return (near(p) || listed(p)) && alias(p); });
}

TEST_F(Combined, OffsetQueries) {
  const auto moved = [](const Position& p) { return Position{p.b, p.h, p.q_idx + 15, p.kv_idx}; };
  expect_mask(offset_queries(kNear, "cached"), [=](const Position& p) { return near(moved(p)); });
  expect_mask(offset_queries(kAlias, "kv_len - q_len"), [=](const Position& p) { return alias(moved(p)); });
}

TEST_F(Combined, ChooseByHead) {
  expect_mask(choose_by_head(std::vector<std::string>{kNear, "", kListed}),
              [](const Position& p) { return p.h == 0 ? near(p) : p.h == 1 || listed(p); });
  expect_mask(choose_by_head(std::vector<std::string>{kNear, kAlias}),
              [](const Position& p) { return p.h == 0 ? near(p) : alias(p); });
}

TEST(Composition, ReportsEveryTextThatIsWrong) {
  const Result<std::string> wrong = and_masks(std::vector<std::string>{"q_idx >=", "kv_idx < 3", "(q_idx"});
  ASSERT_FALSE(wrong);
  EXPECT_EQ(wrong.diagnostics().size(), 2U);
  EXPECT_EQ(wrong.diagnostics()[0].line, 1U);
}

}  // namespace
}  // namespace flexjit::conformance
