// Attention over and over, until somebody ends it: what tests/mpi/kill-a-rank takes a rank of.
#include <mpi.h>

#include <unistd.h>
#include <cstdio>
#include <vector>

#include "flexjit/mpi/sequence.h"

int main(int argc, char** argv) {
  using namespace flexjit;
  MPI_Init(&argc, &argv);
  AttentionSpec spec;
  spec.program = "mask = q_idx >= kv_idx";
  spec.head_dim = 16;
  const auto attention = mpi::ShardedAttention::make(default_engine(), spec, {.length = 1024, .block = 16}).value();
  const auto tokens = static_cast<std::int64_t>(attention.positions().size());
  std::vector<float> q(static_cast<std::size_t>(tokens * 16)), k = q, v = q, out = q;
  const auto view = [&](auto* data) { return BasicTensorView(data, DType::kF32, {1, 1, tokens, 16}); };
  std::printf("pid %d\n", static_cast<int>(getpid()));
  std::fflush(stdout);
  for (;;)
    static_cast<void>(attention
                          .run({.q = TensorView(view(static_cast<const void*>(q.data()))),
                                .k = view(static_cast<const void*>(k.data())),
                                .v = view(static_cast<const void*>(v.data())),
                                .out = view(static_cast<void*>(out.data()))})
                          .value());
}
