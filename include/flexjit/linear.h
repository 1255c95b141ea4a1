// Decoding with linear weights: all keys so far are a state whose size does not depend on their number.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "flexjit/attention.h"
#include "flexjit/bindings.h"
#include "flexjit/export.h"
#include "flexjit/result.h"
#include "flexjit/tensor.h"

namespace flexjit {

struct LinearStateOptions {
  std::int32_t batch = 1;
  std::int32_t q_heads = 1;
  std::int32_t kv_heads = 1;
  // Of the pattern, as RunArgs has them. The matrix of a feature map is copied; other buffers are read in every call.
  const Bindings* bindings = nullptr;
};

// New tokens of every sequence: k (batch, kv_heads, n, head_dim), v (batch, kv_heads, n, v_head_dim) and, of step(), q (batch,
// q_heads, n, head_dim) and out (batch, q_heads, n, v_head_dim), any n.
struct LinearTokens {
  TensorView q{};
  TensorView k, v;
  MutableTensorView out{};
};

// What sequences of linear weights keep in the place of a cache: sums of features times values and of features, in fp32 (fp64
// of f64 patterns), features x (v_head_dim + 1) of them a sequence and kv head (or query head, where heads differ in their
// features, gates or masks). Positions count on from call to call: a mask or a gate of kv_idx sees that of all keys of the
// sequence. Calls of one state must not overlap in time.
class FLEXJIT_API LinearState {
 public:
  // Holds nothing until a made one is assigned: calls of it, or of one that was moved from, are the error `empty-handle`.
  LinearState() noexcept;
  ~LinearState();
  LinearState(LinearState&&) noexcept;
  LinearState& operator=(LinearState&&) noexcept;
  bool empty() const noexcept { return impl_ == nullptr; }

  // Without keys. Errors: `not-linear` for other weights, for masks other than `kv_idx <= q_idx + kv_len - q_len`, masks of
  // keys or both, and where there is no kernel; `bad-option` for numbers below 1; those of bindings.
  static Result<LinearState> create(const Attention& attention, const LinearStateOptions& options);

  // Takes keys without a query. Errors: those of run(), then nothing is taken, but `buffer-read` leaves the state unspecified.
  Result<RunStats> append(const LinearTokens& tokens);
  // The same, and token i of out is what query i gets of all keys before and of those up to its own: what run() with a causal
  // mask gives of the whole sequence, up to rounding.
  Result<RunStats> step(const LinearTokens& tokens);

  std::int64_t keys() const noexcept;  // that it has taken, of each sequence
  std::size_t bytes() const noexcept;  // of memory, whatever keys() is

  // The state as bytes that any machine with the same pattern can load, in their order of fp32 or fp64.
  Result<std::vector<std::byte>> save() const;
  // Into a state made by the same pattern for as many sequences and heads; what it held is gone. Error `bad-option`: bytes of
  // another size or pattern, then nothing has changed.
  Status load(std::span<const std::byte> saved);

 private:
  struct Impl;  // lib/engine
  std::unique_ptr<Impl> impl_;
};

}  // namespace flexjit
