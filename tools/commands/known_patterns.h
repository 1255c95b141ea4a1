// The key of a kernel -> what it computes, in a few words: the name of the example or preset that is compiled to the same
// program, else its mask and score as expressions. A key holds no names: two spellings of one pattern are one kernel.
#pragma once

#include <map>
#include <string>

namespace flexjit::tools {

class KnownPatterns {
 public:
  KnownPatterns();
  std::string describe(const std::string& key) const;

 private:
  std::map<std::string, std::string> names_;  // by canonical program
};

}  // namespace flexjit::tools
