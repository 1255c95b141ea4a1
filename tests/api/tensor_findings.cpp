// What can be wrong with q, k, v, out and lse.
#include <algorithm>
#include <limits>

#include "finding_cases.h"

namespace flexjit::test {

namespace {

template <typename Pointer>
Pointer one_byte_further(Pointer data) {
  return static_cast<char*>(const_cast<void*>(static_cast<const void*>(data))) + 1;
}

std::vector<FindingCase> layout_cases() {
  return {
      broken("inner-stride",
             "run: error: q has stride 2 in its last dimension; it must be 1, so copy the tensor into a contiguous one\n",
             [](Sample& s) { s.args.q.strides[3] = 2; }),
      broken("inner-stride",
             "run: error: out has stride 200 in its last dimension; it must be 1, so copy the tensor into a contiguous one\n",
             [](Sample& s) { s.args.out.strides[3] = 200; }),
      broken("null-data", "run: error: v has no data; only a tensor with an extent of 0 may be null\n",
             [](Sample& s) { s.args.v.data = nullptr; }),
      broken("misaligned-data", "run: error: k starts at an address that is not a multiple of 4 bytes, the size of f32\n",
             [](Sample& s) { s.args.k.data = one_byte_further(s.args.k.data); }),
      broken("misaligned-data", "run: error: lse starts at an address that is not a multiple of 4 bytes, the size of f32\n",
             [](Sample& s) { s.args.lse.data = one_byte_further(s.args.lse.data); }),
      broken("overlapping-rows",
             "run: error: the elements of out overlap in memory (an expanded or too small stride); results need a place of "
             "their own\n",
             [](Sample& s) { s.args.out.strides[0] = 0; }),
      broken("overlapping-rows",
             "run: error: the elements of lse overlap in memory (an expanded or too small stride); results need a place of "
             "their own\n",
             [](Sample& s) { s.args.lse.strides[1] = 2; }),
  };
}

// Results where something else lies. Of views that take turns in one array no element is shared.
std::vector<FindingCase> place_cases() {
  return {
      broken("shared-memory", "run: error: k and out have memory in common; out is written and needs a place of its own\n",
             [](Sample& s) {
               const std::size_t last = s.k.size() - 1;
               s.k.resize(last + s.out.size());
               s.args.k.data = s.k.data();
               s.args.out.data = s.k.data() + last;
             }),
      broken("shared-memory", "run: error: out and lse have memory in common; lse is written and needs a place of its own\n",
             [](Sample& s) { s.args.lse.data = s.out.data() + 7; }),
      broken("shared-memory",
             "run: error: buffer `slope` and out have memory in common; out is written and needs a place of its own\n",
             [](Sample& s) {
               s.spec.score_mod = "score + slope[h]";
               s.spec.buffers = {{"slope", DType::kF32, 1}};
               s.bindings.buffers["slope"] = TensorView(s.out.data() + 3, DType::kF32, {4});
             }),
  };
}

// The sample with keys of i8 and scales, before `breakage`.
FindingCase broken_scales(std::string kind, std::string expected, std::function<void(Sample&)> breakage) {
  return broken(std::move(kind), std::move(expected), [breakage = std::move(breakage)](Sample& s) {
    s.spec.kv_dtype = s.args.k.dtype = s.args.v.dtype = DType::kI8;
    std::ranges::fill(s.q, 0.5F);
    s.args.k_scales = s.args.v_scales = TensorView(s.q.data(), DType::kF32, {2, 2, 5, 1});
    breakage(s);
  });
}

std::vector<FindingCase> scale_cases() {
  return {
      broken("no-scales", "run: error: k_scales is given, but keys of f32 have none; leave it empty, or use i8, e4m3 or e5m2\n",
             [](Sample& s) { s.args.k_scales = TensorView(s.q.data(), DType::kF32, {1, 1, 1, 1}); }),
      broken_scales("scale-shape", "run: error: v_scales has 3 kv_heads; it must be 1 or 2\n",
                    [](Sample& s) { s.args.v_scales.shape[1] = 3; }),
      broken_scales("scale-shape", "run: error: k_scales has 2 groups of dims; it must be 1\n",
                    [](Sample& s) { s.args.k_scales.shape[3] = 2; }),
      broken_scales("tensor-rank", "run: error: k_scales has 2 dimensions; it must have 4: (batch, kv_heads, kv_len, groups)\n",
                    [](Sample& s) { s.args.k_scales.rank = 2; }),
      broken_scales("tensor-dtype", "run: error: v_scales is f16; this pattern takes f32\n",
                    [](Sample& s) { s.args.v_scales.dtype = DType::kF16; }),
      broken_scales("bad-scale", "run: error: k_scales has a scale of 0 at (0, 1, 2, 0); scales are positive and finite\n",
                    [](Sample& s) {
                      s.args.v_scales = {};
                      s.q[7] = 0;
                    }),
      broken_scales("bad-scale", "run: error: k_scales has a scale of nan at (0, 0, 0, 0); scales are positive and finite\n",
                    [](Sample& s) {
                      s.args.v_scales = {};
                      s.q[0] = std::numeric_limits<float>::quiet_NaN();
                    }),
      broken("bad-option", "compile: error: kv_scale_dims is 32; keys of this kv_dtype have no scales, so leave it at 0\n",
             [](Sample& s) { s.spec.kv_scale_dims = 32; }),
      broken_scales("bad-option", "compile: error: kv_scale_dims is 8; give 32, 64 or 128, or 0 for all dims of a row\n",
                    [](Sample& s) { s.spec.kv_scale_dims = 8; }),
      broken_scales("bad-option", "compile: error: kv_scale_dims is 32; it must divide head_dim 8 and v_head_dim 4\n",
                    [](Sample& s) { s.spec.kv_scale_dims = 32; }),
  };
}

// Merges two states of 2 x 4 x 3 rows of 4 dims, as `breakage` left them.
FindingCase broken_merge(std::string kind, std::string expected,
                         std::function<void(Sample&, std::vector<AttentionState>&)> breakage) {
  return {std::move(kind), std::move(expected), [breakage = std::move(breakage)] {
            Sample sample;
            const AttentionState state{TensorView(sample.out.data(), DType::kF32, {2, 4, 3, 4}),
                                       TensorView(sample.lse.data(), DType::kF32, {2, 4, 3})};
            std::vector<AttentionState> states{state, state};
            breakage(sample, states);
            const Status merged = merge_states({.states = states, .out = sample.args.out, .lse = sample.args.lse});
            return merged ? Diagnostics{} : merged.diagnostics();
          }};
}

std::vector<FindingCase> merge_cases() {
  return {
      broken_merge("no-state", "merge_states: error: no state is given; merge at least one\n",
                   [](Sample&, std::vector<AttentionState>& states) { states.clear(); }),
      broken_merge("state-dtype", "merge_states: error: states[1].v is i8; it must be f32, bf16, f16 or f64\n",
                   [](Sample&, std::vector<AttentionState>& states) { states[1].v.dtype = DType::kI8; }),
      broken_merge("state-dtype", "merge_states: error: lse is bf16; it must be f32\n",
                   [](Sample& s, std::vector<AttentionState>&) { s.args.lse.dtype = DType::kBF16; }),
      broken_merge("tensor-shape", "merge_states: error: states[1].lse has q_len 2, but states[0].v has 3\n",
                   [](Sample&, std::vector<AttentionState>& states) { states[1].lse.shape[2] = 2; }),
      broken_merge("tensor-rank",
                   "merge_states: error: out has 3 dimensions; it must have 4: (batch, heads, q_len, v_head_dim)\n",
                   [](Sample& s, std::vector<AttentionState>&) { s.args.out.rank = 3; }),
      broken_merge("shared-memory",
                   "merge_states: error: states[1].v and out have memory in common; out is written and needs a place of its "
                   "own\n",
                   [](Sample& s, std::vector<AttentionState>& states) {
                     s.out.resize(2 * s.out.size());
                     s.args.out.data = s.out.data();
                     states[0].v.data = s.out.data();  // one of the two is where the result goes
                     states[1].v.data = s.out.data() + 1;
                   }),
      broken_merge(
          "inner-stride",
          "merge_states: error: states[0].v has stride 2 in its last dimension; it must be 1, so copy the tensor into a "
          "contiguous one\n",
          [](Sample&, std::vector<AttentionState>& states) { states[0].v.strides[3] = 2; }),
  };
}

}  // namespace

std::vector<FindingCase> tensor_cases() {
  std::vector<FindingCase> cases = {
      broken("tensor-dtype", "run: error: q is f64; this pattern takes f32\n", [](Sample& s) { s.args.q.dtype = DType::kF64; }),
      broken("tensor-dtype", "run: error: lse is f16; this pattern takes f32\n",
             [](Sample& s) { s.args.lse.dtype = DType::kF16; }),
      broken("tensor-dtype", "run: error: k is f32; this pattern takes bf16\n",
             [](Sample& s) {
               s.spec.kv_dtype = DType::kBF16;
               s.args.v.dtype = DType::kBF16;
             }),
      broken("tensor-dtype", "run: error: max_scores is f64; this pattern takes f32\n",
             [](Sample& s) { s.args.max_scores = MutableTensorView(s.q.data(), DType::kF64, {2, 4, 3}); }),
      broken("unsupported-dtype", "run: error: sinks is i32; it must be f32, bf16 or f16\n",
             [](Sample& s) { s.args.sinks = TensorView(s.k.data(), DType::kI32, {4}); }),
      broken("tensor-shape", "run: error: sinks has q_heads 2, but q has 4\n",
             [](Sample& s) { s.args.sinks = TensorView(s.k.data(), DType::kF16, {2}); }),
      broken("tensor-rank", "run: error: sinks has 2 dimensions; it must have 1: (q_heads)\n",
             [](Sample& s) { s.args.sinks = TensorView(s.k.data(), DType::kF32, {2, 4}); }),
      broken("no-softmax", "run: error: lse is given, but sigmoid weights have none; leave it empty or use softmax weights\n",
             [](Sample& s) { s.spec.weights = Weights::kSigmoid; }),
      broken("no-softmax", "run: error: sinks is given, but sigmoid weights have none; leave it empty or use softmax weights\n",
             [](Sample& s) {
               s.spec.weights = Weights::kSigmoid;
               s.args.lse = {};
               s.args.sinks = TensorView(s.k.data(), DType::kF32, {4});
             }),
      broken("not-linear", "run: error: rotary is not there for linear weights; rotate queries before the call, as keys are\n",
             [](Sample& s) {
               static const Rotary none;
               s.spec.weights = Weights::kLinear;
               s.args.lse = {};
               s.args.rotary = &none;
             }),
      broken("tensor-rank", "run: error: k has 3 dimensions; it must have 4: (batch, kv_heads, kv_len, head_dim)\n",
             [](Sample& s) { s.args.k.rank = 3; }),
      broken("tensor-rank", "run: error: lse has 9 dimensions; it must have 3: (batch, q_heads, q_len)\n",
             [](Sample& s) { s.args.lse.rank = 9; }),
      broken("tensor-shape", "run: error: k has head_dim 7, but the pattern has 8\n", [](Sample& s) { s.args.k.shape[3] = 7; }),
      broken("tensor-shape", "run: error: v has batch 1, but q has 2\n", [](Sample& s) { s.args.v.shape[0] = 1; }),
      broken("tensor-shape", "run: error: v has kv_len 6, but k has 5\n", [](Sample& s) { s.args.v.shape[2] = 6; }),
      broken("tensor-shape", "run: error: v has kv_heads 4, but k has 2\n", [](Sample& s) { s.args.v.shape[1] = 4; }),
      broken("tensor-shape", "run: error: out has v_head_dim 8, but the pattern has 4\n",
             [](Sample& s) { s.args.out = MutableTensorView(s.q.data(), DType::kF32, {2, 4, 3, 8}); }),
      broken("tensor-shape", "run: error: out has q_len 2, but q has 3\n", [](Sample& s) { s.args.out.shape[2] = 2; }),
      broken("tensor-shape", "run: error: lse has q_heads 2, but q has 4\n", [](Sample& s) { s.args.lse.shape[1] = 2; }),
      broken("negative-extent", "run: error: q has extent -1 in dimension 3; extents are 0 or more\n",
             [](Sample& s) { s.args.q.shape[3] = -1; }),
      broken("head-groups", "run: error: q has 4 heads, which is not a multiple of the 3 heads of k and v\n",
             [](Sample& s) { s.args.k.shape[1] = s.args.v.shape[1] = 3; }),
      broken("head-groups", "run: error: q has 4 heads, which is not a multiple of the 0 heads of k and v\n",
             [](Sample& s) { s.args.k.shape[1] = s.args.v.shape[1] = 0; }),
      broken("reach",
             "run: error: the elements of k lie more than 72057594037927936 bytes apart; its strides cannot be right\n",
             [](Sample& s) { s.args.k.strides[0] = std::int64_t{1} << 55; }),
      // Every size that does not fit is seen, whatever a product of them wraps to.
      broken("reach",
             "run: error: the elements of k lie more than 72057594037927936 bytes apart; its strides cannot be right\n",
             [](Sample& s) { s.args.k.strides = {std::numeric_limits<std::int64_t>::min(), 1 << 20, 8, 1}; }),
  };
  for (FindingCase& one : scale_cases()) cases.push_back(std::move(one));
  for (FindingCase& one : layout_cases()) cases.push_back(std::move(one));
  for (FindingCase& one : place_cases()) cases.push_back(std::move(one));
  for (FindingCase& one : merge_cases()) cases.push_back(std::move(one));
  return cases;
}

}  // namespace flexjit::test
