// One all-gather of hashes; a second message only where something is wrong: the words of the first rank that has any.
#include "exchange/agreement.h"

#include <vector>

#include "layout/failure.h"

namespace flexjit::mpi {

Hash& Hash::add(std::string_view bytes) {
  for (const char byte : bytes) value_ = (value_ ^ static_cast<unsigned char>(byte)) * 0x100000001b3;
  value_ = (value_ ^ bytes.size()) * 0x100000001b3;  // "ab" "c" is not "a" "bc"
  return *this;
}

namespace {

// Of one rank, to all.
std::string words_of(const Communicator& comm, int rank, const std::string& mine) {
  int size = static_cast<int>(mine.size());
  MPI_Bcast(&size, 1, MPI_INT, rank, comm.get());
  std::string words = mine;
  words.resize(static_cast<std::size_t>(size));
  MPI_Bcast(words.data(), size, MPI_CHAR, rank, comm.get());
  return words;
}

std::string without_last_newline(std::string text) {
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

}  // namespace

Diagnostics agree(const Communicator& comm, const Diagnostics& mine, std::span<const Fact> facts, const std::string& call) {
  std::vector<std::uint64_t> sent{mine.empty() ? std::uint64_t{0} : std::uint64_t{1}};
  for (const Fact& fact : facts) sent.push_back(fact.hash);
  const std::size_t width = sent.size();
  std::vector<std::uint64_t> all(width * static_cast<std::size_t>(comm.size()));
  MPI_Allgather(sent.data(), static_cast<int>(width), MPI_UINT64_T, all.data(), static_cast<int>(width), MPI_UINT64_T,
                comm.get());
  for (int rank = 0; rank < comm.size(); ++rank) {
    if (all[static_cast<std::size_t>(rank) * width] == 0) continue;
    const std::string words = words_of(comm, rank, without_last_newline(render(mine)));
    if (!mine.empty()) return mine;
    return failure("other-rank", "rank " + std::to_string(rank) + " of " + std::to_string(comm.size()) + " says: " + words,
                   call);
  }
  for (int rank = 1; rank < comm.size(); ++rank) {
    for (std::size_t i = 0; i < facts.size(); ++i) {
      if (all[static_cast<std::size_t>(rank) * width + i + 1] == all[i + 1]) continue;
      return failure(
          "rank-mismatch",
          "rank " + std::to_string(rank) + " has other " + facts[i].name + " than rank 0; all ranks must give the same", call);
    }
  }
  return {};
}

}  // namespace flexjit::mpi
