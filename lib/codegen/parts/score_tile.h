// One micro-tile of scores: micro_rows x strip of Q K^T in registers, then score_mod, mask_mod and the running maximum. A strip
// in which a group visits few panels is computed panel by panel, so that narrow windows and the edges of documents waste
// little.
#pragma once

#include "codegen/parts/scores.h"
#include "codegen/parts/visits.h"

namespace flexjit::codegen {

void emit_score_tile(const QueryTile& t, const Scores& scores, const KeyTile& keys, const MicroTile& micro);

}  // namespace flexjit::codegen
