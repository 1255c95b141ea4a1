// Pieces of one message share its tag; MPI delivers them in their order.
#include "exchange/messages.h"

#include <algorithm>

namespace flexjit::mpi {

template <typename Post>
void Messages::cut(std::int64_t bytes, const Post& post) {
  for (std::int64_t at = 0; at < bytes; at += most_bytes_) {
    MPI_Request& request = requests_.emplace_back(MPI_REQUEST_NULL);
    post(at, static_cast<int>(std::min(most_bytes_, bytes - at)), &request);
  }
}

void Messages::send(const void* data, std::int64_t bytes, int to, int tag) {
  cut(bytes, [&](std::int64_t at, int count, MPI_Request* request) {
    MPI_Isend(static_cast<const char*>(data) + at, count, MPI_BYTE, to, tag, comm_.get(), request);
  });
}

void Messages::receive(void* data, std::int64_t bytes, int from, int tag) {
  cut(bytes, [&](std::int64_t at, int count, MPI_Request* request) {
    MPI_Irecv(static_cast<char*>(data) + at, count, MPI_BYTE, from, tag, comm_.get(), request);
  });
}

void Messages::poll() {
  int done = 0;
  MPI_Testall(static_cast<int>(requests_.size()), requests_.data(), &done, MPI_STATUSES_IGNORE);
}

void Messages::wait() {
  MPI_Waitall(static_cast<int>(requests_.size()), requests_.data(), MPI_STATUSES_IGNORE);
  requests_.clear();
}

}  // namespace flexjit::mpi
