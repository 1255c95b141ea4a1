// The texts of the errors of block masks.
#include "mask/blocks/mask_errors.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

namespace flexjit::mask {

namespace {

Diagnostic error(const char* kind, std::string message) {
  Diagnostic diagnostic;
  diagnostic.kind = kind;
  diagnostic.source_name = "block_mask";
  diagnostic.message = std::move(message);
  return diagnostic;
}

}  // namespace

Diagnostic shape_error(std::string message) { return error("mask-shape", std::move(message)); }
Diagnostic bytes_error(std::string message) { return error("mask-bytes", std::move(message)); }

std::int64_t block_rows(const BlockMaskShape& shape) {
  const std::int64_t planes = std::int64_t{shape.batch} * shape.heads;  // below 2^62
  std::int64_t rows = 0;
  const bool too_many = __builtin_mul_overflow(planes, std::max({shape.q_blocks(), shape.kv_blocks(), 1}), &rows);
  return too_many ? std::numeric_limits<std::int64_t>::max() : rows;
}

Diagnostics check_shape(const BlockMaskShape& shape) {
  Diagnostics found;
  if (shape.q_block < 1 || shape.kv_block < 1) {
    found.push_back(shape_error(fmt::format("block sizes must be at least 1, got q_block {} and kv_block {}; 128 is usual",
                                            shape.q_block, shape.kv_block)));
  }
  if (shape.q_len < 0 || shape.kv_len < 0) {
    found.push_back(
        shape_error(fmt::format("lengths must not be negative, got q_len {} and kv_len {}", shape.q_len, shape.kv_len)));
  }
  if (shape.batch < 0 || shape.heads < 0) {
    found.push_back(shape_error(
        fmt::format("batch and heads must not be negative, got {} and {}; 1 serves every plane", shape.batch, shape.heads)));
  }
  if (!found.empty()) return found;
  if (block_rows(shape) > kMaxBlockRows || std::max(shape.q_blocks(), shape.kv_blocks()) > kMaxBlocksASide) {
    found.push_back(shape_error(
        fmt::format("{} x {} planes of {} x {} blocks are above the limit of {} rows or columns over all planes and {} of one; "
                    "choose larger "
                    "blocks",
                    shape.batch, shape.heads, shape.q_blocks(), shape.kv_blocks(), kMaxBlockRows, kMaxBlocksASide)));
  }
  return found;
}

}  // namespace flexjit::mask
