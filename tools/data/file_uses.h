// The files that one command reads and writes -> those that would be lost in silence: two outputs of one name, an output over
// an input, stdin read twice.
#pragma once

#include <string>
#include <vector>

#include "command_line/options.h"
#include "flexjit/diagnostic.h"

namespace flexjit::tools {

struct FileUse {
  std::string option;  // as the user wrote it: "--out"
  std::string path;    // empty: not given
};

// Before any work. Error `usage`, at the later of the two: for an output that is another output or an input, links followed
// (the same path, or the same file under two names), and for an input that is stdin where one before it is. What is no regular
// file loses nothing and may be given twice.
Diagnostics check_file_uses(const std::vector<FileUse>& inputs, const std::vector<FileUse>& outputs);

// The files of a pattern, of what is bound to its names, and q, k and v.
std::vector<FileUse> inputs_of(const PatternOptions& pattern, const NameOptions& names, const FileOptions& files = {});

}  // namespace flexjit::tools
