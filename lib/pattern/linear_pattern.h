// A program with a feature map -> what the nest of linear weights computes of it: masks of keys in the kernel, causal ones by
// the order in which queries meet keys.
#pragma once

#include <cstdint>
#include <optional>

#include "ir/evaluate/environment.h"
#include "ir/program/program.h"
#include "plan/kernel_key.h"

namespace flexjit::engine {

struct LinearPattern {
  plan::LinearShape shape;
  double eps = 0;
  bool has_nest = false;    // else its mask is neither causal nor of keys alone, and what follows is empty
  bool by_head = false;     // features, gates or masks differ between query heads that share a kv head
  ir::Program kernel{};     // with a mask of keys alone
  ir::Program diagonals{};  // its mask tells by kv_idx - q_idx alone; none: every query meets every key
  bool causal() const { return diagonals.mask().valid(); }
};

// The mask of `program`, which is simplified and whose reads are proved, as one of diagonals and one of keys. Empty where it is
// neither, nor both.
struct SplitMask {
  ir::Program keys, diagonals;
};
std::optional<SplitMask> split_mask(const ir::Program& program);

// The last key that query 0 meets by a mask of diagonals, less than 0 where it meets none: query i meets those up to i + that.
// At most kv_len - 1. All of one batch entry and head.
std::int64_t diagonal_of(const ir::Program& diagonals, const ir::Environment& environment, std::int32_t b, std::int32_t h);

}  // namespace flexjit::engine
