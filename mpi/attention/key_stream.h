// The keys and values of a ring's ranks, one computation's after the other: those of the next travel while one computes.
#pragma once

#include <array>
#include <cstddef>

#include "attention/impl.h"
#include "attention/rows.h"
#include "exchange/messages.h"

namespace flexjit::mpi {

struct KeyViews {
  TensorView k, v;
};

class KeyStream {
 public:
  // `own`: (batch, kv heads of this rank, its tokens in the ring, dim).
  KeyStream(const ShardedAttention::Impl& impl, const KeyViews& own, Traffic& traffic);

  // Those of computation i, which is asked for in order; they live until the next but one is.
  KeyViews begin(std::size_t i);
  void poll() { messages_.poll(); }

 private:
  struct Pair {
    Rows k, v;
    KeyViews views() const { return {k.view(), v.view()}; }
  };
  Pair make(std::int64_t tokens) const;
  void post(std::size_t transfer, Pair& sent, Pair& received);
  KeyViews gather_all();

  const ShardedAttention::Impl& impl_;
  KeyViews own_;
  Traffic& traffic_;
  Messages messages_;
  Pair sent_;
  std::array<Pair, 2> received_;
  Pair all_;
};

}  // namespace flexjit::mpi
