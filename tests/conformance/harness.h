// Shared by the conformance tests: specs, one engine a target, and the comparison of a compiled run with the fp64 reference.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "flexjit/flexjit.h"
#include "support/captures.h"
#include "support/comparison.h"
#include "support/random.h"

namespace flexjit::conformance {

using namespace test;

inline std::size_t at(std::int64_t index) { return static_cast<std::size_t>(index); }

// One compiled-backend engine a target for the whole process, so that patterns share its kernel cache. It keeps kernels in the
// directory that the environment variable FLEXJIT_TEST_KERNELS names, if it is set: what other processes, and the same tests of
// another build, then need not compile again.
Engine& engine_for(std::string_view target);
// "host" and those of "x86-64-v4", "x86-64-v3", "x86-64" that this machine executes and that differ from each other.
std::vector<std::string> targets_here();
// All of them, or in a sample one, by the name of what is run on it.
std::vector<std::string> sampled_targets(std::string_view name);

AttentionSpec spec_of(std::string_view program, const Shape& shape);
// Compiles, or fails the test with the rendered diagnostics and throws.
Attention compile_or_throw(Engine& engine, const AttentionSpec& spec);

// Runs `spec` on every target of this machine, or one in a sample, and compares each with one reference run.
void expect_matches_reference(const AttentionSpec& spec, const Shape& shape, const Bindings* bindings,
                              Tolerance tolerance = {});

}  // namespace flexjit::conformance
