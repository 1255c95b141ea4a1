// Non-blocking messages of any length, cut into pieces that MPI can count. All that are posted are waited for together.
#pragma once

#include <mpi.h>

#include <cstdint>
#include <vector>

#include "exchange/communicator.h"

namespace flexjit::mpi {

// Of the messages of a ring's transfer; each transfer has a peer of its own.
enum Tag : int { kKeyTag, kValueTag, kKeyGradientTag, kValueGradientTag };

// Memory that is given must live until wait(). A message of no bytes is none: both sides know the layout, so both know.
class Messages {
 public:
  Messages(const Communicator& comm, std::int64_t most_bytes) : comm_(comm), most_bytes_(most_bytes) {}
  Messages(const Messages&) = delete;
  Messages& operator=(const Messages&) = delete;

  void send(const void* data, std::int64_t bytes, int to, int tag);
  void receive(void* data, std::int64_t bytes, int from, int tag);
  // Lets MPI move what it can.
  void poll();
  void wait();

 private:
  template <typename Post>
  void cut(std::int64_t bytes, const Post& post);

  const Communicator& comm_;
  std::int64_t most_bytes_;
  std::vector<MPI_Request> requests_;
};

}  // namespace flexjit::mpi
