// A compiled pattern + the sizes and values of a call -> its block mask, what making it took, and what the pictures show of it.
#pragma once

#include <cstdint>

#include "command_line/options.h"
#include "command_line/progress.h"
#include "data/bind.h"
#include "flexjit/attention.h"
#include "picture/summary.h"

namespace flexjit::tools {

struct SurveyRequest {
  const Attention& attention;
  const BoundNames& names;
  BlockMaskOptions options;
  std::int32_t batch_entry = 0, head = 0;  // that the pictures show
  Counting counting = Counting::kUnlessLong;
  std::optional<PositionRange> rows{}, keys{};  // of the pairs that the pictures show; absent: where something is to be seen
};

struct Survey {
  BlockMask mask;
  MaskSummary summary;  // all but pattern, sizes and written files
  Grid grid;
  Zoom zoom;

  // Refers to the survey.
  MaskPicture picture() const { return {.summary = summary, .grid = grid, .zoom = zoom}; }
};

// Errors: those of Attention::create_block_mask() and mask_elements().
Result<Survey> survey_mask(const SurveyRequest& request, const Progress& progress);

}  // namespace flexjit::tools
