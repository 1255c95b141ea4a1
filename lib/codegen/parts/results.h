// The finished rows of a query tile: output = o / sum in the caller's element type, ln sum exp, the largest score. A row whose
// o is not finite stays unsettled: the careful pass writes it again.
#pragma once

#include "codegen/parts/query_tile.h"

namespace flexjit::codegen {

// Returns that any row is left to the careful pass.
Bool emit_results(const QueryTile& t, Bool careful);

}  // namespace flexjit::codegen
