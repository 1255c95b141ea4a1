// Scores of a key tile in the scratch -> weights in their place, by online softmax: the maxima so far, how much the older
// output and sums must shrink, then the weights, row by row and only over the panels that a group of rows visits; then O += P
// V. Everything is relative to the running maximum, which is subtracted first: a product of a large score would be rounded by
// more than the exponents' range.
#pragma once

#include "codegen/parts/visits.h"

namespace flexjit::codegen {

void emit_tile_weights(const QueryTile& t);
// O = rescale * O + P V
void emit_value_product(const QueryTile& t, const KeyTile& keys);
// Both for rows that are not settled, by themselves.
void emit_careful_values(const QueryTile& t, const KeyTile& keys);

}  // namespace flexjit::codegen
