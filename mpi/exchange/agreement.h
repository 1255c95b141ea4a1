// What each rank found about its own arguments -> one verdict on all ranks, before any of them sends a message that another
// would not expect.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "exchange/communicator.h"
#include "flexjit/diagnostic.h"

namespace flexjit::mpi {

// FNV-1a, of values that are written one behind the other.
class Hash {
 public:
  Hash& add(std::string_view bytes);
  Hash& add(std::int64_t value) { return add(std::string_view(reinterpret_cast<const char*>(&value), sizeof value)); }
  std::uint64_t value() const { return value_; }

 private:
  std::uint64_t value_ = 0xcbf29ce484222325;
};

// What must be the same on all ranks.
struct Fact {
  std::string name;  // plural: "other sizes than rank 0"
  std::uint64_t hash = 0;
};

// Collective. Nothing where no rank has findings and all facts agree. `facts` are as many on every rank.
Diagnostics agree(const Communicator& comm, const Diagnostics& mine, std::span<const Fact> facts, const std::string& call);

}  // namespace flexjit::mpi
