// The cases of a slow test into those that a run tries: all, unless the environment variable FLEXJIT_SAMPLE=<n> asks for one in
// n. FLEXJIT_SAMPLE_SEED chooses which, so that runs with other seeds try others. Whatever fails names its case, and fails
// without these variables too.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace flexjit::test {

// For the cases of one loop of one test, or of several nested in each other: `if (!sample.next()) continue;` is the first
// statement of the innermost. One of each n that follow one another is tried.
class Sample {
 public:
  bool next();

 private:
  std::size_t seen_ = 0;
};

// Of cases that are tests of their own: one in n, by the seed and `name`.
bool in_sample(std::string_view name);

// Whether a run is a sample.
bool is_sampled();
// One of `count` places, by the seed and `name`.
std::size_t sampled_place(std::string_view name, std::size_t count);

}  // namespace flexjit::test
