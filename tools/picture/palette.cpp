// Colours are mixed in two steps: partial with full, then with empty.
#include "picture/palette.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace flexjit::tools {
namespace {

constexpr int kLeastInk = 9;  // of Shade::kSteps: what one block among a thousand empty ones still shows

// part / whole in steps from `least` on; 0 and kSteps for nothing and everything alone.
int step_of(std::int64_t part, std::int64_t whole, int least) {
  if (part == 0) return 0;
  if (part == whole) return Shade::kSteps;
  const double share = static_cast<double>(part) / static_cast<double>(whole);
  const int room = Shade::kSteps - 1 - least;
  return least + static_cast<int>(std::lround(share * room));
}

Colour mix(Colour from, Colour to, int steps) {
  const auto channel = [steps](int a, int b) { return static_cast<std::uint8_t>(a + (b - a) * steps / Shade::kSteps); };
  return {channel(from.red, to.red), channel(from.green, to.green), channel(from.blue, to.blue)};
}

}  // namespace

std::string hex(Colour colour) { return fmt::format("#{:02x}{:02x}{:02x}", colour.red, colour.green, colour.blue); }

Shade shade_of(const Cell& cell) {
  return {.ink = step_of(cell.full + cell.partial, cell.blocks, kLeastInk),
          .tint = step_of(cell.full, cell.full + cell.partial, 1)};
}

Colour colour_of(Shade shade, const Palette& palette) {
  return mix(palette.empty, mix(palette.partial, palette.full, shade.tint), shade.ink);
}

std::pair<double, double> panel_size(std::int64_t rows, std::int64_t columns, double side) {
  const double longest = static_cast<double>(std::max<std::int64_t>({rows, columns, 1}));
  const auto extent = [&](std::int64_t n) { return side * std::max(static_cast<double>(n) / longest, 0.125); };
  return {extent(columns), extent(rows)};
}

std::vector<std::int64_t> axis_ticks(std::int64_t begin, std::int64_t end) {
  constexpr std::int64_t kMost = 5;
  std::int64_t step = 1;
  const std::int64_t length = end - begin;
  if ((length & (length - 1)) == 0)
    while (length / step >= kMost) step *= 2;
  else
    for (int i = 0; length / step >= kMost; ++i) step = i % 3 == 1 ? step / 2 * 5 : step * 2;  // 1, 2, 5, 10, ...
  std::vector<std::int64_t> positions;
  for (std::int64_t at = (begin + step - 1) / step * step; at <= end; at += step) positions.push_back(at);
  return positions;
}

}  // namespace flexjit::tools
