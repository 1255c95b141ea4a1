// What tests of many processes share: a verdict that all ranks come to, so that each of them goes on in the same way.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <vector>

namespace flexjit::mpi {

int world_rank();
int world_size();

// Success if it is one on all ranks; else the words of the first that failed. Collective.
testing::AssertionResult everywhere(const testing::AssertionResult& mine);

}  // namespace flexjit::mpi
