// A block mask of fewer queries than keys -> a word about masks that were written for equal lengths.
#pragma once

#include <string>

#include "flexjit/block_mask.h"

namespace flexjit::tools {

// Where there are more keys than queries and no query sees any of those behind the last query's number: that this is what
// `kv_idx
// <= q_idx` means, and what was perhaps meant. Else "". By whole blocks: the last few keys may be seen or not.
std::string alignment_note(const BlockMask& mask);

}  // namespace flexjit::tools
