// Longformer as it is trained: global tokens have queries, keys and values by projections of their own, by which they see all.
#pragma once

#include <memory>

#include "flexjit/attention.h"
#include "flexjit/backward.h"
#include "flexjit/engine.h"
#include "flexjit/export.h"
#include "flexjit/result.h"
#include "flexjit/variants.h"

namespace flexjit {

struct LongformerArgs {
  // q, k and v of the tokens of the band, which see global tokens by them too; out, and lse, which run_backward needs; bindings
  // with `tokens`, i32 (batch, length).
  RunArgs local;
  TensorView q_global, k_global,
      v_global;  // of the shapes and types of q, k and v; of q_global only rows of global tokens are read
};

// Wanted, of the shape and element type of their tensors or f32; data == nullptr: not computed.
struct LongformerGradients {
  Gradients local{};  // with `out`, and `lse`, of all rows
  MutableTensorView q_global{}, k_global{}, v_global{};
};

// Both passes of Longformer: each row by the keys that it has, global rows in batches of a sequence's. Immutable, cheap to
// copy, thread-safe, and may outlive its Engine.
class FLEXJIT_API Longformer {
 public:
  // Computes nothing until a made one is assigned (`empty-handle`).
  Longformer() noexcept = default;
  bool empty() const noexcept { return impl_ == nullptr; }

  // options.global_rows_apart is taken as true. `types` are dtype, kv_dtype, out_dtype, head_dim, v_head_dim and scale; its
  // texts and flags are ignored. Errors: those of longformer() and Engine::compile().
  static Result<Longformer> create(Engine& engine, const LongformerOptions& options, const AttentionSpec& types = {});

  // Writes every row of out, of padding 0. Sequences, plans, block masks and sinks are refused. Errors: those of
  // Attention::run().
  Result<RunStats> run(const LongformerArgs& args) const;
  // Errors: those of flexjit::run_backward().
  Result<RunStats> run_backward(const LongformerArgs& forward, const LongformerGradients& gradients) const;

 private:
  struct Impl;
  explicit Longformer(std::shared_ptr<const Impl> impl) noexcept : impl_(std::move(impl)) {}
  std::shared_ptr<const Impl> impl_;
};

}  // namespace flexjit
