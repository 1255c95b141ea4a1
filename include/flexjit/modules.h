// Attentions as modules of a network: what they learn, drawn or given, and the call, for who has no framework around them.
// Tensors are f32; results are dense vectors in the order of what is described.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "flexjit/attention.h"
#include "flexjit/backward.h"
#include "flexjit/engine.h"
#include "flexjit/export.h"
#include "flexjit/projected_keys.h"
#include "flexjit/result.h"
#include "flexjit/variants.h"

namespace flexjit {

// y = x W^T + bias over rows. Drawn uniformly from +-1 / sqrt(inputs); both may be replaced by others of their sizes.
struct LinearLayer {
  std::int32_t inputs = 0, outputs = 0;
  std::vector<float> weight{};  // (outputs, inputs)
  std::vector<float> bias{};    // (outputs), or empty
};

struct FlexAttentionOptions {
  std::int32_t hidden_size = 768;
  std::int32_t num_heads = 12;
  std::int32_t num_kv_heads = 0;  // a divisor of num_heads; 0: num_heads
  std::int32_t head_dim = 0;      // 0: hidden_size / num_heads
  double dropout = 0;             // of weights, where FlexAttentionCall::training is true
  bool use_bias = false;
  std::uint64_t seed = 0;      // of the weights
  std::string default_mask{};  // where a call has no mask of any kind
};

// Any of them, as AttentionSpec and RunArgs have them; `bindings` declare the names that texts read.
struct FlexAttentionCall {
  std::string score_mod{}, mask_mod{};
  const BlockMask* block_mask = nullptr;
  const Bindings* bindings = nullptr;  // with dropout_seed and dropout_offset, to drop other weights than the calls before
  bool training = false;
};

// Of a loss, by what went into a call: x, of its shape, and every layer, in layers of their sizes.
struct FlexAttentionGradients {
  std::vector<float> x;
  LinearLayer q_proj, k_proj, v_proj, o_proj;
};

// Attention between four projections (FlexAttention for MLX): x (batch, length, hidden_size) to the same shape, scale 1 /
// sqrt(head_dim). Handles of `engine`, which must outlive it. Calls may come from several threads while nobody changes weights.
class FLEXJIT_API FlexAttention {
 public:
  // Errors: `bad-option`.
  static Result<FlexAttention> create(const FlexAttentionOptions& options, Engine& engine = default_engine());

  LinearLayer q_proj, k_proj, v_proj;  // hidden_size to num_heads * head_dim, and twice to num_kv_heads * head_dim
  LinearLayer o_proj;                  // num_heads * head_dim to hidden_size

  const FlexAttentionOptions& options() const noexcept { return options_; }

  // Errors: x of another shape or type; `bad-option` where a layer was given a weight of another size; those of
  // Engine::compile() and Attention::run().
  Result<std::vector<float>> operator()(const TensorView& x, const FlexAttentionCall& call = {}) const;

  // From the gradient of a loss by the result of such a call, of its shape; the call is computed once more. `buffers` are
  // wanted, as Gradients has them. Errors: those of the call and of run_backward().
  Result<FlexAttentionGradients> backward(const TensorView& x, const TensorView& d_result, const FlexAttentionCall& call = {},
                                          const std::map<std::string, MutableTensorView, std::less<>>& buffers = {}) const;

 private:
  FlexAttention(const FlexAttentionOptions& options, Engine& engine) : options_(options), engine_(&engine) {}
  FlexAttentionOptions options_;
  Engine* engine_;
};

// Of a loss, by what went into a call of one of the modules below: q, k and v, dense, and e and f of a LinformerAttention.
struct AttentionGradients {
  std::vector<float> q, k, v, e, f;
};

// The modules of FlexAttention-Examples, of q, k and v (batch, n_heads, length, dim / n_heads), to the same shape. Members may
// be replaced by others of their sizes. backward() is from the gradient of a loss by the result, dense or with strides, and
// computes the call once more. Errors of create(): `bad-option`; of calls: lengths and heads that are not the module's, those
// of Attention::run() and run_backward().
class FLEXJIT_API LinformerAttention {
 public:
  struct Options {
    std::int32_t dim = 512, n_heads = 8, seq_len = 1024, proj_len = 128;
    bool shared_proj = true;  // one matrix for keys and values
    std::uint64_t seed = 0;
  };
  static Result<LinformerAttention> create(const Options& options);
  Result<std::vector<float>> operator()(const TensorView& q, const TensorView& k, const TensorView& v) const;
  Result<AttentionGradients> backward(const TensorView& q, const TensorView& k, const TensorView& v,
                                      const TensorView& d_result) const;

  std::vector<float> e, f;  // (seq_len, proj_len), normal numbers; f is empty where shared_proj

 private:
  LinformerAttention(const Options& options, Attention attention) : options_(options), attention_(std::move(attention)) {}
  Options options_;
  Attention attention_;
};

class FLEXJIT_API PerformerAttention {
 public:
  enum class Features : std::uint8_t {
    kExpClamp,    // exp(clamp(W x / sqrt(head_dim), -10, 10)), W of independent normal numbers: the map of the examples
    kOrthogonal,  // FAVOR+, W with orthogonal rows, whose products estimate those of softmax
  };
  struct Options {
    std::int32_t dim = 512, n_heads = 8, feature_dim = 64;
    Features features = Features::kExpClamp;
    bool causal = false;
    std::uint64_t seed = 0;
  };
  static Result<PerformerAttention> create(const Options& options);
  Result<std::vector<float>> operator()(const TensorView& q, const TensorView& k, const TensorView& v) const;
  Result<AttentionGradients> backward(const TensorView& q, const TensorView& k, const TensorView& v,
                                      const TensorView& d_result) const;

  std::vector<float> w;  // (feature_dim, dim / n_heads)

 private:
  Result<RunStats> run(RunArgs args, const Gradients* gradients) const;
  PerformerAttention(const Options& options, Attention attention) : options_(options), attention_(std::move(attention)) {}
  Options options_;
  Attention attention_;
};

class FLEXJIT_API LongformerAttention {
 public:
  struct Options {
    std::int32_t window_size = 256;                // keys on each side
    std::vector<std::int32_t> global_positions{};  // which see all and are seen by all; those behind the end do nothing
    std::int32_t head_dim = 64;
  };
  static Result<LongformerAttention> create(const Options& options);
  Result<std::vector<float>> operator()(const TensorView& q, const TensorView& k, const TensorView& v) const;
  Result<AttentionGradients> backward(const TensorView& q, const TensorView& k, const TensorView& v,
                                      const TensorView& d_result) const;

 private:
  Result<RunStats> run(RunArgs args, const Gradients* gradients) const;
  LongformerAttention(Options options, Attention attention) : options_(std::move(options)), attention_(std::move(attention)) {}
  Options options_;
  Attention attention_;
};

class FLEXJIT_API SwinAttention {
 public:
  struct Options {
    std::int32_t dim = 96, n_heads = 8, height = 56, width = 56, window_size = 7, shift_size = 0;
    // As FlexAttention-Examples has it: rows are of the image rolled by -shift_size, which nothing rolls back, and opposite
    // borders meet. Else Swin's.
    bool rolled = false;
  };
  static Result<SwinAttention> create(const Options& options);
  Result<std::vector<float>> operator()(const TensorView& q, const TensorView& k, const TensorView& v) const;
  Result<AttentionGradients> backward(const TensorView& q, const TensorView& k, const TensorView& v,
                                      const TensorView& d_result) const;

 private:
  Result<RunStats> run(RunArgs args, const Gradients* gradients) const;
  SwinAttention(const Options& options, Attention attention) : options_(options), attention_(std::move(attention)) {}
  Options options_;
  Attention attention_;
};

class FLEXJIT_API NeighborhoodAttention {
 public:
  struct Options {
    std::int32_t dim = 96, n_heads = 8, height = 56, width = 56, radius = 2;  // a window of 2 radius + 1, clipped at borders
  };
  static Result<NeighborhoodAttention> create(const Options& options);
  Result<std::vector<float>> operator()(const TensorView& q, const TensorView& k, const TensorView& v) const;
  Result<AttentionGradients> backward(const TensorView& q, const TensorView& k, const TensorView& v,
                                      const TensorView& d_result) const;

 private:
  Result<RunStats> run(const RunArgs& args, const Gradients* gradients) const;
  NeighborhoodAttention(const Options& options, Attention attention) : options_(options), attention_(std::move(attention)) {}
  Options options_;
  Attention attention_;
};

}  // namespace flexjit
