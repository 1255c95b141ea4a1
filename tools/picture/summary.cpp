// Numbers of blocks stand in one table: what the blocks are down, how they were decided across.
#include "picture/summary.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

namespace flexjit::tools {
namespace {

using Json = nlohmann::ordered_json;

Json summary_json(const MaskSummary& s) {
  return {{"pattern", s.pattern},
          {"batch", s.sizes.batch},
          {"heads", s.sizes.heads},
          {"kv_heads", s.sizes.kv_heads},
          {"q_len", s.shape.q_len},
          {"kv_len", s.shape.kv_len},
          {"q_block", s.shape.q_block},
          {"kv_block", s.shape.kv_block},
          {"generated_buffers", s.generated},
          {"planes", s.planes()},
          {"blocks", s.all_blocks()},
          {"full", s.blocks.full},
          {"partial", s.blocks.partial},
          {"empty", s.blocks.empty},
          {"sparsity", s.sparsity},
          {"popcount", s.allowed_pairs ? Json(*s.allowed_pairs) : Json()},
          {"proved", s.proved},
          {"evaluated", s.all_evaluated()},
          {"evaluated_full", s.evaluated.full},
          {"evaluated_partial", s.evaluated.partial},
          {"evaluated_empty", s.evaluated.empty},
          {"build_ms", s.build_ms},
          {"count_ms", s.count_ms},
          {"note", s.note.empty() ? Json() : Json(s.note)},
          {"bytes", s.bytes},
          {"batch_entry", s.batch_entry},
          {"head", s.head},
          {"written", s.written}};
}

void line(std::string_view label, const std::string& text) { fmt::print("  {:<10} {}\n", label, text); }

std::string planes_text(const MaskSummary& s) {
  if (s.planes() == 1) return "one plane serves every batch entry and head";
  return fmt::format("{} planes: {} batch entr{}, {} head{}", s.planes(), s.shape.batch, s.shape.batch == 1 ? "y" : "ies",
                     s.shape.heads, s.shape.heads == 1 ? "" : "s");
}

void decision_row(std::string_view kind, std::int64_t blocks, std::int64_t evaluated) {
  fmt::print("  {:<10} {:>14} {:>20} {:>22}\n", kind, blocks, blocks - evaluated, evaluated);
}

void print_table(const MaskSummary& s) {
  fmt::print("{}\n", s.pattern);
  line("shape", fmt::format("q_len {}, kv_len {}, blocks of {} x {}; {}", s.shape.q_len, s.shape.kv_len, s.shape.q_block,
                            s.shape.kv_block, planes_text(s)));
  for (const std::string& buffer : s.generated) line("generated", buffer);
  line("blocks", fmt::format("{} full, {} partial, {} empty; {:.2f} % sparse", s.blocks.full, s.blocks.partial, s.blocks.empty,
                             s.sparsity));
  line("pairs", pairs_text(s));
  if (!s.note.empty()) line("note", s.note);
  line("built in", fmt::format("{:.3f} ms; {} full and empty blocks proved by intervals, {} with elements evaluated",
                               s.build_ms, s.proved, s.all_evaluated()));
  line("lists", fmt::format("{}; a mask of one byte a pair would take {}", bytes_text(s.bytes),
                            bytes_text(static_cast<std::size_t>(s.pairs()))));
  fmt::print("\n  {:<10} {:>14} {:>20} {:>22}\n", "", "blocks", "by intervals alone", "elements evaluated");
  decision_row("full", s.blocks.full, s.evaluated.full);
  decision_row("partial", s.blocks.partial, s.evaluated.partial);
  decision_row("empty", s.blocks.empty, s.evaluated.empty);
  for (const std::string& file : s.written) fmt::print("{}wrote {}\n", &file == &s.written.front() ? "\n  " : "  ", file);
}

std::string block_picture(const BlockMask& mask, const MaskPicture& picture) {
  const MaskSummary& s = picture.summary;
  const std::string cells = mask.to_string(s.batch_entry, s.head);
  const std::size_t columns = cells.find('\n');
  if (columns == std::string::npos || columns == 0) return "  no blocks\n";
  const auto width = fmt::format("{}", s.shape.q_len).size();
  const std::int32_t rows = static_cast<std::int32_t>(std::ranges::count(cells, '\n'));
  // As to_string: each character stands for the same number of blocks, the last of a side perhaps for fewer.
  const std::int64_t down = (std::int64_t{s.shape.q_blocks()} + rows - 1) / rows * s.shape.q_block;
  const std::int64_t across = (s.shape.kv_blocks() + std::int64_t(columns) - 1) / std::int64_t(columns) * s.shape.kv_block;
  std::string text = fmt::format("  {}\n  # full, + partial or mixed, blank empty; a character is {} queries x {} keys\n",
                                 plane_text(picture), down, across);
  const std::string border = fmt::format("  {:>{}} +{:-<{}}+\n", "", width, "", columns);
  text += border;
  std::int64_t q = 0;
  for (std::size_t at = 0; at < cells.size(); at += columns + 1, q += down)
    text += fmt::format("  {:>{}} |{}|\n", q, width, std::string_view(cells).substr(at, columns));
  return text + border;
}

std::string element_picture(const MaskPicture& picture) {
  const Zoom& zoom = picture.zoom;
  const auto width = fmt::format("{}", zoom.q.end).size();
  std::string text = fmt::format("\n  queries {} to {}, keys {} to {}: # allowed, . not\n", zoom.q.begin, zoom.q.end - 1,
                                 zoom.kv.begin, zoom.kv.end - 1);
  for (std::int32_t row = 0; row < zoom.rows(); ++row) {
    text += fmt::format("  {:>{}}  ", zoom.q.begin + row, width);
    for (std::int32_t key = 0; key < zoom.keys(); ++key) text += zoom.at(row, key) ? '#' : '.';
    text += '\n';
  }
  return text;
}

}  // namespace

std::string bytes_text(std::size_t bytes) {
  constexpr const char* kUnits[] = {"bytes", "KiB", "MiB", "GiB", "TiB"};
  double value = static_cast<double>(bytes);
  std::size_t unit = 0;
  for (; value >= 1024 && unit + 1 < std::size(kUnits); ++unit) value /= 1024;
  return unit == 0 ? fmt::format("{} bytes", bytes) : fmt::format("{:.1f} {}", value, kUnits[unit]);
}

std::string pairs_text(const MaskSummary& s) {
  if (!s.allowed_pairs)
    return fmt::format("of {:.0f} pairs those allowed are not counted, for it would take long; see --count", s.pairs());
  const double percent = s.pairs() > 0 ? 100.0 * static_cast<double>(*s.allowed_pairs) / s.pairs() : 0;
  return fmt::format("{} of {:.0f} pairs allowed ({:.4g} %)", *s.allowed_pairs, s.pairs(), percent);
}

std::string plane_text(const MaskPicture& picture) {
  const MaskSummary& s = picture.summary;
  if (s.planes() == 1) return "every batch entry and head";
  const BlockCounts& blocks = picture.grid.counts;
  return fmt::format("batch entry {}, head {} ({} full, {} partial, {} empty)", s.batch_entry, s.head, blocks.full,
                     blocks.partial, blocks.empty);
}

void print_summary(const MaskSummary& summary, Output output) {
  if (output == Output::kJson)
    fmt::print("{}\n", summary_json(summary).dump(2, ' ', false, Json::error_handler_t::replace));
  else
    print_table(summary);
}

// Pairs that were asked for are shown in any case.
std::string text_picture(const BlockMask& mask, const MaskPicture& picture) {
  constexpr std::int64_t kFewBlocks = 16;
  const BlockMaskShape& shape = picture.summary.shape;
  const bool whole = shape.q_len <= Zoom::kSide && shape.kv_len <= Zoom::kSide;
  const bool few = std::int64_t{shape.q_blocks()} * shape.kv_blocks() <= kFewBlocks;
  return block_picture(mask, picture) +
         ((whole || few || picture.summary.zoom_asked) && !picture.zoom.allowed.empty() ? element_picture(picture) : "");
}

}  // namespace flexjit::tools
