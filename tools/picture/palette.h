// What both pictures agree on: the colours of light and dark pages, the shade of a cell that holds several kinds of blocks,
// the sides of the panels and the numbers beside them. Blue and orange stay distinct for the colour-blind (Okabe and Ito).
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "picture/grid.h"

namespace flexjit::tools {

struct Colour {
  std::uint8_t red, green, blue;
};
std::string hex(Colour colour);  // "#rrggbb"

struct Palette {
  Colour page, text, faint;     // background, letters, ticks and less important letters
  Colour empty, partial, full;  // kinds of blocks; pairs are `full` or `empty`
  Colour mark;                  // where the zoom lies
  Colour hatch;                 // over blocks of which elements were evaluated
};
inline constexpr Palette kLight = {.page = {255, 255, 255},
                                   .text = {31, 35, 40},
                                   .faint = {89, 99, 110},
                                   .empty = {234, 238, 242},
                                   .partial = {240, 160, 20},
                                   .full = {0, 108, 178},
                                   .mark = {207, 34, 104},
                                   .hatch = {31, 35, 40}};
inline constexpr Palette kDark = {.page = {13, 17, 23},
                                  .text = {230, 237, 243},
                                  .faint = {145, 152, 161},
                                  .empty = {37, 43, 51},
                                  .partial = {240, 170, 50},
                                  .full = {64, 156, 224},
                                  .mark = {255, 121, 168},
                                  .hatch = {230, 237, 243}};

// How much of a cell is not empty and how much of that is full, in steps. A share that is there but small keeps a step of its
// own, so that a window that is narrow beside a cell stays visible.
struct Shade {
  static constexpr int kSteps = 16;
  int ink = 0;   // 0: all empty; kSteps: nothing is empty
  int tint = 0;  // 0: all partial; kSteps: all full
  auto operator<=>(const Shade&) const = default;
};
Shade shade_of(const Cell& cell);
Colour colour_of(Shade shade, const Palette& palette);

// Width and height, at most `side`, of a panel of `rows` x `columns`: in proportion, but never thinner than an eighth.
std::pair<double, double> panel_size(std::int64_t rows, std::int64_t columns, double side);

// Positions along a side: few enough to be read, at multiples of a power of two or ten.
std::vector<std::int64_t> axis_ticks(std::int64_t begin, std::int64_t end);

}  // namespace flexjit::tools
