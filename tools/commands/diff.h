// Two texts -> the lines that differ, as unified hunks.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace flexjit::tools {

// "@@ -1,3 +1,4 @@", then lines that begin with ' ', '-' or '+'. Empty: the texts are equal.
std::vector<std::string> unified_diff(std::string_view before, std::string_view after);

}  // namespace flexjit::tools
