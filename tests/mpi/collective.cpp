// Which ranks there are, and agreement about results.
#include "mpi/collective.h"

#include <mpi.h>

namespace flexjit::mpi {

int world_rank() {
  int rank = 0;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  return rank;
}

int world_size() {
  int size = 1;
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  return size;
}

testing::AssertionResult everywhere(const testing::AssertionResult& mine) {
  int first = mine ? world_size() : world_rank();
  MPI_Allreduce(MPI_IN_PLACE, &first, 1, MPI_INT, MPI_MIN, MPI_COMM_WORLD);
  if (first == world_size()) return testing::AssertionSuccess();
  std::string words = first == world_rank() ? mine.message() : "";
  int size = static_cast<int>(words.size());
  MPI_Bcast(&size, 1, MPI_INT, first, MPI_COMM_WORLD);
  words.resize(static_cast<std::size_t>(size));
  MPI_Bcast(words.data(), size, MPI_CHAR, first, MPI_COMM_WORLD);
  return testing::AssertionFailure() << "rank " << first << ": " << words;
}

}  // namespace flexjit::mpi
