// Two panels side by side, a table and the costs below. Neighbouring cells of one shade share a subpath and all subpaths of a
// shade one path in cell units, so that a grid of any mask stays small; shades are classes of a style sheet that knows both
// modes.
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <string_view>

#include "picture/palette.h"
#include "picture/summary.h"

namespace flexjit::tools {
namespace {

constexpr double kSide = 440, kLeft = 78, kTop = 112, kGap = 120, kRight = 26;
constexpr double kWidth = kLeft + kSide + kGap + kSide + kRight;
constexpr double kRow = 22, kTableTop = 44;  // of the table, below the panels
constexpr std::int32_t kMostLines = 64;      // above that many cells, lines between them would hide them

struct Panel {
  double x, y, width, height;
  std::int32_t rows, columns;

  double at_row(double row) const { return y + height * row / std::max(rows, 1); }
  double at_column(double column) const { return x + width * column / std::max(columns, 1); }
};

std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '&')
      out += "&amp;";
    else if (c == '<')
      out += "&lt;";
    else if (c == '>')
      out += "&gt;";
    else if (static_cast<unsigned char>(c) >= 0x20 && static_cast<unsigned char>(c) < 0x7f)
      out += c;
    else
      out += '?';  // a file name may hold any byte, XML may not
  }
  return out;
}

std::string class_of(Shade shade) { return fmt::format("s{}-{}", shade.ink, shade.tint); }

class MaskSvg {
 public:
  explicit MaskSvg(const MaskPicture& picture)
      : picture_(picture), summary_(picture.summary), blocks_(blocks_panel()), pairs_(pairs_panel()) {}

  std::string draw() {
    heading();
    blocks();
    if (!picture_.zoom.allowed.empty()) pairs();
    const double bottom = std::max(blocks_.y + blocks_.height, pairs_.y + pairs_.height) + kTableTop;
    table(kLeft, bottom);
    costs(kLeft + kSide + kGap, bottom);
    return finish(bottom + 6 * kRow);
  }

 private:
  Panel blocks_panel() const {
    const auto [width, height] = panel_size(summary_.shape.q_len, summary_.shape.kv_len, kSide);
    return {kLeft, kTop, width, height, picture_.grid.rows, picture_.grid.columns};
  }
  Panel pairs_panel() const {
    const auto [width, height] = panel_size(picture_.zoom.rows(), picture_.zoom.keys(), kSide);
    return {kLeft + kSide + kGap, kTop, width, height, picture_.zoom.rows(), picture_.zoom.keys()};
  }

  void text(double x, double y, std::string_view classes, std::string_view content) {
    body_ += fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" class=\"{}\">{}</text>\n", x, y, classes, escaped(content));
  }
  void rect(const Panel& at, std::string_view classes) {
    body_ += fmt::format("<rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\" class=\"{}\"/>\n", at.x, at.y,
                         at.width, at.height, classes);
  }

  void heading() {
    text(kLeft, 34, "title", summary_.pattern);
    const BlockMaskShape& s = summary_.shape;
    text(kLeft, 56, "faint",
         fmt::format("q_len {}, kv_len {}, blocks of {} x {}; shown: {}", s.q_len, s.kv_len, s.q_block, s.kv_block,
                     plane_text(picture_)));
  }

  // A cell stands for several blocks.
  bool mixed() const {
    if (picture_.grid.cells.empty()) return false;
    return picture_.grid.rows < summary_.shape.q_blocks() || picture_.grid.columns < summary_.shape.kv_blocks();
  }

  // Every run of equal cells of a row: visit(row, begin, end, value).
  template <typename Value, typename Visit>
  static void for_each_run(const Panel& panel, const Value& value, const Visit& visit) {
    for (std::int32_t row = 0; row < panel.rows; ++row)
      for (std::int32_t begin = 0, end = 0; begin < panel.columns; begin = end) {
        for (end = begin + 1; end < panel.columns && value(row, end) == value(row, begin);) ++end;
        visit(row, begin, end, value(row, begin));
      }
  }

  static std::string subpath(std::int32_t row, std::int32_t begin, std::int32_t end) {
    return fmt::format("M{} {}h{}v1h-{}z", begin, row, end - begin, end - begin);
  }

  void open_cells(const Panel& panel) {
    body_ += fmt::format("<g transform=\"translate({:.1f} {:.1f}) scale({:.5f} {:.5f})\" shape-rendering=\"crispEdges\">\n",
                         panel.x, panel.y, panel.width / std::max(panel.columns, 1), panel.height / std::max(panel.rows, 1));
  }

  void blocks() {
    const Grid& grid = picture_.grid;
    const auto most = [](std::int32_t blocks, std::int32_t cells) { return (blocks + cells - 1) / cells; };
    text(blocks_.x, kTop - 32, "head",
         mixed() ? fmt::format("Blocks: {} x {} a cell, colours mixed by their shares",
                               most(summary_.shape.q_blocks(), grid.rows), most(summary_.shape.kv_blocks(), grid.columns))
                 : "Blocks");
    rect(blocks_, "empty");
    std::map<Shade, std::string> paths;
    std::string evaluated;
    for_each_run(
        blocks_, [&](std::int32_t row, std::int32_t column) { return shade_of(grid.at(row, column)); },
        [&](std::int32_t row, std::int32_t begin, std::int32_t end, Shade shade) {
          if (shade.ink > 0) paths[shade] += subpath(row, begin, end);
        });
    for_each_run(
        blocks_, [&](std::int32_t row, std::int32_t column) { return grid.at(row, column).often_evaluated(); },
        [&](std::int32_t row, std::int32_t begin, std::int32_t end, bool hatched) {
          if (hatched) evaluated += subpath(row, begin, end);
        });
    open_cells(blocks_);
    for (const auto& [shade, path] : paths) {
      body_ += fmt::format("<path class=\"{}\" d=\"{}\"/>\n", class_of(shade), path);
      shades_.push_back(shade);
    }
    hatched_ = !evaluated.empty();
    if (hatched_) body_ += fmt::format("<path fill=\"url(#cells)\" d=\"{}\"/>\n", evaluated);
    body_ += "</g>\n";
    lines(blocks_);
    axes(blocks_, {0, summary_.shape.q_len}, {0, summary_.shape.kv_len});
    if (!picture_.zoom.allowed.empty()) leader();
  }

  void pairs() {
    const Zoom& zoom = picture_.zoom;
    text(pairs_.x, kTop - 32, "head", fmt::format("Pairs: the framed {} x {}", zoom.rows(), zoom.keys()));
    rect(pairs_, "empty");
    std::string path;
    for_each_run(
        pairs_, [&](std::int32_t row, std::int32_t key) { return zoom.at(row, key); },
        [&](std::int32_t row, std::int32_t begin, std::int32_t end, bool allowed) {
          if (allowed) path += subpath(row, begin, end);
        });
    open_cells(pairs_);
    body_ += fmt::format("<path class=\"full\" d=\"{}\"/>\n</g>\n", path);
    lines(pairs_);
    block_edges();
    rect(pairs_, "mark");
    axes(pairs_, zoom.q, zoom.kv);
  }

  void lines(const Panel& panel) {
    if (panel.rows > kMostLines || panel.columns > kMostLines) return;
    std::string path;
    for (std::int32_t row = 1; row < panel.rows; ++row)
      path += fmt::format("M{:.1f} {:.1f}h{:.1f}", panel.x, panel.at_row(row), panel.width);
    for (std::int32_t column = 1; column < panel.columns; ++column)
      path += fmt::format("M{:.1f} {:.1f}v{:.1f}", panel.at_column(column), panel.y, panel.height);
    body_ += fmt::format("<path class=\"line\" d=\"{}\"/>\n", path);
  }

  // Where one block ends and the next begins inside the zoom.
  void block_edges() {
    const Zoom& zoom = picture_.zoom;
    const BlockMaskShape& s = summary_.shape;
    std::string path;
    for (std::int32_t row = 1; row < zoom.rows(); ++row)
      if ((zoom.q.begin + row) % s.q_block == 0)
        path += fmt::format("M{:.1f} {:.1f}h{:.1f}", pairs_.x, pairs_.at_row(row), pairs_.width);
    for (std::int32_t key = 1; key < zoom.keys(); ++key)
      if ((zoom.kv.begin + key) % s.kv_block == 0)
        path += fmt::format("M{:.1f} {:.1f}v{:.1f}", pairs_.at_column(key), pairs_.y, pairs_.height);
    if (!path.empty()) body_ += fmt::format("<path class=\"edge\" d=\"{}\"/>\n", path);
  }

  // The frame of the zoom among the blocks, never too small to be seen, and two lines to the other panel.
  void leader() {
    const Zoom& zoom = picture_.zoom;
    const auto place = [](PositionRange range, std::int32_t length, double from, double extent) {
      constexpr double kLeast = 9;
      const double scale = extent / length, size = std::max((range.end - range.begin) * scale, kLeast);
      return std::pair(from + (range.begin + range.end) * scale / 2 - size / 2, size);
    };
    const auto [y, height] = place(zoom.q, summary_.shape.q_len, blocks_.y, blocks_.height);
    const auto [x, width] = place(zoom.kv, summary_.shape.kv_len, blocks_.x, blocks_.width);
    rect({x, y, width, height, 0, 0}, "mark");
    body_ += fmt::format("<path class=\"leader\" d=\"M{0:.1f} {1:.1f}L{2:.1f} {3:.1f}M{0:.1f} {4:.1f}L{2:.1f} {5:.1f}\"/>\n",
                         x + width, y, pairs_.x, pairs_.y, y + height, pairs_.y + pairs_.height);
  }

  void axes(const Panel& panel, PositionRange q, PositionRange kv) {
    const auto share = [](std::int64_t at, PositionRange range) {
      return static_cast<double>(at - range.begin) / std::max(range.end - range.begin, 1);
    };
    for (const std::int64_t at : axis_ticks(kv.begin, kv.end)) {
      const double x = panel.x + share(at, kv) * panel.width;
      body_ += fmt::format("<path class=\"tick\" d=\"M{:.1f} {:.1f}v-4\"/>\n", x, panel.y);
      text(x, panel.y - 11, "faint middle", fmt::format("{}", at));
    }
    for (const std::int64_t at : axis_ticks(q.begin, q.end)) {
      const double y = panel.y + share(at, q) * panel.height;
      body_ += fmt::format("<path class=\"tick\" d=\"M{:.1f} {:.1f}h-4\"/>\n", panel.x, y);
      text(panel.x - 8, y + 4, "faint end", fmt::format("{}", at));
    }
    text(panel.x + panel.width, panel.y + panel.height + 16, "faint end", "across: kv_idx, down: q_idx");
  }

  void swatch(double x, double y, std::string_view classes) { rect({x, y - 11, 14, 14, 0, 0}, classes); }

  void table(double x, double y) {
    const double columns[] = {x + 200, x + 310, x + 440};
    text(columns[0], y, "faint end", "blocks");
    text(columns[1], y, "faint end", "by intervals");
    text(columns[2], y, "faint end", "by evaluation");
    const BlockCounts &all = summary_.blocks, &evaluated = summary_.evaluated;
    const auto row = [&](int i, std::string_view kind, std::int64_t blocks, std::int64_t of_them) {
      const double at = y + i * kRow;
      swatch(x, at, kind);
      text(x + 22, at, "", kind);
      text(columns[0], at, "end", fmt::format("{}", blocks));
      text(columns[1], at, "end", fmt::format("{}", blocks - of_them));
      text(columns[2], at, "end", fmt::format("{}", of_them));
    };
    row(1, "full", all.full, evaluated.full);
    row(2, "partial", all.partial, evaluated.partial);
    row(3, "empty", all.empty, evaluated.empty);
    if (!hatched_) return;
    swatch(x, y + 4 * kRow, "empty");
    body_ += fmt::format("<rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"14\" height=\"14\" fill=\"url(#pixels)\"/>\n", x,
                         y + 4 * kRow - 11);
    text(x + 22, y + 4 * kRow, "",
         mixed() ? "elements of a quarter of the cell's blocks or more evaluated" : "elements evaluated");
  }

  void costs(double x, double y) {
    const MaskSummary& s = summary_;
    text(x, y, "",
         fmt::format("{:.2f} % of the blocks are empty{}", s.sparsity,
                     s.planes() == 1 ? "" : fmt::format(" (all {} planes)", s.planes())));
    text(x, y + kRow, "", pairs_text(s));
    text(x, y + 2 * kRow, "", fmt::format("built in {:.{}f} ms", s.build_ms, s.build_ms < 10 ? 3 : 0));
    text(x, y + 3 * kRow, "", fmt::format("{} blocks proved full or empty by intervals alone", s.proved));
    text(x, y + 4 * kRow, "", fmt::format("lists of {}", bytes_text(s.bytes)));
  }

  std::string style(const Palette& p) const {
    std::string rules = fmt::format(
        "text{{fill:{text}}}.faint{{fill:{faint}}}.page{{fill:{page}}}.empty{{fill:{empty}}}.partial{{fill:{partial}}}.full{{"
        "fill:{full}}}"
        ".line{{stroke:{page}}}.edge{{stroke:{text}}}.mark,.leader{{stroke:{mark}}}.tick{{stroke:{faint}}}.hatch{{stroke:{"
        "hatch}}}",
        fmt::arg("text", hex(p.text)), fmt::arg("faint", hex(p.faint)), fmt::arg("page", hex(p.page)),
        fmt::arg("empty", hex(p.empty)), fmt::arg("partial", hex(p.partial)), fmt::arg("full", hex(p.full)),
        fmt::arg("mark", hex(p.mark)), fmt::arg("hatch", hex(p.hatch)));
    for (const Shade shade : shades_) rules += fmt::format(".{}{{fill:{}}}", class_of(shade), hex(colour_of(shade, p)));
    return rules;
  }

  // Hatching in pixels, once for the legend and once for the grid, whose units are cells.
  std::string patterns() const {
    constexpr std::string_view kHatch =
        R"(<pattern id="{}" width="5" height="5" patternUnits="userSpaceOnUse" patternTransform="{}">)"
        R"(<path class="hatch" d="M-1 1L1 -1M-1 6L6 -1M4 6L6 4"/></pattern>)";
    const std::string scale = fmt::format("scale({:.5f} {:.5f})", std::max(blocks_.columns, 1) / blocks_.width,
                                          std::max(blocks_.rows, 1) / blocks_.height);
    return fmt::format(kHatch, "pixels", "scale(1)") + fmt::format(kHatch, "cells", scale);
  }

  std::string finish(double height) const {
    return fmt::format(
        R"(<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {0:.0f} {1:.0f}" width="{0:.0f}" height="{1:.0f}" font-family="system-ui, sans-serif">
<title>{2}</title>
<style>
text{{font-size:13px}}.title{{font-size:18px;font-weight:600}}.head{{font-size:14px;font-weight:600}}.faint{{font-size:12px}}
.middle{{text-anchor:middle}}.end{{text-anchor:end}}.mark{{fill:none;stroke-width:1.6}}.leader{{stroke-dasharray:3 4;opacity:.7}}
.line{{stroke-width:.6}}.edge{{stroke-width:1.4}}.hatch{{stroke-width:.9;opacity:.75}}
{3}
@media (prefers-color-scheme: dark){{{4}}}
</style>
<defs>{5}</defs>
<rect width="100%" height="100%" class="page"/>
{6}</svg>
)",
        kWidth, height, escaped(summary_.pattern), style(kLight), style(kDark), patterns(), body_);
  }

  const MaskPicture& picture_;
  const MaskSummary& summary_;
  Panel blocks_, pairs_;
  bool hatched_ = false;       // some cell is
  std::vector<Shade> shades_;  // that occur
  std::string body_;
};

}  // namespace

std::string svg_picture(const MaskPicture& picture) { return MaskSvg(picture).draw(); }

}  // namespace flexjit::tools
