// "A:B" of an option -> positions of a sequence.
#pragma once

#include <cstdint>
#include <string>

#include "flexjit/attention.h"
#include "flexjit/result.h"

namespace flexjit::tools {

// `what` the positions are: "query rows". Error: `usage` for what is not written A:B or not inside 0:length.
Result<PositionRange> parse_range(const std::string& option, const std::string& text, const std::string& what,
                                  std::int64_t length);

}  // namespace flexjit::tools
