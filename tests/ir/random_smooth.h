// seed -> a random text of a score that is smooth almost everywhere: what derivatives are checked on by finite differences. It
// reads buffers of floats under conditions and through other buffers, and uses every function of the language.
#pragma once

#include <cstdint>
#include <string>

namespace flexjit::ir::test {

std::string random_smooth_text(std::uint64_t seed);

}  // namespace flexjit::ir::test
