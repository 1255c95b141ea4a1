// Tests that run on the reference and on every target that this machine executes.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "harness.h"

namespace flexjit::conformance {

// "reference", then those of "x86-64-v4-bf16", "x86-64-v4", "x86-64-v3", "x86-64", "aarch64" that can be executed here.
std::vector<std::string> backends_here();
// Those of the targets that differ in how exponentials, products and elements are computed that can be executed here:
// "x86-64-v4-bf16", "x86-64-v4", "x86-64-v3", "x86-64-v2", "aarch64".
std::vector<std::string> arithmetics_here();
// Without the characters that a test's name cannot have.
std::string name_of_backend(const testing::TestParamInfo<std::string>& info);

class OnBackends : public testing::TestWithParam<std::string> {
 protected:
  // One engine a backend for the whole process.
  static Engine& engine();
};

}  // namespace flexjit::conformance
