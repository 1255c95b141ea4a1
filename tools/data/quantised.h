// Keys or values as arrays -> quantised ones and their scales.
#pragma once

#include <string>

#include "command_line/options.h"
#include "data/array.h"

namespace flexjit::tools {

bool is_quantised(DType dtype);

// `array` as dtypes.kv_dtype(), which is quantised: elements of one byte are taken as they are, floats quantised. `scales`,
// (batch, kv_heads, kv_len, groups), are used where they have a shape, else computed where floats are quantised: of i8 one a
// token and head, of the others one a head; one a group of dims where the options say so. Errors: those of convert() and
// quantize_kv().
Result<Array> as_quantised(const Array& array, Layout layout, const DTypeOptions& dtypes, const std::string& name,
                           Array& scales);

}  // namespace flexjit::tools
