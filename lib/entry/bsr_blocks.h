// A BSR matrix: out of a pattern's mask, and into one.
#pragma once

#include "flexjit/flex_flash_infer.h"

namespace flexjit::engine {

// Of the plane of `head`, whose blocks `mask` has decided; partial ones are evaluated.
Result<BsrBlocks> bsr_of(const Attention& attention, const BlockMaskOptions& options, const Bindings& bindings,
                         const BlockMask& mask, std::int32_t head);

// An accepted matrix with elements for each of its blocks.
BsrBlocks copy_of(const BlockMaskShape& shape, const BsrMatrix& matrix);

}  // namespace flexjit::engine
