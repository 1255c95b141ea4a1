// dtl compares the sequences of lines; a hunk's text is taken apart again, as JSON wants lines.
#include "diff.h"

#include <dtl/dtl.hpp>
#include <sstream>

namespace flexjit::tools {
namespace {

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

}  // namespace

std::vector<std::string> unified_diff(std::string_view before, std::string_view after) {
  if (before == after) return {};
  dtl::Diff<std::string> diff(lines_of(std::string(before)), lines_of(std::string(after)));
  diff.onHuge();
  diff.compose();
  diff.composeUnifiedHunks();
  std::ostringstream hunks;
  diff.printUnifiedFormat(hunks);
  return lines_of(hunks.str());
}

}  // namespace flexjit::tools
