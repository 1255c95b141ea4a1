// The two panels of the SVG as pixels, at one size for every mask, and the legend's colours below: full, partial, empty,
// evaluated. What would be text lies in tEXt chunks.
#include <fmt/format.h>
#include <png.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>

#include "failure.h"
#include "picture/palette.h"
#include "picture/summary.h"

namespace flexjit::tools {
namespace {

constexpr int kSide = 512, kMargin = 24, kGap = 40, kSwatch = 16;
constexpr int kWidth = kMargin + kSide + kGap + kSide + kMargin;
constexpr int kHeight = kMargin + kSide + kMargin + kSwatch + kMargin;
constexpr int kHatch = 6;  // pixels from one line to the next

struct Box {
  int x, y, width, height;
};

class Canvas {
 public:
  Canvas() : pixels_(std::size_t{kWidth} * kHeight, kLight.page) {}

  void set(int x, int y, Colour colour) {
    if (x >= 0 && x < kWidth && y >= 0 && y < kHeight)
      pixels_[std::size_t{kWidth} * static_cast<std::size_t>(y) + static_cast<std::size_t>(x)] = colour;
  }
  // colour(x, y) from the box's corner on.
  template <typename ColourAt>
  void fill(const Box& box, const ColourAt& colour) {
    for (int y = 0; y < box.height; ++y)
      for (int x = 0; x < box.width; ++x) set(box.x + x, box.y + y, colour(x, y));
  }
  // Two pixels around the box.
  void frame(const Box& box, Colour colour) {
    for (int y = -2; y < box.height + 2; ++y)
      for (int x = -2; x < box.width + 2; ++x)
        if (x < 0 || y < 0 || x >= box.width || y >= box.height) set(box.x + x, box.y + y, colour);
  }
  const Colour* row(int y) const { return &pixels_[std::size_t{kWidth} * static_cast<std::size_t>(y)]; }

 private:
  std::vector<Colour> pixels_;
};

bool on_hatch(int x, int y) { return (x + y) % kHatch == 0; }

Box panel(int x, std::int64_t rows, std::int64_t columns) {
  const auto [width, height] = panel_size(rows, columns, kSide);
  return {x, kMargin, static_cast<int>(width), static_cast<int>(height)};
}

void draw_blocks(Canvas& canvas, const Box& box, const Grid& grid) {
  const bool lines = grid.columns <= box.width / 8 && grid.rows <= box.height / 8;
  canvas.fill(box, [&](int x, int y) {
    if (grid.rows == 0) return kLight.empty;
    const Cell& cell = grid.at(y * grid.rows / box.height, x * grid.columns / box.width);
    const bool edge = (x > 0 && x * grid.columns / box.width != (x - 1) * grid.columns / box.width) ||
                      (y > 0 && y * grid.rows / box.height != (y - 1) * grid.rows / box.height);
    if (lines && edge) return kLight.page;
    return cell.often_evaluated() && on_hatch(x, y) ? kLight.hatch : colour_of(shade_of(cell), kLight);
  });
}

void draw_pairs(Canvas& canvas, const Box& box, const Zoom& zoom) {
  canvas.fill(box, [&](int x, int y) {
    return zoom.at(y * zoom.rows() / box.height, x * zoom.keys() / box.width) ? kLight.full : kLight.empty;
  });
  canvas.frame(box, kLight.mark);
}

// The zoom's place among the blocks, never too small to be seen.
void draw_mark(Canvas& canvas, const Box& box, const MaskPicture& picture) {
  const auto place = [](PositionRange range, std::int32_t length, int from, int extent) {
    constexpr int kLeast = 8;
    const double scale = static_cast<double>(extent) / length;
    const int size = std::max(static_cast<int>((range.end - range.begin) * scale), kLeast);
    return std::pair(from + static_cast<int>((range.begin + range.end) * scale / 2) - size / 2, size);
  };
  const auto [x, width] = place(picture.zoom.kv, picture.summary.shape.kv_len, box.x, box.width);
  const auto [y, height] = place(picture.zoom.q, picture.summary.shape.q_len, box.y, box.height);
  canvas.frame({x, y, width, height}, kLight.mark);
}

Canvas draw(const MaskPicture& picture) {
  Canvas canvas;
  const BlockMaskShape& shape = picture.summary.shape;
  const Box blocks = panel(kMargin, shape.q_len, shape.kv_len);
  draw_blocks(canvas, blocks, picture.grid);
  if (!picture.zoom.allowed.empty()) {
    draw_mark(canvas, blocks, picture);
    draw_pairs(canvas, panel(kMargin + kSide + kGap, picture.zoom.rows(), picture.zoom.keys()), picture.zoom);
  }
  Box swatch{kMargin, kMargin + kSide + kMargin, kSwatch, kSwatch};
  for (const Colour colour : {kLight.full, kLight.partial, kLight.empty}) {
    canvas.fill(swatch, [&](int, int) { return colour; });
    swatch.x += 2 * kSwatch;
  }
  canvas.fill(swatch, [](int x, int y) { return on_hatch(x, y) ? kLight.hatch : kLight.empty; });
  return canvas;
}

std::vector<std::pair<std::string, std::string>> texts_of(const MaskPicture& picture) {
  const MaskSummary& s = picture.summary;
  const Zoom& zoom = picture.zoom;
  const auto number = [](auto value) { return fmt::format("{}", value); };
  return {{"Title", s.pattern},
          {"Software", "flexjit mask"},
          {"Description", zoom.allowed.empty()
                              ? "no pairs"
                              : fmt::format("left: blocks of {}; right: pairs, q_idx {} to {} down, kv_idx {} to {} across",
                                            plane_text(picture), zoom.q.begin, zoom.q.end - 1, zoom.kv.begin, zoom.kv.end - 1)},
          {"q_len", number(s.shape.q_len)},
          {"kv_len", number(s.shape.kv_len)},
          {"q_block", number(s.shape.q_block)},
          {"kv_block", number(s.shape.kv_block)},
          {"full", number(s.blocks.full)},
          {"partial", number(s.blocks.partial)},
          {"empty", number(s.blocks.empty)},
          {"evaluated", number(s.all_evaluated())},
          {"popcount", s.allowed_pairs ? number(*s.allowed_pairs) : "not counted"},
          {"build_ms", number(s.build_ms)},
          {"bytes", number(s.bytes)}};
}

// libpng reports errors by longjmp, so nothing in here may need a destructor. False where it failed.
bool encode(std::FILE* file, const Canvas& canvas, std::vector<png_text>& texts) {
  png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, nullptr, nullptr, nullptr);
  if (png == nullptr) return false;
  png_infop info = png_create_info_struct(png);
  if (info == nullptr || setjmp(png_jmpbuf(png)) != 0) {
    png_destroy_write_struct(&png, &info);
    return false;
  }
  png_init_io(png, file);
  png_set_IHDR(png, info, kWidth, kHeight, 8, PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT,
               PNG_FILTER_TYPE_DEFAULT);
  png_set_text(png, info, texts.data(), static_cast<int>(texts.size()));
  png_write_info(png, info);
  for (int y = 0; y < kHeight; ++y) png_write_row(png, reinterpret_cast<png_const_bytep>(canvas.row(y)));
  png_write_end(png, info);
  png_destroy_write_struct(&png, &info);
  return true;
}

}  // namespace

Status write_png(const std::string& path, const MaskPicture& picture) {
  static_assert(sizeof(Colour) == 3);
  const auto refused = [&] {
    return failure("unwritable-file", path, fmt::format("cannot be written: {}", std::strerror(errno)));
  };
  auto values = texts_of(picture);
  std::vector<png_text> texts;
  for (auto& [key, value] : values) {
    png_text text{};
    text.compression = PNG_TEXT_COMPRESSION_NONE;
    text.key = key.data();
    text.text = value.data();
    text.text_length = value.size();
    texts.push_back(text);
  }
  const Canvas canvas = draw(picture);
  std::FILE* file = std::fopen(path.c_str(), "wb");
  if (file == nullptr) return refused();
  const bool encoded = encode(file, canvas, texts);
  if (std::fclose(file) != 0 || !encoded) return refused();
  return Unit{};
}

}  // namespace flexjit::tools
