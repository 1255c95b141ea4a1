// Size options + .npy files -> consistent sizes and the three input tensors, loaded or generated.
#pragma once

#include <array>
#include <cstdint>
#include <memory>

#include "command_line/options.h"
#include "data/array.h"
#include "data/ragged.h"
#include "flexjit/attention.h"

namespace flexjit::tools {

struct Sizes {
  std::int64_t batch = 0, heads = 0, kv_heads = 0, q_len = 0, kv_len = 0, head_dim = 0, v_head_dim = 0;
};

// With sequences of their own lengths, `sizes` are how many these are and the longest lengths; the tensors are as those say.
struct Problem {
  Sizes sizes;
  std::shared_ptr<const Ragged> ragged;  // null: every batch entry is a sequence of q_len and kv_len
  Layout layout = Layout::kBhsd;
  Array q, k, v;             // in `layout`
  Array sinks;               // (heads); no shape: none
  Array k_scales, v_scales;  // of quantised k and v, (batch, kv_heads, kv_len, groups); no shape: 1
  DTypeOptions dtypes;
  DType out_dtype = DType::kF32;
  Weights weights = Weights::kSoftmax;  // only these have an lse

  Array make_output() const;  // zeros, in `layout`
  Array make_lse() const;     // fp32, (batch, heads, q_len)

  // (query, key) pairs of one head, of all sequences; the keys of all.
  double pairs() const;
  std::int64_t keys() const;
};

// What the options say, and the defaults where they are silent.
Sizes sizes_without_files(const SizeOptions& options);

// The (batch, heads, length, dim) view of an array in `layout`.
TensorView view_of(const Array& array, Layout layout);
MutableTensorView mutable_view_of(Array& array, Layout layout);
// The (batch, heads, q_len) view of an array of that shape.
MutableTensorView mutable_lse_view(Array& array);

// The arguments of a run on these tensors, which must outlive it; no block mask. `out` and `lse` are in the problem's layout.
struct Outputs {
  Array out, lse;
};
RunArgs arguments_of(const Problem& problem, Outputs& outputs, const Bindings& bindings);

// The sizes that lengths say.
Sizes with_lengths(Sizes sizes, const std::vector<SequenceLengths>& lengths);

// Lengths and counts, with the default block sizes.
BlockMaskOptions mask_options_of(const Sizes& sizes);

// What the options and sizes say of a pattern besides its text.
void apply_options(const RunOptions& options, const Sizes& sizes, AttentionSpec& spec);

// Files are converted to the element types of the options. Where --dtype is not given, a file of bf16 or f16 queries says what
// runs, and keys and values of one of them beside f32 queries stay as they are.
// Keys and values of floats become quantised ones with the scales of their files; without these, i8 with a scale a token and
// head, e4m3 and e5m2 with one a head, or each with one a group of dims. Files of i8, or u8 for e4m3 and e5m2, are taken as
// they are. Errors: those of read_npy, and `size-conflict` for two sources that disagree about a size, naming both.
Result<Problem> make_problem(const RunOptions& options);

// Zeros, without a file. Errors: those of Ragged::make().
Result<Problem> make_zero_problem(const RunOptions& options);

// `missing-input` for each of q, k, v and the sinks that no file gives although other inputs come from files (see Unbound).
Diagnostics forgotten_inputs(const RunOptions& options);
// For bind_names.
Inputs inputs_of(const RunOptions& options);

}  // namespace flexjit::tools
