// Sums over ranks whose bits no library's choice of algorithm can change.
#pragma once

#include <cstdint>

#include "exchange/communicator.h"

namespace flexjit::mpi {

// Collective. Each element becomes the sum of all ranks' in the order of ranks, in fp64, rounded once; every rank gets it. Each
// rank adds up its share of the elements, so that memory is that of the elements twice.
void sum_in_order(const Communicator& comm, float* values, std::int64_t count, std::int64_t message_bytes);

}  // namespace flexjit::mpi
