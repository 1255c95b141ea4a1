// What `flexjit mask` found, and as text for people and JSON for programs. The pictures of the mask are beside: text_picture
// for the terminal, svg_picture, write_png.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "command_line/options.h"
#include "data/problem.h"
#include "flexjit/attention.h"
#include "flexjit/result.h"
#include "picture/grid.h"
#include "picture/zoom.h"

namespace flexjit::tools {

struct MaskSummary {
  std::string pattern;
  Sizes sizes;                         // head dims unused
  BlockMaskShape shape;                // of the mask: one plane where the mask does not tell batch entries or heads apart
  std::vector<std::string> generated;  // buffers
  BlockCounts blocks;                  // over the mask's planes, as are all numbers below
  BlockCounts evaluated;               // blocks of which elements were evaluated, by what they turned out to be
  std::int64_t proved = 0;             // full and empty blocks decided by intervals alone
  std::optional<std::int64_t> allowed_pairs;  // absent: not counted
  double sparsity = 0;                        // percent of the blocks that are empty
  double build_ms = 0, count_ms = 0;
  std::size_t bytes = 0;                   // of the lists
  std::int32_t batch_entry = 0, head = 0;  // that is shown
  std::vector<std::string> written;        // files
  std::string note;                        // about the mask; empty: none
  bool zoom_asked = false;                 // for pairs by their place

  std::int64_t planes() const { return std::int64_t{shape.batch} * shape.heads; }
  std::int64_t all_blocks() const { return blocks.full + blocks.partial + blocks.empty; }
  std::int64_t all_evaluated() const { return evaluated.full + evaluated.partial + evaluated.empty; }
  double pairs() const { return static_cast<double>(planes()) * shape.q_len * shape.kv_len; }
};

// One plane as the pictures show it.
struct MaskPicture {
  const MaskSummary& summary;
  Grid grid;
  Zoom zoom;
};

void print_summary(const MaskSummary& summary, Output output);

// Blocks as BlockMask::to_string, with positions beside them; then the pairs themselves, '#' allowed and '.' not, where both
// lengths are at most Zoom::kSide, or the zoom where the blocks alone say little.
std::string text_picture(const BlockMask& mask, const MaskPicture& picture);

// "12.4 KiB".
std::string bytes_text(std::size_t bytes);
// "524800 of 1048576 pairs allowed (50.05 %)".
std::string pairs_text(const MaskSummary& summary);
// What is shown: "every batch entry and head", or "batch entry 0, head 3 (28 full, 8 partial, 28 empty)".
std::string plane_text(const MaskPicture& picture);

// A self-contained SVG that follows the reader's light or dark mode.
std::string svg_picture(const MaskPicture& picture);

// The same at a fixed size, in light colours; the numbers are in tEXt chunks too. Error: `unwritable-file`.
Status write_png(const std::string& path, const MaskPicture& picture);

}  // namespace flexjit::tools
