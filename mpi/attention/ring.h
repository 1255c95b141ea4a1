// The two passes over a ring, of the heads that a rank computes and the rows that it has there. Collective over the ring; what
// a kernel finds wrong ends no message, so that all ranks come to the agreement behind.
#pragma once

#include "attention/impl.h"
#include "attention/key_stream.h"

namespace flexjit::mpi {

// out f32 and lse are written; all (batch, heads of this rank, its tokens in the ring, dim).
struct RingForward {
  TensorView q;
  KeyViews keys;
  MutableTensorView out, lse;
  const Bindings* bindings = nullptr;
};
Diagnostics ring_forward(const ShardedAttention::Impl& impl, const RingForward& call, Traffic& traffic);

// out, lse, which are read, and the gradient d_out are f32; dq, dk and dv, f32, are written; buffers, f32, are sums that this
// adds to.
struct RingBackward {
  TensorView q;
  KeyViews keys;
  MutableTensorView out, lse;
  TensorView d_out, d_lse;
  MutableTensorView dq, dk, dv;
  std::map<std::string, MutableTensorView, std::less<>> buffers{};
  const Bindings* bindings = nullptr;
};
Diagnostics ring_backward(const ShardedAttention::Impl& impl, const RingBackward& call, Traffic& traffic);

// What a run of a slice over the keys of a computation binds.
Bindings slice_bindings(const ShardedAttention::Impl& impl, const Bindings* given, const Slice& slice, const Computation& keys);

}  // namespace flexjit::mpi
