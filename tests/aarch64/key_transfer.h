// KernelKey <-> text, so that a process of another architecture can ask for a kernel. It carries what plan_kernel takes and
// the key's canonical text; the reader plans again and accepts the key only if it has that very text.
#pragma once

#include <iosfwd>

#include "plan/kernel_key.h"

namespace flexjit::test {

void write_key(std::ostream& out, const plan::KernelKey& key);
// Throws std::runtime_error when the key planned here is another one: something that a key depends on was not carried.
plan::KernelKey read_key(std::istream& in);

}  // namespace flexjit::test
