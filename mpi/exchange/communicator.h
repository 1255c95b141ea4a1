// An MPI communicator of our own, freed with its last user: messages of ours meet none of the caller's.
#pragma once

#include <mpi.h>

#include <memory>

namespace flexjit::mpi {

class Communicator {
 public:
  static Communicator duplicate(MPI_Comm comm) {
    MPI_Comm made = MPI_COMM_NULL;
    MPI_Comm_dup(comm, &made);
    return Communicator(made);
  }
  // The ranks of one colour, in the order of `key`.
  Communicator split(int colour, int key) const {
    MPI_Comm made = MPI_COMM_NULL;
    MPI_Comm_split(get(), colour, key, &made);
    return Communicator(made);
  }

  MPI_Comm get() const { return *comm_; }
  int rank() const { return rank_; }
  int size() const { return size_; }

 private:
  explicit Communicator(MPI_Comm comm) : comm_(new MPI_Comm(comm), free) {
    // A peer that is gone is no finding that a call could return: the job ends, with MPI's words.
    MPI_Comm_set_errhandler(comm, MPI_ERRORS_ARE_FATAL);
    MPI_Comm_rank(comm, &rank_);
    MPI_Comm_size(comm, &size_);
  }
  static void free(MPI_Comm* comm) {
    int finalized = 0;
    MPI_Finalized(&finalized);
    if (finalized == 0) MPI_Comm_free(comm);
    delete comm;
  }

  std::shared_ptr<MPI_Comm> comm_;
  int rank_ = 0, size_ = 1;
};

}  // namespace flexjit::mpi
