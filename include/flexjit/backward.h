// Training: from the gradient of a loss by what a forward call wrote to its gradients by what the call read.
//
//   attention.run(forward).value();                                   // forward.lse must be given
//   run_backward(attention, forward, {.out = dout, .q = dq, .k = dk, .v = dv}).value();
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "flexjit/attention.h"
#include "flexjit/export.h"
#include "flexjit/result.h"
#include "flexjit/tensor.h"

namespace flexjit {

// Gradients are views of the caller's memory, which must outlive the call; each has the shape of what it is the gradient of.
// What has no data (data == nullptr) is absent: as a gradient that is given it counts as 0 and costs nothing, as one that is
// wanted it is not computed.
struct Gradients {
  // Given. Of the loss by RunArgs::out, (batch, q_heads, q_len, v_head_dim), of the element type of out or f32, and by
  // RunArgs::lse, f32 (batch, q_heads, q_len). Any strides with a unit innermost stride of `out`, or all of its strides 0: one
  // number for all elements, as the gradient of a sum is.
  TensorView out{};
  TensorView lse{};

  // Wanted, and overwritten: by q, k and v, each of the element type of its tensor or f32, with a unit innermost stride; by
  // sinks (q_heads), of the type of the sinks or f32. No two elements may share an address.
  MutableTensorView q{}, k{}, v{};
  MutableTensorView sinks{};
  // By captured buffers that score_mod reads, by name: the shape of the tensor that is bound, its element type or f32, any
  // strides. An element that the pattern reads at many positions, or that is repeated over them because its dimension has
  // extent 1, gets the sum over all of them; a buffer that the score does not depend on gets 0.
  std::map<std::string, MutableTensorView, std::less<>> buffers{};
};

// With P the weights of the forward call, p_sink the share of a sink, dP = dO V^T and delta = rowsum(dO * O), of each row:
// With F the factors of dropout, 0 or 1 / (1 - p), of the same seed and offset:
//   softmax: dS' = P (F dP - delta + dLSE), dsinks = sum of p_sink (dLSE - delta);  sigmoid: dS' = P (1 - P) F dP
//   dS = score_mod'(S) dS', dQ = scale dS K, dK = scale dS^T Q, dV = (F P)^T dO; buffers: sum of dS' by what is read
// P is computed anew from q, k and lse, O is `out` as it was rounded. k, v and their gradients are per kv head: the sums of
// dK and dV go over the query heads that share it. Sums are fp32 (fp64 for f64 tensors), in an order that depends on the call's
// sizes alone, and are rounded once: the same bits for every thread count.
//
// `forward` is the argument of the Attention::run() before, with the tensors, bindings and block mask as they were then; what
// `out` and `lse` hold is read here, so both must have been kept. They may also come from elsewhere, as long as they are of the
// whole softmax: with k and v a part of the keys, and out and lse those of all keys (merge_states), the gradients are the
// part's share. Softmax weights need lse; sigmoid weights have none. max_scores is not looked at, and has no gradient.
//
// A pair that is masked, and every pair of a row without a key, has gradient 0, whatever is in q, k, v or lse there. A branch
// that `where` or `?:` does not select takes no part, whatever its derivative is. At kinks: abs, relu 0 at 0; min and max half
// to each of two equals; clamp 1 on its closed interval; floor, ceil, round, comparisons, int() 0. Gradients of the lengths,
// masks, params and integers do not exist.
//
// Sequences with lengths of their own (RunArgs::sequences) may be packed, have cu_seqlens, seqused_q, total_len and
// cache_leftpad; gradients of rows that belong to none are 0, those of sinks and buffers are sums over all sequences. Keys
// that two sequences may share (pages, cache_batch_idx) are the error `sequence-option`.
//
// Thread-safe; allocates scratch for the call. What it writes must not overlap what it reads. Errors (all that apply, nothing
// is written unless noted): those of Attention::run() about `forward`; `missing-lse`; of the gradients' rank, shape, dtype,
// stride, null or misaligned data, overlapping elements, `shared-memory`; `no-softmax` for lse and sinks with sigmoid weights;
// `no-gradient` for what has none; `built-backward` for a handle of a library that was built without kernels of gradients;
// `unknown-binding` for the name of no buffer; `buffer-read` as in run() (what is written is then unspecified).
FLEXJIT_API Result<RunStats> run_backward(const Attention& attention, const RunArgs& forward, const Gradients& gradients);

// The same by naive fp64 differentiation over the interpreter, sharing no code with the kernels, each result rounded once.
// Single-threaded, slow; the oracle.
FLEXJIT_API Result<RunStats> run_backward_reference(const Attention& attention, const RunArgs& forward,
                                                    const Gradients& gradients);

// Names of the captured buffers of floats that score_mod reads, as it was written: those whose gradients are worth asking for,
// in the order of their declarations.
FLEXJIT_API Result<std::vector<std::string>> gradient_buffers(const Attention& attention);

}  // namespace flexjit
