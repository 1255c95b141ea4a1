// The steps that `flexjit mask` and the report share, in the order of what they need.
#include "picture/survey.h"

#include <fmt/format.h>

#include <algorithm>

#include "data/alignment.h"
#include "measure/timing.h"

namespace flexjit::tools {
namespace {

void add_mask(MaskSummary& summary, const BlockMask& mask, const BlockMaskReport& found) {
  summary.shape = mask.shape();
  summary.blocks = mask.counts();
  summary.sparsity = mask.sparsity();
  summary.bytes = mask.bytes();
  summary.build_ms = found.build_ms;
  summary.proved = found.proved;
  for (const BlockPosition& block : found.evaluated) {
    switch (mask.kind(block.b, block.h, block.q_block, block.kv_block)) {
      case BlockKind::kEmpty: ++summary.evaluated.empty; break;
      case BlockKind::kPartial: ++summary.evaluated.partial; break;
      case BlockKind::kFull: ++summary.evaluated.full; break;
    }
  }
}

// Of the mask's own planes: the engine counts each as often as the call has batch entries and heads that share it.
Diagnostics count_pairs(MaskSummary& summary, const SurveyRequest& request, const Progress& progress) {
  constexpr std::int64_t kLong = std::int64_t{1} << 31;  // pairs: some twenty seconds where the mask reads buffers
  const BlockMaskShape& s = summary.shape;
  const std::int64_t block = std::int64_t{std::min(s.q_block, s.q_len)} * std::min(s.kv_block, s.kv_len);
  if (summary.blocks.partial * block > kLong && request.counting == Counting::kUnlessLong) return {};
  progress.show(fmt::format("counting allowed pairs in {} partial blocks", summary.blocks.partial));
  const auto begin = Clock::now();
  const Result<std::int64_t> allowed = request.attention.count_allowed(request.options, &request.names.bindings);
  if (!allowed) return allowed.diagnostics();
  summary.count_ms = ms_since(begin);
  summary.allowed_pairs = *allowed / (std::int64_t{request.options.batch} * request.options.heads / summary.planes());
  return {};
}

}  // namespace

Result<Survey> survey_mask(const SurveyRequest& request, const Progress& progress) {
  progress.show("building the block mask");
  BlockMaskReport found;
  Result<BlockMask> mask = request.attention.create_block_mask(request.options, &request.names.bindings, &found);
  if (!mask) return mask.diagnostics();
  MaskSummary summary;
  summary.generated = request.names.generated;
  summary.batch_entry = request.batch_entry;
  summary.head = request.head;
  summary.zoom_asked = request.rows || request.keys;
  add_mask(summary, *mask, found);
  summary.note = alignment_note(*mask);
  if (Diagnostics errors = count_pairs(summary, request, progress); !errors.empty()) return errors;
  progress.show("drawing");
  const BlockPosition plane = plane_of(summary.shape, request.batch_entry, request.head);
  Grid grid = make_grid({.mask = *mask, .evaluated = found.evaluated, .plane = plane});
  const ZoomRequest place{.attention = request.attention,
                          .options = request.options,
                          .bindings = request.names.bindings,
                          .mask = *mask,
                          .b = request.batch_entry,
                          .h = request.head};
  const PositionRange all_rows{0, request.options.q_len}, all_keys{0, request.options.kv_len};
  Result<Zoom> zoom = request.rows || request.keys
                          ? zoom_at(place, request.rows.value_or(all_rows), request.keys.value_or(all_keys))
                          : find_zoom(place);
  if (!zoom) return zoom.diagnostics();
  return Survey{std::move(*mask), std::move(summary), std::move(grid), std::move(*zoom)};
}

}  // namespace flexjit::tools
