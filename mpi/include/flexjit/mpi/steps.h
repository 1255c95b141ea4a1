// A block mask and a layout -> what a rank of a ring sends, receives and computes, in which order. No MPI: whoever moves rows
// may follow the steps, which are values, made once and used by every call.
#pragma once

#include <cstdint>
#include <vector>

#include "flexjit/mpi/layout.h"

namespace flexjit::mpi {

// Neighbouring rows of a shard that travel together.
struct RowRun {
  std::int64_t begin = 0, count = 0;
};

// One exchange of keys with two other ranks of the ring.
struct Transfer {
  std::int32_t source = 0, dest = 0;
  std::vector<RowRun> sent;  // of our rows, that `dest` needs
  std::int64_t sent_tokens = 0, received_tokens = 0;
};

// Some of our rows over the keys of a computation.
struct Slice {
  std::int64_t row = 0, rows = 0;
  BlockMask mask;
  bool any = false;  // a pair; else there is nothing to compute
};

// Our rows, in slices, over keys that are there at once.
struct Computation {
  std::vector<std::int32_t> positions;  // of the keys
  std::vector<Slice> slices;            // the same rows in each computation
};

struct Steps {
  std::int64_t tokens = 0;              // ours
  std::vector<std::int32_t> positions;  // of our rows
  std::vector<Transfer> transfers;      // with the rank s before and the one s behind, s = 1, 2, ...
  // Of a ring: with our own keys, then with those of each transfer. Else one, with the keys of all `sources`.
  std::vector<Computation> computations;
  // Of one computation with all keys: whose these are one behind the other, as numbers of transfers; -1: ours.
  std::vector<std::int32_t> sources;
};

struct StepsOf {
  const BlockMask& mask;
  const Layout& layout;  // of the ring
  std::int32_t rank = 0;
  std::int32_t first_head = 0, heads = 1;  // that this rank computes
  std::int32_t slices = 1;                 // of our rows, at most
};
// Errors: those of select().
FLEXJIT_API Result<Steps> ring_steps(const StepsOf& of);
FLEXJIT_API Result<Steps> gather_steps(const StepsOf& of);

}  // namespace flexjit::mpi
