// The SVG as pixels, at one size for every mask: title, two panels with their axes, a legend with the numbers, and these once
// more in tEXt chunks.
#include <fmt/format.h>

#include <algorithm>
#include <string>

#include "picture/canvas.h"
#include "picture/palette.h"
#include "picture/summary.h"

namespace flexjit::tools {
namespace {

constexpr int kSide = 448, kLeft = 100, kTop = 128, kGap = 124, kRight = 28;
constexpr int kWidth = kLeft + kSide + kGap + kSide + kRight;
constexpr int kTable = kTop + kSide + 52, kRow = 24;
constexpr int kHeight = kTable + 5 * kRow + 12;
constexpr int kHatch = 6;  // pixels from one line to the next

bool on_hatch(int x, int y) { return (x + y) % kHatch == 0; }

Box panel(int x, std::int64_t rows, std::int64_t columns) {
  const auto [width, height] = panel_size(rows, columns, kSide);
  return {x, kTop, static_cast<int>(width), static_cast<int>(height)};
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

// What a text may fill of the width of both panels.
std::string fitting(const std::string& text) {
  constexpr std::size_t kLetters = (kWidth - kLeft - kRight) / Canvas::kLetterWidth;
  return text.size() <= kLetters ? text : text.substr(0, kLetters - 3) + "...";
}

void draw_headings(Canvas& canvas, const MaskPicture& picture) {
  const BlockMaskShape& s = picture.summary.shape;
  canvas.text(kLeft, 20, fitting(picture.summary.pattern), kLight.text);
  canvas.text(kLeft, 44,
              fitting(fmt::format("q_len {}, kv_len {}, blocks {} x {}; {}", s.q_len, s.kv_len, s.q_block, s.kv_block,
                                  plane_text(picture))),
              kLight.faint);
  canvas.text(kLeft, 76, "Blocks", kLight.text);
  if (!picture.zoom.allowed.empty())
    canvas.text(kLeft + kSide + kGap, 76, fmt::format("Pairs: the framed {} x {}", picture.zoom.rows(), picture.zoom.keys()),
                kLight.text);
}

void draw_legend(Canvas& canvas, const MaskPicture& picture) {
  const MaskSummary& s = picture.summary;
  Box swatch{kLeft, kTable, Canvas::kLetterHeight, Canvas::kLetterHeight};
  const auto entry = [&](const std::string& text) {
    canvas.text(swatch.x + 28, swatch.y, text, kLight.text);
    swatch.y += kRow;
  };
  const auto blocks = [&](std::string_view kind, std::int64_t count, Colour colour) {
    canvas.fill(swatch, colour);
    entry(fmt::format("{:<8}{:>10} blocks", kind, count));
  };
  blocks("full", s.blocks.full, kLight.full);
  blocks("partial", s.blocks.partial, kLight.partial);
  blocks("empty", s.blocks.empty, kLight.empty);
  canvas.fill(swatch, [](int x, int y) { return on_hatch(x, y) ? kLight.hatch : kLight.empty; });
  entry("elements evaluated");
  int y = kTable;
  const auto line = [&](const std::string& text) {
    canvas.text(kLeft + kSide + kGap, y, text, kLight.text);
    y += kRow;
  };
  line(fmt::format("{:.2f} % of the blocks empty", s.sparsity));
  line(s.allowed_pairs ? fmt::format("{} pairs allowed", *s.allowed_pairs) : "pairs not counted");
  line(fmt::format("built in {:.3g} ms", s.build_ms));
  line(fmt::format("lists of {}", bytes_text(s.bytes)));
}

Canvas draw(const MaskPicture& picture) {
  Canvas canvas(kWidth, kHeight, kLight.page);
  const BlockMaskShape& shape = picture.summary.shape;
  const Zoom& zoom = picture.zoom;
  draw_headings(canvas, picture);
  const Box blocks = panel(kLeft, shape.q_len, shape.kv_len);
  draw_blocks(canvas, blocks, picture.grid);
  canvas.axes(blocks, {0, shape.q_len}, {0, shape.kv_len});
  if (!zoom.allowed.empty()) {
    draw_mark(canvas, blocks, picture);
    const Box pairs = panel(kLeft + kSide + kGap, zoom.rows(), zoom.keys());
    draw_pairs(canvas, pairs, zoom);
    canvas.axes(pairs, {zoom.q.begin, zoom.q.end}, {zoom.kv.begin, zoom.kv.end});
  }
  draw_legend(canvas, picture);
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

}  // namespace

Status write_png(const std::string& path, const MaskPicture& picture) { return draw(picture).write(path, texts_of(picture)); }

}  // namespace flexjit::tools
