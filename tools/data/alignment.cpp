// Decoding with a mask for training runs, is fast, and sees the oldest keys alone: nothing else shows it.
#include "data/alignment.h"

#include <fmt/format.h>

#include <vector>

namespace flexjit::tools {
namespace {

bool sees_any_from(const BlockMask& mask, std::int32_t kv_block) {
  const BlockMaskShape& shape = mask.shape();
  std::vector<BlockRun> runs;
  for (std::int32_t b = 0; b < shape.batch; ++b)
    for (std::int32_t h = 0; h < shape.heads; ++h)
      for (std::int32_t q_block = 0; q_block < shape.q_blocks(); ++q_block) {
        mask.row_runs(b, h, q_block, runs);
        for (const BlockRun& run : runs)
          if (run.kv_end > kv_block) return true;
      }
  return false;
}

}  // namespace

std::string alignment_note(const BlockMask& mask) {
  const BlockMaskShape& shape = mask.shape();
  if (shape.q_len == 0 || shape.q_len >= shape.kv_len) return "";
  const std::int32_t behind = (shape.q_len + shape.kv_block - 1) / shape.kv_block;
  if (behind >= shape.kv_blocks() || sees_any_from(mask, behind) || !sees_any_from(mask, 0)) return "";
  return fmt::format(
      "no query sees a key from {} on, as q_idx and kv_idx both count from 0; if the queries are the last ones, as when "
      "decoding, write kv_idx <= q_idx + kv_len - q_len, or use --causal",
      std::int64_t{behind} * shape.kv_block);
}

}  // namespace flexjit::tools
