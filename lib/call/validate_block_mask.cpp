// Block masks that are given to a call, and the options of those to be made.
#include <algorithm>

#include "call/validate.h"
#include "mask/blocks/mask_errors.h"

namespace flexjit::engine {

namespace {

void check_plane(const char* name, std::int32_t mask, std::int32_t call, const MaskNames& names, Report& report) {
  if (mask != 1 && mask != call) report.add(Finding::kMaskPlanes, names.mask, mask, name, names.call, call);
}

void check_range(const char* name, std::int32_t value, std::int32_t least, Report& report) {
  if (value < least || value > kMaxLength) {
    report.add(Finding::kMaskOption, fmt::format("BlockMaskOptions::{}", name), value,
               fmt::format("{} to {}", least, kMaxLength));
  }
}

}  // namespace

void check_block_mask(const BlockMaskShape& mask, const CallShape& shape, Report& report, const MaskNames& names) {
  if (mask.q_len != shape.q_len) report.add(Finding::kMaskLengths, names.mask, "q_len", mask.q_len, names.call, shape.q_len);
  if (mask.kv_len != shape.kv_len)
    report.add(Finding::kMaskLengths, names.mask, "kv_len", mask.kv_len, names.call, shape.kv_len);
  check_plane("batch entries", mask.batch, shape.batch, names, report);
  check_plane("heads", mask.heads, shape.q_heads, names, report);
}

void check_shorter_mask(const BlockMaskShape& mask, const BlockMaskOptions& options, Report& report) {
  if (mask.q_len > options.q_len) report.add(Finding::kMaskShrinks, "q_len", mask.q_len, options.q_len);
  if (mask.kv_len > options.kv_len) report.add(Finding::kMaskShrinks, "kv_len", mask.kv_len, options.kv_len);
  check_plane("batch entries", mask.batch, options.batch, {}, report);
  check_plane("heads", mask.heads, options.heads, {}, report);
}

CallShape call_shape_of(const BlockMaskOptions& options) {
  return {.batch = options.batch,
          .q_heads = options.heads,
          .kv_heads = options.kv_heads == 0 ? options.heads : options.kv_heads,
          .q_len = options.q_len,
          .kv_len = options.kv_len};
}

BlockMaskShape mask_shape_of(const BlockMaskOptions& options) {
  return {.batch = options.batch,
          .heads = options.heads,
          .q_len = options.q_len,
          .kv_len = options.kv_len,
          .q_block = options.q_block,
          .kv_block = options.kv_block};
}

std::optional<CallShape> check_mask_options(const BlockMaskOptions& options, Report& report) {
  Report wrong(report.call());
  check_range("batch", options.batch, 1, wrong);
  check_range("heads", options.heads, 1, wrong);
  check_range("kv_heads", options.kv_heads, 0, wrong);
  check_range("q_len", options.q_len, 0, wrong);
  check_range("kv_len", options.kv_len, 0, wrong);
  check_range("q_block", options.q_block, 1, wrong);
  check_range("kv_block", options.kv_block, 1, wrong);
  if (wrong.empty()) {
    const BlockMaskShape shape = mask_shape_of(options);
    const std::int64_t rows = mask::block_rows(shape), side = std::max(shape.q_blocks(), shape.kv_blocks());
    if (rows > mask::kMaxBlockRows)
      wrong.add(Finding::kMaskSize, rows, mask::kMaxBlockRows);
    else if (side > mask::kMaxBlocksASide)
      wrong.add(Finding::kMaskSize, side, mask::kMaxBlocksASide);
    if (options.kv_heads > 0 && options.heads % options.kv_heads != 0) {
      wrong.add(Finding::kHeadGroups, options.heads, options.kv_heads);
    }
  }
  if (!wrong.empty()) {
    report.add_all(wrong.take());
    return std::nullopt;
  }
  return call_shape_of(options);
}

}  // namespace flexjit::engine
