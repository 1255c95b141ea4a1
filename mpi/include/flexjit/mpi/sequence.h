// Attention over one sequence that lies on many hosts: every rank of an MPI communicator has some of its tokens, as queries,
// keys and values, and gets the output of its queries over all keys.
//
//   auto attention = mpi::ShardedAttention::make(default_engine(), spec, {.q_heads = 8, .kv_heads = 8, .length =
//   65536}).value();
//   // rows of q, k and v: those of attention.positions(), in their order
//   attention.run({.q = q, .k = k, .v = v, .out = out}).value();
#pragma once

#include <mpi.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>

#include "flexjit/bindings.h"
#include "flexjit/engine.h"
#include "flexjit/mpi/layout.h"
#include "flexjit/result.h"
#include "flexjit/spec.h"
#include "flexjit/tensor.h"

namespace flexjit::mpi {

// The whole: queries and keys are the same `length` tokens.
struct SequenceSizes {
  std::int32_t batch = 1, q_heads = 1, kv_heads = 1;
  std::int32_t length = 0;
  std::int32_t block = 128;  // tokens that stay together
};

enum class Exchange : std::uint8_t {
  kRing,       // a rank's keys at a time, while those of the rank before are computed with; memory of two of them
  kAllGather,  // all keys that are needed, then one computation: fewer messages, more memory
};

struct SequenceOptions {
  MPI_Comm comm = MPI_COMM_WORLD;  // duplicated; MPI must be initialised and outlive the handle
  Exchange exchange = Exchange::kRing;
  // So many neighbouring ranks share out the heads of the tokens that they have together (DeepSpeed-Ulysses): a divisor of the
  // number of ranks and of kv_heads. 1: none do; all ranks: no keys travel, heads do.
  std::int32_t head_ranks = 1;
  Dealing dealing = Dealing::kAuto;
  // Instead of a dealing: a layout of the sequence in blocks of SequenceSizes::block over ranks / head_ranks, as deal() of the
  // masks of all layers gives it; counts of blocks may differ. Of each, head_ranks neighbours have a part. Read by make()
  // alone.
  const Layout* layout = nullptr;
  std::int64_t message_bytes = std::int64_t{1} << 30;  // longer ones are cut, for MPI counts in ints; 1..2^31 - 1
};

// One call, on the rows of this rank: q (batch, q_heads, tokens, head_dim), k and v (batch, kv_heads, tokens, head_dim and
// v_head_dim), out (batch, q_heads, tokens, v_head_dim), of the spec's types; lse f32 (batch, q_heads, tokens) or absent. Unit
// innermost strides. A rank without tokens gives views of extent 0. `bindings` are those of the whole sequence, captured
// buffers too: each rank has them all, with the same contents.
struct ShardArgs {
  TensorView q, k, v;
  MutableTensorView out;
  MutableTensorView lse{};  // data == nullptr: not wanted; run_backward() needs it
  TensorView sinks{};       // f32 (q_heads), the same on all ranks; data == nullptr: none
  const Bindings* bindings = nullptr;
};

// As flexjit::Gradients: of out (given, its type or f32), of q, k and v (each its type or f32), and of sinks, f32 (q_heads),
// and captured buffers, dense f32, of which every rank gets the sum over all ranks. What has no data is not computed; on all
// ranks alike.
struct ShardGradients {
  TensorView out{};
  TensorView lse{};
  MutableTensorView q{}, k{}, v{};
  MutableTensorView sinks{};
  std::map<std::string, MutableTensorView, std::less<>> buffers{};
};

// What travelled to and from this rank.
struct Traffic {
  std::int64_t bytes_sent = 0, bytes_received = 0;  // of keys and values, and in backward of their gradients
};

// Immutable. Every member is collective unless said otherwise: all ranks call it in one order, one thread of each at a time,
// the one that MPI's thread level allows. All ranks get an error if one of them does: the one that found it its own findings,
// the others `other-rank` with its number and words. Tensors, texts or options that differ over ranks are `rank-mismatch`,
// found before the first message. An exception between messages, of which only lack of memory is known, ends the job with
// words.
class FLEXJIT_API ShardedAttention {
 public:
  // Derives the mask, deals the tokens, compiles. `bindings` as in run(): the mask reads them here, and they must be the same
  // in calls where it depends on them. Errors: those of compile_shard() and create_block_mask(); `bad-option` for sizes and
  // options, a layout of other ranks or not of every block once, f64 tensors, and weights other than softmax.
  static Result<ShardedAttention> make(Engine& engine, const AttentionSpec& spec, const SequenceSizes& sizes,
                                       const SequenceOptions& options = {}, const Bindings* bindings = nullptr);

  // Not collective: of all ranks; and where this rank's rows stand in the sequence, ascending.
  const Layout& layout() const noexcept;
  std::span<const std::int32_t> positions() const noexcept;

  // Partial results are fp32 and merged by their lse in an order that the layout alone decides: the same bits whatever the
  // timing. Transfers are polled between parts of a computation; nothing relies on their progress elsewhere.
  Result<Traffic> run(const ShardArgs& args) const;
  // `forward` as in the run() before, with what it wrote. Gradients of k and v travel home as fp32 and are added in a fixed
  // order, those of buffers in the order of ranks.
  Result<Traffic> run_backward(const ShardArgs& forward, const ShardGradients& gradients) const;

  struct Impl;
  explicit ShardedAttention(std::shared_ptr<const Impl> impl) noexcept : impl_(std::move(impl)) {}

 private:
  std::shared_ptr<const Impl> impl_;
};

}  // namespace flexjit::mpi
