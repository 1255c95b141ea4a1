// What can be wrong with the gradients of a backward pass.
#include <utility>

#include "finding_cases.h"

namespace flexjit::test {

namespace {

// The sample with a captured buffer of each kind, and every gradient that it can have.
struct BackwardSample : Sample {
  BackwardSample() : slope(4, 0.5F), bias(3 * 5, 0.25F), weight(4), group(5), sinks(4) {
    spec.program =
        "buffer slope : f32[num_heads]\n"
        "buffer bias : f32[q_len, kv_len]\n"
        "buffer weight : f32[num_heads]\n"
        "buffer group : i32[kv_len]\n"
        "score = score + slope[h] * bias[q_idx, kv_idx]\n"
        "mask = weight[h] >= 0 && group[kv_idx] == 0\n";
    bindings.buffers["slope"] = TensorView(slope.data(), DType::kF32, {4});
    bindings.buffers["bias"] = TensorView(bias.data(), DType::kF32, {3, 5});
    bindings.buffers["weight"] = TensorView(weight.data(), DType::kF32, {4});
    bindings.buffers["group"] = TensorView(group.data(), DType::kI32, {5});
    gradients = {.out = args.out,
                 .lse = args.lse,
                 .q = MutableTensorView(dq.data(), DType::kF32, {2, 4, 3, 8}),
                 .k = MutableTensorView(dk.data(), DType::kF32, {2, 2, 5, 8}),
                 .v = MutableTensorView(dv.data(), DType::kF32, {2, 2, 5, 4}),
                 .sinks = {},
                 .buffers = {{"slope", MutableTensorView(d_slope.data(), DType::kF32, {4})},
                             {"bias", MutableTensorView(d_bias.data(), DType::kF32, {3, 5})}}};
  }

  std::vector<float> slope, bias, weight;
  std::vector<std::int32_t> group;
  std::vector<float> sinks;
  std::vector<float> dq = q, dk = k, dv = v, d_slope = slope, d_bias = bias, d_sinks = sinks;
  Gradients gradients;
};

Diagnostics diagnostics_of_backward(const BackwardSample& sample) {
  Engine engine(sample.options);
  const Attention attention = engine.compile(sample.spec).value();
  return run_backward(attention, sample.args, sample.gradients).diagnostics();
}

FindingCase broken_backward(std::string kind, const std::string& expected, std::function<void(BackwardSample&)> breakage) {
  return {std::move(kind), "run_backward: error: " + expected + "\n", [breakage = std::move(breakage)] {
            BackwardSample sample;
            breakage(sample);
            return diagnostics_of_backward(sample);
          }};
}

std::vector<FindingCase> given_cases() {
  return {
      broken_backward("missing-lse",
                      "lse of the forward call has no data; give run() an lse to write, and keep it for the backward pass",
                      [](BackwardSample& s) { s.args.lse.data = nullptr; }),
      broken_backward("unsupported-dtype", "gradients.out is bf16; it must be f32",
                      [](BackwardSample& s) { s.gradients.out.dtype = DType::kBF16; }),
      broken_backward("tensor-shape", "gradients.out has v_head_dim 8, but out has 4",
                      [](BackwardSample& s) { s.gradients.out.shape[3] = 8; }),
      broken_backward("tensor-rank", "gradients.out has 2 dimensions; it must have 4: (batch, q_heads, q_len, v_head_dim)",
                      [](BackwardSample& s) { s.gradients.out.rank = 2; }),
      broken_backward(
          "inner-stride",
          "gradients.out has stride 0 in its last dimension; it must be 1, so copy the tensor into a contiguous one",
          [](BackwardSample& s) { s.gradients.out.strides[3] = 0; }),
      broken_backward("tensor-shape", "gradients.lse has q_len 2, but lse has 3",
                      [](BackwardSample& s) { s.gradients.lse.shape[2] = 2; }),
      broken_backward("unsupported-dtype", "gradients.lse is f64; it must be f32",
                      [](BackwardSample& s) { s.gradients.lse.dtype = DType::kF64; }),
      broken_backward("no-softmax",
                      "gradients.lse is given, but sigmoid weights have none; leave it empty or use softmax weights",
                      [](BackwardSample& s) {
                        s.spec.weights = Weights::kSigmoid;
                        s.args.lse = {};
                      }),
      broken_backward("tensor-shape", "k has head_dim 7, but the pattern has 8",
                      [](BackwardSample& s) { s.args.k.shape[3] = s.gradients.k.shape[3] = 7; }),
  };
}

// Gradients where something lies that the pass reads.
std::vector<FindingCase> gradient_place_cases() {
  return {
      broken_backward(
          "shared-memory",
          "gradients.out and gradients.q have memory in common; gradients.q is written and needs a place of its own",
          [](BackwardSample& s) { s.gradients.out = TensorView(s.dq.data(), DType::kF32, {2, 4, 3, 4}); }),
      broken_backward("shared-memory",
                      "k and gradients.k have memory in common; gradients.k is written and needs a place of its own",
                      [](BackwardSample& s) { s.gradients.k.data = s.k.data(); }),
      broken_backward(
          "shared-memory",
          "buffer `slope` and the gradient of buffer `slope` have memory in common; the gradient of buffer `slope` is "
          "written and needs a place of its own",
          [](BackwardSample& s) { s.gradients.buffers["slope"].data = s.slope.data(); }),
  };
}

std::vector<FindingCase> wanted_cases() {
  return {
      broken_backward("tensor-shape", "gradients.k has kv_heads 1, but k has 2",
                      [](BackwardSample& s) { s.gradients.k.shape[1] = 1; }),
      broken_backward("tensor-rank", "gradients.v has 3 dimensions; it must have 4: (batch, kv_heads, kv_len, v_head_dim)",
                      [](BackwardSample& s) { s.gradients.v.rank = 3; }),
      broken_backward("unsupported-dtype", "gradients.k is f16; it must be bf16 or f32",
                      [](BackwardSample& s) {
                        s.spec.kv_dtype = s.args.k.dtype = s.args.v.dtype = DType::kBF16;
                        s.gradients.k.dtype = DType::kF16;
                      }),
      broken_backward("inner-stride",
                      "gradients.q has stride 2 in its last dimension; it must be 1, so copy the tensor into a contiguous one",
                      [](BackwardSample& s) { s.gradients.q.strides = {192, 48, 16, 2}; }),
      broken_backward(
          "overlapping-rows",
          "the elements of gradients.q overlap in memory (an expanded or too small stride); results need a place of "
          "their own",
          [](BackwardSample& s) { s.gradients.q.strides[0] = 0; }),
      broken_backward(
          "no-gradient",
          "a gradient is wanted, but k and v are quantised to i8; take it of a pattern whose kv_dtype is a float of "
          "16 bits or more",
          [](BackwardSample& s) { s.spec.kv_dtype = s.args.k.dtype = s.args.v.dtype = DType::kI8; }),
      broken_backward("no-gradient", "gradients.sinks is wanted, but the call has no sinks",
                      [](BackwardSample& s) { s.gradients.sinks = MutableTensorView(s.d_sinks.data(), DType::kF32, {4}); }),
      broken_backward("tensor-shape", "gradients.sinks has q_heads 3, but sinks has 4",
                      [](BackwardSample& s) {
                        s.args.sinks = TensorView(s.sinks.data(), DType::kF32, {4});
                        s.gradients.sinks = MutableTensorView(s.d_sinks.data(), DType::kF32, {3});
                      }),
      broken_backward("no-softmax",
                      "gradients.sinks is given, but sigmoid weights have none; leave it empty or use softmax weights",
                      [](BackwardSample& s) {
                        s.spec.weights = Weights::kSigmoid;
                        s.args.lse = {};
                        s.gradients.lse = {};
                        s.gradients.sinks = MutableTensorView(s.d_sinks.data(), DType::kF32, {4});
                      }),
  };
}

// Keys that two sequences may share.
std::vector<FindingCase> shared_key_cases() {
  static const std::int32_t numbers[] = {0, 1, 1};
  static Sequences sequences;
  const auto refused = [](const std::string& name, std::function<void()> give) {
    return broken_backward("sequence-option",
                           name +
                               " is given, but a backward pass needs keys that belong to one sequence each; pack them "
                               "(cu_seqlens_k), or give each sequence its own batch entry of k and v",
                           [give = std::move(give)](BackwardSample& s) {
                             sequences = {};
                             give();
                             s.args.sequences = &sequences;
                           });
  };
  return {refused("cache_batch_idx", [] { sequences.cache_batch_idx = TensorView(numbers, DType::kI32, {2}); }),
          refused("block_table",
                  [] {
                    sequences.block_table = TensorView(numbers, DType::kI32, {2, 1});
                    sequences.total_len = TensorView(numbers + 1, DType::kI32, {2});
                  }),
          refused("page_indptr", [] {
            sequences.page_indptr = TensorView(numbers, DType::kI32, {3});
            sequences.page_indices = TensorView(numbers, DType::kI32, {1});
            sequences.total_len = TensorView(numbers, DType::kI32, {2});
            sequences.total_len.strides[0] = 0;  // the second has no page
          })};
}

std::vector<FindingCase> buffer_cases() {
  return {
      broken_backward("unknown-binding", "the pattern has no buffer `slop`; did you mean `slope`?",
                      [](BackwardSample& s) { s.gradients.buffers["slop"] = s.gradients.buffers["slope"]; }),
      broken_backward(
          "no-gradient", "the gradient of buffer `group` is wanted, but its elements are i32, and only floats have one",
          [](BackwardSample& s) { s.gradients.buffers["group"] = MutableTensorView(s.d_bias.data(), DType::kF32, {5}); }),
      broken_backward("no-gradient",
                      "the gradient of buffer `weight` is wanted, but the mask alone reads it, and a mask has none",
                      [](BackwardSample& s) { s.gradients.buffers["weight"] = s.gradients.buffers["slope"]; }),
      broken_backward("tensor-shape", "the gradient of buffer `bias` has dimension 1 of extent 4, but buffer `bias` has 5",
                      [](BackwardSample& s) { s.gradients.buffers["bias"].shape[1] = 4; }),
      broken_backward("tensor-rank", "the gradient of buffer `bias` has 1 dimensions; it must have 2: as many as what is bound",
                      [](BackwardSample& s) { s.gradients.buffers["bias"].rank = 1; }),
      broken_backward("unsupported-dtype", "the gradient of buffer `slope` is f64; it must be f32",
                      [](BackwardSample& s) { s.gradients.buffers["slope"].dtype = DType::kF64; }),
      broken_backward(
          "overlapping-rows",
          "the elements of the gradient of buffer `bias` overlap in memory (an expanded or too small stride); results "
          "need a place of their own",
          [](BackwardSample& s) { s.gradients.buffers["bias"].strides[0] = 0; }),
      {"empty-handle",
       "run_backward: error: the attention is empty, made by its default constructor or moved from; assign one that "
       "Engine::compile() gave\n",
       [] { return run_backward(Attention(), {}, {}).diagnostics(); }},
  };
}

}  // namespace

std::vector<FindingCase> gradient_cases() {
  std::vector<FindingCase> cases = given_cases();
  for (FindingCase& one : gradient_place_cases()) cases.push_back(std::move(one));
  for (FindingCase& one : wanted_cases()) cases.push_back(std::move(one));
  for (FindingCase& one : shared_key_cases()) cases.push_back(std::move(one));
  for (FindingCase& one : buffer_cases()) cases.push_back(std::move(one));
  return cases;
}

}  // namespace flexjit::test
