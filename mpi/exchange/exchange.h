// Between the first message of a call and the last there is no way back: the others wait for ours.
#pragma once

#include <cstdio>
#include <exception>

#include "exchange/communicator.h"

namespace flexjit::mpi {

// Runs `messages`; what it throws ends the job, with words.
template <typename Run>
void exchange_or_abort(const Communicator& comm, const Run& messages) {
  try {
    messages();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "flexjit: rank %d of %d ends the job between two messages: %s\n", comm.rank(), comm.size(),
                 error.what());
    MPI_Abort(comm.get(), 1);
  }
}

}  // namespace flexjit::mpi
