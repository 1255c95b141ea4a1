// What is wrong with the shape or the bytes of a block mask, as diagnostics.
#pragma once

#include <string>

#include "flexjit/block_mask.h"

namespace flexjit::mask {

Diagnostic shape_error(std::string message);
Diagnostic bytes_error(std::string message);
// Block sizes below 1, negative lengths or planes.
Diagnostics check_shape(const BlockMaskShape& shape);

}  // namespace flexjit::mask
