// Longformer, neighborhood attention and Swin beside what their papers and original programs do: lists of neighbours, images
// that are padded, rolled and cut, sets of tokens.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "harness.h"
#include "support/checklist.h"
#include "support/gradients.h"
#include "support/sample.h"

namespace flexjit::conformance {
namespace {

using Pairs = std::vector<std::vector<bool>>;  // [query][key]

OraclePattern masked_by(const Pairs& pairs) {
  return {.mask = [&pairs](const Position& p) { return pairs[at(p.q_idx)][at(p.kv_idx)]; }};
}

std::int64_t count(const Pairs& pairs) {
  std::int64_t sum = 0;
  for (const auto& row : pairs) sum += std::ranges::count(row, true);
  return sum;
}

Shape shape_of(std::int32_t length, std::int32_t heads = 2) {
  return {.batch = 2, .q_heads = heads, .kv_heads = heads, .q_len = length, .kv_len = length, .head_dim = 16};
}

AttentionSpec sized(Result<AttentionSpec> spec, const Shape& shape) {
  AttentionSpec result = std::move(spec).value();
  result.head_dim = shape.head_dim;
  return result;
}

// The whole text against the oracle, without a warning, and every pair counted.
void expect_mask(const AttentionSpec& spec, const Shape& shape, const Pairs& pairs, const Bindings* bindings = nullptr) {
  const Attention attention = compile_or_throw(engine_for("host"), spec);
  EXPECT_EQ(render(attention.warnings()), "");
  Problem tensors(shape);
  attention.run(tensors.args(bindings)).value();
  EXPECT_TRUE(is_attention(tensors, masked_by(pairs))) << spec.program;
  EXPECT_EQ(attention.count_allowed({.q_len = shape.q_len, .kv_len = shape.kv_len}, bindings).value(), count(pairs))
      << spec.program;
}

// What a query sees along one axis: its line of equally dilated positions, and there the window of the line's query that leads
// it.
std::vector<int> neighbours(int query, const NeighborhoodAxis& axis, NeighborhoodBorder border) {
  std::vector<int> line;
  for (int x = query % axis.dilation; x < axis.extent; x += axis.dilation) line.push_back(x);
  const int length = static_cast<int>(line.size());
  const int place = query / axis.dilation, first = place - place % axis.stride;
  std::vector<int> group;  // of those that share a window, cut at the line's end
  for (int i = first; i < std::min(first + axis.stride, length); ++i) group.push_back(i);
  int begin = 0, end = 0;
  if (axis.causal) {
    end = place + 1;
    begin = group.back() - axis.kernel + 1;
  } else {
    const int leader = axis.stride / 2 < static_cast<int>(group.size()) ? group[at(axis.stride / 2)] : group.back();
    begin = leader - axis.kernel / 2;
    if (border == NeighborhoodBorder::kShifted) begin = std::max(0, std::min(begin, length - axis.kernel));
    end = begin + axis.kernel;
  }
  std::vector<int> seen;
  for (int i = std::max(begin, 0); i < std::min(end, length); ++i) seen.push_back(line[at(i)]);
  return seen;
}

Pairs neighbourhood_pairs(const NeighborhoodOptions& options) {
  Pairs pairs{{true}};  // of a grid without axes
  for (const NeighborhoodAxis& axis : options.axes) {
    const std::size_t before = pairs.size(), extent = at(axis.extent);
    Pairs next(before * extent, std::vector<bool>(before * extent));
    for (std::size_t q = 0; q < next.size(); ++q) {
      for (const int k : neighbours(static_cast<int>(q % extent), axis, options.border)) {
        for (std::size_t outer = 0; outer < before; ++outer) next[q][outer * extent + at(k)] = pairs[q / extent][outer];
      }
    }
    pairs = std::move(next);
  }
  return pairs;
}

struct Grid {
  const char* name;
  std::vector<NeighborhoodAxis> axes;
  NeighborhoodBorder border = NeighborhoodBorder::kShifted;
};

std::vector<Grid> grids() {
  return {
      {"line", {{.extent = 40, .kernel = 7}}},
      {"even kernel", {{.extent = 23, .kernel = 6}}},
      {"not square", {{.extent = 6, .kernel = 3}, {.extent = 10, .kernel = 3}}},
      {"dilated", {{.extent = 11, .kernel = 3, .dilation = 3}, {.extent = 8, .kernel = 2, .dilation = 4}}},
      {"strided", {{.extent = 10, .kernel = 5, .stride = 3}, {.extent = 9, .kernel = 4, .stride = 4}}},
      {"dilated and strided", {{.extent = 23, .kernel = 5, .dilation = 4, .stride = 2}}},
      {"causal", {{.extent = 7, .kernel = 3, .causal = true}, {.extent = 9, .kernel = 5}}},
      {"causal, dilated, strided", {{.extent = 29, .kernel = 4, .dilation = 3, .stride = 3, .causal = true}}},
      {"video",
       {{.extent = 4, .kernel = 2, .causal = true}, {.extent = 5, .kernel = 3}, {.extent = 6, .kernel = 3, .dilation = 2}}},
      {"four axes",
       {{.extent = 2, .kernel = 1}, {.extent = 3, .kernel = 3}, {.extent = 4, .kernel = 2}, {.extent = 3, .kernel = 2}}},
      {"clipped", {{.extent = 8, .kernel = 7}, {.extent = 12, .kernel = 5}}, NeighborhoodBorder::kClipped},
      {"clipped, strided", {{.extent = 13, .kernel = 4, .dilation = 2, .stride = 2}}, NeighborhoodBorder::kClipped},
  };
}

TEST(Neighborhood, IsTheListOfItsNeighbours) {
  covers("X10", "C18");
  Sample sample;
  for (const Grid& grid : grids()) {
    if (!sample.next()) continue;
    SCOPED_TRACE(grid.name);
    const NeighborhoodOptions options{.axes = grid.axes, .border = grid.border};
    const Pairs pairs = neighbourhood_pairs(options);
    const Shape shape = shape_of(static_cast<std::int32_t>(pairs.size()));
    expect_mask(sized(neighborhood(options), shape), shape, pairs);
  }
}

TEST(Neighborhood, HasTheCountsOfItsSources) {
  covers("X10");
  const auto pairs_of = [](std::int32_t height, std::int32_t width, std::int32_t kernel, NeighborhoodBorder border) {
    const AttentionSpec spec =
        neighborhood({.axes = {{.extent = height, .kernel = kernel}, {.extent = width, .kernel = kernel}}, .border = border})
            .value();
    return compile_or_throw(engine_for("host"), spec)
        .count_allowed({.q_len = height * width, .kv_len = height * width})
        .value();
  };
  EXPECT_EQ(pairs_of(56, 56, 5, NeighborhoodBorder::kClipped), 75076);
  EXPECT_EQ(pairs_of(8, 8, 7, NeighborhoodBorder::kClipped), 1936);
  EXPECT_EQ(pairs_of(56, 56, 5, NeighborhoodBorder::kShifted), 78400);
  EXPECT_EQ(pairs_of(6, 10, 3, NeighborhoodBorder::kShifted), 540);
}

TEST(Neighborhood, AddsWhatItLearnedOfDistances) {
  const NeighborhoodOptions options{.axes = {{.extent = 5, .kernel = 3}, {.extent = 9, .kernel = 4, .dilation = 2}},
                                    .relative_bias = true};
  const Pairs pairs = neighbourhood_pairs(options);
  const Shape shape = shape_of(45);
  const std::vector<float> table = Random(3).normals(2 * 5 * 7);
  Captures captures;
  captures.add("relative_bias", {2, 5, 7}, table);
  std::vector<Real> numbers(table.begin(), table.end());
  GradientPattern pattern{masked_by(pairs), {{"relative_bias", &numbers}}};
  pattern.pattern.score = [&numbers](Real score, const Position& p) {
    const int rows = p.kv_idx / 9 - p.q_idx / 9, columns = (p.kv_idx % 9) / 2 - (p.q_idx % 9) / 2;
    return score + numbers[at((p.h * 5 + rows + 2) * 7 + columns + 3)];
  };
  const Attention attention = compile_or_throw(engine_for("host"), sized(neighborhood(options), shape));
  BackwardProblem problem(shape);
  problem.want_buffer("relative_bias", {2, 5, 7});
  attention.run(problem.args(&captures.bindings())).value();
  EXPECT_TRUE(is_attention(problem.forward, pattern.pattern));
  run_backward(attention, problem.args(&captures.bindings()), problem.gradients()).value();
  EXPECT_TRUE(has_gradients(problem, pattern));
}

TEST(Neighborhood, RefusesGridsThatAreNone) {
  const auto refused = [](const NeighborhoodOptions& options) {
    const auto spec = neighborhood(options);
    return spec.has_value() ? "" : render(spec.diagnostics());
  };
  EXPECT_NE(refused({}).find("the number of axes is 0"), std::string::npos);
  EXPECT_NE(refused({.axes = {{.extent = 8, .kernel = 3}, {.extent = 8, .kernel = 5, .dilation = 2}}})
                .find("axes[1].kernel is 5; give 1 to 4"),
            std::string::npos);
  EXPECT_NE(refused({.axes = {{.extent = 8, .kernel = 3, .stride = 4}}}).find("axes[0].stride is 4"), std::string::npos);
  EXPECT_NE(refused({.axes = {{.extent = 0, .kernel = 1, .dilation = -1}}}).find("axes[0].extent is 0"), std::string::npos);
  EXPECT_NE(
      refused({.axes = {{.extent = 1 << 20, .kernel = 3}, {.extent = 1 << 20, .kernel = 3}}}).find("the number of tokens"),
      std::string::npos);
  const NeighborhoodAxis two{.extent = 2, .kernel = 2};
  EXPECT_NE(refused({.axes = {two, two, two, two}, .relative_bias = true}).find("give 1 to 3"), std::string::npos);
}

// An image is padded, rolled and cut into windows, whose regions are numbered as Swin's slices number them; each as its program
// does.
struct RolledImage {
  int height, width, rows, columns, row_shift, column_shift;
  int padded_height() const { return (height + rows - 1) / rows * rows; }
  int padded_width() const { return (width + columns - 1) / columns * columns; }

  struct Place {
    int window = -1, region = -1, row = 0, column = 0;  // the last two inside the window
  };
  static int slice_of(int x, int extent, int window, int shift) {
    if (shift == 0) return 0;
    return x < extent - window ? 0 : x < extent - shift ? 1 : 2;
  }
  std::vector<Place> places() const {
    std::vector<Place> result(at(height * width));
    for (int y = 0; y < padded_height(); ++y) {
      for (int x = 0; x < padded_width(); ++x) {  // of the rolled image
        const int from_y = (y + row_shift) % padded_height(), from_x = (x + column_shift) % padded_width();
        if (from_y >= height || from_x >= width) continue;
        result[at(from_y * width + from_x)] = {
            y / rows * (padded_width() / columns) + x / columns,
            slice_of(y, padded_height(), rows, row_shift) * 3 + slice_of(x, padded_width(), columns, column_shift), y % rows,
            x % columns};
      }
    }
    return result;
  }
  Pairs pairs() const {
    const std::vector<Place> all = places();
    Pairs result(all.size(), std::vector<bool>(all.size()));
    for (std::size_t q = 0; q < all.size(); ++q) {
      for (std::size_t k = 0; k < all.size(); ++k)
        result[q][k] = all[q].window == all[k].window && all[q].region == all[k].region;
    }
    return result;
  }
};

TEST(Swin, IsWindowsOfARolledImage) {
  covers("X08", "X09", "C19", "C21");
  struct Case {
    SwinOptions options;
    RolledImage image;
  };
  const Case cases[] = {
      {{.height = 8, .width = 12, .window = {4, 4}}, {8, 12, 4, 4, 0, 0}},
      {{.height = 8, .width = 12, .window = {4, 4}, .shift = {2, 2}}, {8, 12, 4, 4, 2, 2}},
      {{.height = 14, .width = 7, .window = {7, 7}, .shift = {3, 3}}, {14, 7, 7, 7, 0, 0}},  // no larger than its window
      {{.height = 4, .width = 4, .window = {4, 4}, .shift = {2, 2}}, {4, 4, 4, 4, 0, 0}},
      {{.height = 3, .width = 9, .window = {4, 4}, .shift = {2, 2}}, {3, 9, 3, 3, 0, 0}},
      {{.height = 3, .width = 3, .window = {2, 2}, .shift = {1, 1}}, {3, 3, 2, 2, 1, 1}},  // padded
      {{.height = 10, .width = 9, .window = {4, 4}, .shift = {1, 3}}, {10, 9, 4, 4, 1, 3}},
      {{.height = 6, .width = 9, .window = {2, 3}, .shift = {1, 2}}, {6, 9, 2, 3, 1, 2}},
  };
  Sample sample;
  for (const Case& one : cases) {
    if (!sample.next()) continue;
    SCOPED_TRACE(testing::Message() << one.options.height << " x " << one.options.width << " by " << one.options.window[0]);
    const Shape shape = shape_of(one.options.height * one.options.width);
    expect_mask(sized(swin(one.options), shape), shape, one.image.pairs());
  }
}

// B12: tokens 7 and 1 of a 3 x 3 image come to lie in one window only because the padded image is rolled; they never meet.
TEST(Swin, PadsBeforeItRolls) {
  const Attention attention =
      compile_or_throw(engine_for("host"), swin({.height = 3, .width = 3, .window = {2, 2}, .shift = {1, 1}}).value());
  const std::vector<std::uint8_t> pairs = attention.mask_elements({.q_len = 9, .kv_len = 9}, {}, {0, 9}, {0, 9}).value();
  EXPECT_EQ(pairs[7 * 9 + 1], 0);
  EXPECT_EQ(pairs[1 * 9 + 7], 0);
  for (std::size_t i = 0; i < 9; ++i) EXPECT_EQ(pairs[i * 9 + i], 1) << i;
}

TEST(Swin, HasTheCountsOfItsSources) {
  covers("X08", "X09");
  for (const auto& [shift, expected] : {std::pair{0, 153664}, {3, 135424}}) {
    const AttentionSpec spec = swin({.height = 56, .width = 56, .shift = {shift, shift}}).value();
    EXPECT_EQ(compile_or_throw(engine_for("host"), spec).count_allowed({.q_len = 3136, .kv_len = 3136}).value(), expected);
  }
}

// B13: the index of a window that is not square is (d_row + 1) * 5 + d_column + 2.
TEST(Swin, AddsWhatItLearnedOfPlacesInWindows) {
  covers("X09");
  const RolledImage image{6, 9, 2, 3, 1, 2};
  const std::vector<RolledImage::Place> places = image.places();
  const Pairs pairs = image.pairs();
  const Shape shape = shape_of(54);
  const std::vector<float> table = Random(4).normals(2 * 15);
  Captures captures;
  captures.add("relative_bias", {2, 15}, table);
  std::vector<Real> numbers(table.begin(), table.end());
  GradientPattern pattern{masked_by(pairs), {{"relative_bias", &numbers}}};
  pattern.pattern.score = [&](Real score, const Position& p) {
    const RolledImage::Place &q = places[at(p.q_idx)], &k = places[at(p.kv_idx)];
    return score + numbers[at(p.h * 15 + (q.row - k.row + 1) * 5 + q.column - k.column + 2)];
  };
  const SwinOptions options{.height = 6, .width = 9, .window = {2, 3}, .shift = {1, 2}, .relative_bias = true};
  const Attention attention = compile_or_throw(engine_for("host"), sized(swin(options), shape));
  BackwardProblem problem(shape);
  problem.want_buffer("relative_bias", {2, 15});
  attention.run(problem.args(&captures.bindings())).value();
  EXPECT_TRUE(is_attention(problem.forward, pattern.pattern));
  run_backward(attention, problem.args(&captures.bindings()), problem.gradients()).value();
  EXPECT_TRUE(has_gradients(problem, pattern));
}

TEST(Swin, RefusesWindowsThatAreNone) {
  const std::string found = render(swin({.height = 0, .width = 8, .window = {0, 4}, .shift = {0, 4}}).diagnostics());
  for (const char* text : {"height is 0", "window[0] is 0", "shift[1] is 4; give 0 to 3"})
    EXPECT_NE(found.find(text), std::string::npos) << found;
}

struct Tokens {
  std::vector<std::int32_t> kinds;  // (2, length)
  std::int32_t length;
  std::int32_t of(std::int32_t b, std::int32_t i) const { return kinds[at(b * length + i)]; }
};

Tokens some_tokens(std::int32_t length) {
  Tokens tokens{std::vector<std::int32_t>(at(2 * length)), length};
  tokens.kinds[2] = tokens.kinds[at(length / 2)] = 1;
  tokens.kinds[at(length)] = 2;
  for (std::int32_t i = 2 * length - 9; i < 2 * length; ++i) tokens.kinds[at(i)] = -1;
  return tokens;
}

TEST(Longformer, IsABandAndGlobalTokens) {
  covers("X06");
  const Tokens tokens = some_tokens(75);
  Captures captures;
  captures.add("tokens", {2, 75}, tokens.kinds);
  const Shape shape = shape_of(75, 3);
  Sample sample;
  for (const std::vector<std::int32_t>& dilation : {std::vector<std::int32_t>{}, {2}, {1, 3, 2}, {1, 2}}) {
    for (const int variant : {0, 1, 2, 3}) {
      if (!sample.next()) continue;
      SCOPED_TRACE(testing::Message() << dilation.size() << " dilations, variant " << variant);
      const bool causal = (variant & 1) != 0, apart = (variant & 2) != 0;
      const LongformerOptions options{.window = 5, .dilation = dilation, .autoregressive = causal, .global_rows_apart = apart};
      Problem tensors(shape);
      const Attention attention = compile_or_throw(engine_for("host"), sized(longformer(options), shape));
      EXPECT_EQ(render(attention.warnings()), "");
      attention.run(tensors.args(&captures.bindings())).value();
      EXPECT_TRUE(is_attention(tensors, {.mask = [&](const Position& p) {
                                 const std::int32_t steps =
                                     dilation.empty() ? 1 : dilation[std::min(at(p.h), dilation.size() - 1)];
                                 bool seen = tokens.of(p.b, p.q_idx) > 0 || tokens.of(p.b, p.kv_idx) > 0;
                                 for (int n = -5; n <= 5; ++n) seen = seen || p.kv_idx == p.q_idx + n * steps;
                                 if (causal && p.kv_idx > p.q_idx) seen = false;
                                 if (apart && tokens.of(p.b, p.q_idx) > 0) seen = false;
                                 return seen && tokens.of(p.b, p.q_idx) >= 0 && tokens.of(p.b, p.kv_idx) >= 0;
                               }}));
    }
  }
}

TEST(Longformer, HasTheCountsOfItsSources) {
  covers("X06", "X07");
  const Attention attention = compile_or_throw(engine_for("host"), longformer({.window = 32}).value());
  for (const auto& [length, expected] : {std::pair{256, 16474}, {1024, 69466}, {2048, 140122}, {4096, 281434}}) {
    std::vector<std::int32_t> kinds(at(length));
    kinds[0] = kinds[1] = 1;
    Captures captures;
    captures.add("tokens", {1, length}, kinds);
    EXPECT_EQ(attention.count_allowed({.q_len = length, .kv_len = length}, &captures.bindings()).value(), expected);
  }
  const auto refused = longformer({.window = -1, .dilation = {0, 1}});
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.diagnostics().size(), 2U) << render(refused.diagnostics());
  EXPECT_FALSE(longformer({.window = 1 << 20, .dilation = {1 << 20}}).has_value());
}

}  // namespace
}  // namespace flexjit::conformance
