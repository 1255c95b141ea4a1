// Pixels with boxes and letters -> a PNG file. Letters are those of a 5 x 7 matrix, twice as large: no font is needed, and
// every machine draws the same picture.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "flexjit/result.h"
#include "picture/palette.h"

namespace flexjit::tools {

struct Box {
  int x, y, width, height;
};

enum class Align : std::uint8_t { kLeft, kMiddle, kRight };  // of a text at its x

class Canvas {
 public:
  static constexpr int kLetterWidth = 12, kLetterHeight = 16;  // with the gaps

  Canvas(int width, int height, Colour page);
  int width() const { return width_; }
  int height() const { return height_; }

  // Outside of the canvas nothing is drawn.
  void set(int x, int y, Colour colour) {
    if (x >= 0 && x < width_ && y >= 0 && y < height_) pixels_[index(x, y)] = colour;
  }
  // colour(x, y) from the box's corner on.
  template <typename ColourAt>
  void fill(const Box& box, const ColourAt& colour) {
    for (int y = 0; y < box.height; ++y)
      for (int x = 0; x < box.width; ++x) set(box.x + x, box.y + y, colour(x, y));
  }
  void fill(const Box& box, Colour colour) {
    fill(box, [colour](int, int) { return colour; });
  }
  // Two pixels around the box.
  void frame(const Box& box, Colour colour);
  // `y` is the top of the letters. What is no ASCII letter is drawn as '?'.
  void text(int x, int y, std::string_view text, Colour colour, Align align = Align::kLeft);
  // Marks and numbers at both axes of the box, whose pixels stand for the positions [begin, end) of each.
  void axes(const Box& box, std::pair<std::int64_t, std::int64_t> rows, std::pair<std::int64_t, std::int64_t> columns);

  // With `texts` as tEXt chunks, key and value. Error: `unwritable-file`.
  Status write(const std::string& path, const std::vector<std::pair<std::string, std::string>>& texts) const;

 private:
  std::size_t index(int x, int y) const {
    return static_cast<std::size_t>(width_) * static_cast<std::size_t>(y) + static_cast<std::size_t>(x);
  }

  int width_, height_;
  std::vector<Colour> pixels_;
};

}  // namespace flexjit::tools
