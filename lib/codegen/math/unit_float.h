// Random words of 32 bits as floats in [0, 1].
#pragma once

#include "codegen/emit/emitter.h"

namespace flexjit::codegen {

// 2^-32 times a word, which is unsigned, rounded to fp32.
Float unit_float(Emitter& e, Int word);
// unit_float(word) < p without the float, for a scalar p: is_unit_below(word, unit_threshold(p)). p > 1 counts as 1.
Int unit_threshold(Emitter& e, Float p);
Bool is_unit_below(Emitter& e, Int word, Int threshold);

}  // namespace flexjit::codegen
