// Dropout -> a stage of a pattern: the factor of each weight, of which the language does not speak.
#pragma once

#include <cstdint>
#include <string_view>

#include "flexjit/spec.h"
#include "ir/program/interface.h"
#include "support/precision.h"

namespace flexjit::engine {

// Its params. The defaults are those of the public contract (MLX attention's), so that a mask can be told from its positions.
inline constexpr std::string_view kDropoutP = "dropout_p", kDropoutSeed = "dropout_seed", kDropoutOffset = "dropout_offset";
inline constexpr std::int32_t kDefaultSeed = 0x1BF58, kDefaultOffset = 0x1D4B49;

// weight_factor = random(q_idx, kv_idx, b, h; seed, offset) < p ? 0 : 1 / (1 - p)
ir::Lowered make_dropout(DropoutGenerator generator, support::Precision precision);

}  // namespace flexjit::engine
