// What a cache_worker says on its standard output: a byte for each step that it finished.
#pragma once

namespace flexjit::test {

enum class Step : char {
  kCompiled = 'c',  // a pattern compiled, run and right
  kFound = 'd',     // found on disk, run and right
  kOther = '?',     // from elsewhere, which no fresh engine has
  kStored = 's',    // a kernel stored
};

}  // namespace flexjit::test
