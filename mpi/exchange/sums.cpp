// Shares to their owners, sums, and sums to everybody.
#include "exchange/sums.h"

#include <vector>

#include "exchange/messages.h"

namespace flexjit::mpi {

void sum_in_order(const Communicator& comm, float* values, std::int64_t count, std::int64_t message_bytes) {
  constexpr auto kBytes = static_cast<std::int64_t>(sizeof(float));
  const auto begin = [&](int rank) { return count * rank / comm.size(); };
  const int me = comm.rank();
  const std::int64_t mine = begin(me + 1) - begin(me);
  std::vector<float> shares(static_cast<std::size_t>(mine * comm.size()));
  Messages messages(comm, message_bytes);
  for (int rank = 0; rank < comm.size(); ++rank) {
    messages.receive(shares.data() + mine * rank, mine * kBytes, rank, 0);
    messages.send(values + begin(rank), (begin(rank + 1) - begin(rank)) * kBytes, rank, 0);
  }
  messages.wait();
  std::vector<float> sums(static_cast<std::size_t>(mine));
  for (std::int64_t i = 0; i < mine; ++i) {
    double sum = 0;
    for (int rank = 0; rank < comm.size(); ++rank) sum += shares[static_cast<std::size_t>(mine * rank + i)];
    sums[static_cast<std::size_t>(i)] = static_cast<float>(sum);
  }
  for (int rank = 0; rank < comm.size(); ++rank) {
    messages.receive(values + begin(rank), (begin(rank + 1) - begin(rank)) * kBytes, rank, 1);
    messages.send(sums.data(), mine * kBytes, rank, 1);
  }
  messages.wait();
}

}  // namespace flexjit::mpi
