// Colours of growing lightness, which remain in order for the colour-blind and in grey; from the least finite score to the
// largest.
#include "picture/heat_map.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "picture/canvas.h"

namespace flexjit::tools {
namespace {

constexpr int kSide = 560, kLeft = 100, kTop = 128, kRight = 40;
constexpr int kLegend = 56, kBar = 240;
constexpr int kWidth = kLeft + kSide + kRight, kHeight = kTop + kSide + kLegend + 64;

constexpr Colour kScale[] = {{68, 1, 84}, {59, 82, 139}, {33, 145, 140}, {94, 201, 98}, {253, 231, 37}};

Colour colour_of(double share) {
  constexpr int kSteps = static_cast<int>(std::size(kScale)) - 1;
  const double at = std::clamp(share, 0.0, 1.0) * kSteps;
  const int step = std::min(static_cast<int>(at), kSteps - 1);
  const auto mix = [&](std::uint8_t a, std::uint8_t b) {
    return static_cast<std::uint8_t>(std::lround(a + (b - a) * (at - step)));
  };
  const Colour &a = kScale[step], &b = kScale[step + 1];
  return {mix(a.red, b.red), mix(a.green, b.green), mix(a.blue, b.blue)};
}

struct Span {
  float least = std::numeric_limits<float>::infinity(), largest = -std::numeric_limits<float>::infinity();

  bool empty() const { return least > largest; }
  double share(float value) const { return largest > least ? (value - least) / (largest - least) : 0.5; }
};

Span finite_span(const Array& scores) {
  Span span;
  for (std::int64_t i = 0, n = scores.count(); i < n; ++i) {
    const float value = scores.as<float>()[i];
    if (!std::isfinite(value)) continue;
    span.least = std::min(span.least, value);
    span.largest = std::max(span.largest, value);
  }
  return span;
}

// The largest score below a pixel; -inf where all are masked. NaN only where nothing else is.
float largest_in(const Array& scores, PositionRange rows, PositionRange keys) {
  float largest = -std::numeric_limits<float>::infinity();
  for (std::int64_t row = rows.begin; row < rows.end; ++row)
    for (std::int64_t key = keys.begin; key < keys.end; ++key)
      largest = std::max(largest, scores.as<float>()[row * scores.shape[1] + key]);
  return largest;
}

PositionRange below(int pixel, int pixels, std::int64_t positions) {
  const std::int64_t begin = std::int64_t{pixel} * positions / pixels;
  const std::int64_t end = std::max((std::int64_t{pixel} + 1) * positions / pixels, begin + 1);
  return {static_cast<std::int32_t>(begin), static_cast<std::int32_t>(std::min(end, positions))};
}

void draw_scores(Canvas& canvas, const Box& box, const Array& scores, const Span& span) {
  canvas.fill(box, [&](int x, int y) {
    const float value = largest_in(scores, below(y, box.height, scores.shape[0]), below(x, box.width, scores.shape[1]));
    return std::isinf(value) && value < 0 ? kLight.empty : colour_of(span.share(value));
  });
}

void draw_legend(Canvas& canvas, int y, const Span& span) {
  if (!span.empty()) {
    const Box bar{kLeft, y, kBar, Canvas::kLetterHeight};
    canvas.fill(bar, [&](int x, int) { return colour_of(static_cast<double>(x) / kBar); });
    canvas.text(kLeft, y + 24, fmt::format("{:.3g}", span.least), kLight.faint);
    canvas.text(kLeft + kBar, y + 24, fmt::format("{:.3g}", span.largest), kLight.faint, Align::kRight);
  }
  const int x = kLeft + kBar + 48;
  canvas.fill({x, y, Canvas::kLetterHeight, Canvas::kLetterHeight}, kLight.empty);
  canvas.text(x + 28, y, "masked", kLight.text);
}

}  // namespace

Status write_heat_map(const std::string& path, const HeatMap& map) {
  Canvas canvas(kWidth, kHeight, kLight.page);
  const std::int64_t rows = map.scores.shape[0], keys = map.scores.shape[1];
  constexpr std::size_t kLetters = (kWidth - kLeft) / Canvas::kLetterWidth;
  canvas.text(kLeft, 20, std::string_view(map.title).substr(0, kLetters), kLight.text);
  canvas.text(kLeft, 44, std::string_view(map.subtitle).substr(0, kLetters), kLight.faint);
  const Span span = finite_span(map.scores);
  const auto [width, height] = panel_size(rows, keys, kSide);
  const Box box{kLeft, kTop, static_cast<int>(width), static_cast<int>(height)};
  if (rows > 0 && keys > 0) {
    draw_scores(canvas, box, map.scores, span);
    canvas.axes(box, {map.rows.begin, map.rows.end}, {0, keys});
  }
  draw_legend(canvas, box.y + box.height + kLegend, span);
  return canvas.write(path, {{"Title", map.title},
                             {"Software", "flexjit run"},
                             {"Description", map.subtitle},
                             {"least", span.empty() ? "none" : fmt::format("{}", span.least)},
                             {"largest", span.empty() ? "none" : fmt::format("{}", span.largest)}});
}

}  // namespace flexjit::tools
