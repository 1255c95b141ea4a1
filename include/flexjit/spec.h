// What to compute: the text of a score and a mask, types, head dimensions and the flags that stand for common texts.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "flexjit/bindings.h"
#include "flexjit/export.h"
#include "flexjit/result.h"
#include "flexjit/tensor.h"

namespace flexjit {

// Keys around the diagonal that ends in the bottom-right corner: diagonal - left to diagonal + right, both inclusive, where
// diagonal = q_idx + kv_len - q_len, or q_idx + min(key_lengths[b], kv_len) - q_len beside key_lengths. -1: unbounded on that
// side.
struct Window {
  std::int32_t left = -1;
  std::int32_t right = -1;
  bool operator==(const Window&) const = default;
};

// The last dimensions of (batch, q_heads, q_len, kv_len). A mask that is the same for all batch entries and heads is best
// declared with rank 2: its blocks are then classified once.
struct MaskTensor {
  DType dtype = DType::kF32;  // f32, bf16 or f16: added to the score, -inf masks; bool: false masks
  int rank = 4;               // 2 to 4
  bool operator==(const MaskTensor&) const = default;
};

// Which weights dropout drops is decided by u = 2^-32 x, x an unsigned random number of 32 bits rounded to fp32: where u < p. x
// depends on the position, two numbers of the call and nothing else, so that the same weights are dropped whatever the sizes,
// layouts, threads and machine, and by the backward pass. b, h and positions are those that a pattern sees.
enum class DropoutGenerator : std::uint8_t {
  kPhilox,   // word 0 of Philox4x32-7 of the counter (q_idx, kv_idx, b, h) and the key (dropout_seed, dropout_offset)
  kPhilox4,  // word kv_idx % 4 of that of the counter (q_idx, kv_idx / 4, b, h): other weights, at a third of the cost
};

// Weights are dropped with probability p after they have been normalised, the others divided by 1 - p; lse and max_scores do
// not know it. Params of a call: dropout_p, with p where it binds none, and the ints dropout_seed and dropout_offset, which are
// 0x1BF58 and 0x1D4B49 where it binds none; none of them recompiles anything. Calls that should drop other weights than those
// before need another seed or offset, forward and backward of one step the same.
struct Dropout {
  double p = 0;  // 0..1; 1 drops all
  DropoutGenerator generator = DropoutGenerator::kPhilox;
};

// What turns scores into weights. Sigmoid weights are not normalised: O = sigmoid(S) V. They have no lse, no max_scores and no
// sinks; their bias is part of score_mod, as in "score - log(float(kv_len))". Linear weights are those of LinearWeights: no
// scores, in time that is linear in the lengths.
enum class Weights : std::uint8_t { kSoftmax, kSigmoid, kLinear };

// w_ij = phi(q_i) . phi(k_j) * g_(j+1) * ... * g_(i+c), where phi is the feature map, g the gate and i + c the last key that
// query i sees; out_i = sum_j w_ij v_j / max(sum_j w_ij, eps), or without the division. They have no score_mod, dropout, lse,
// max_scores or sinks. Masks are causal (in any words that compare kv_idx with q_idx plus something), of keys alone
// (key_lengths, key_mask, a text without q_idx), or both; any other mask is computed in quadratic time by the reference, with a
// warning. Choromanski et al. 2020, Katharopoulos et al. 2020, Sun et al. 2023 (retention), Yang et al. 2023 (gates).
struct LinearWeights {
  // What feature number `feature` is of a row x, a query or a key: an expression of `x`, its element of that number, or of
  // `dot(W, x)`, that of its product with a captured buffer W (features, head_dim); of `sumsq(x)`, the sum of its squares; or
  // one of the named maps:
  //   "elu1"                  elu(x) + 1
  //   "relu", "relu(eps)"     max(x, 0) + eps
  //   "identity"              x
  //   "favor(W)", "favor(W, eps)"  FAVOR+: (exp(W x~ - |x~|^2 / 2) + eps) / sqrt(features), x~ = sqrt(scale) x; eps = 1e-4
  //   "trig(W)"               sqrt(2 / features) exp(|x~|^2 / 2) (cos or sin)(W x~): W has each row twice
  //   "exp_clamp(W, low, high)"    exp(clamp(W x / sqrt(head_dim), low, high))
  // Empty: the one of `program`, else "elu1". AttentionSpec::scale is that of favor and trig alone.
  std::string feature_map{};
  std::int32_t features = 0;  // rows of W where no text declares them, 1..4096; 0: as many as it declares, without W head_dim
  // Of key kv_idx, 0..1, as in "gate[h]" or "gate[b, h, kv_idx]"; beside a causal mask alone. Empty: that of `program`, else 1.
  std::string gate{};
  bool normalised = true;
  double eps = 1e-6;  // above 0
  bool operator==(const LinearWeights&) const = default;
};

// What texts are written in: the language of docs/language.md, or C++ functions of docs/cxx.md, which libflexjit-cxx reads.
enum class TextLanguage : std::uint8_t { kFlex, kCxx };

// The pattern. Either `program` (the text of a *.flex file) or the two expression strings; leave what you do not need empty.
// S = scale * Q K^T -> softcap -> alibi -> score_mod -> attention_mask, all masks (to -inf) -> softmax -> dropout -> O = P V;
// see docs/language.md for the text and docs/api.md for the flags. The flags are texts of the language themselves, composed
// with the caller's: all masks are ANDed. Their tensors are captured buffers and their numbers params, bound by the names
// below; a text cannot declare these names when the flag is used. Dimensions of extent 1 (or stride 0) and missing leading
// dimensions of their tensors repeat.
struct AttentionSpec {
  std::string program{};
  std::string program_name = "program";      // shown in diagnostics, usually the file name
  std::string score_mod{};                   // e.g. "score + slope[h] * (kv_idx - q_idx)"
  std::string mask_mod{};                    // e.g. "q_idx >= kv_idx"
  std::vector<BufferDeclaration> buffers{};  // of the expression strings
  std::vector<ParamDeclaration> params{};    // of the expression strings
  // kCxx: `program` defines score_mod, mask_mod or both; the strings are a lambda each, whose parameters declare what buffers
  // and params declare else.
  TextLanguage language = TextLanguage::kFlex;

  DType dtype = DType::kF32;  // of q: f32, bf16, f16 or f64
  // Of k and v; default: dtype. f32 queries may have bf16 or f16 keys and values; f32, bf16 and f16 ones quantised keys and
  // values, i8, e4m3 or e5m2, whose elements stand for themselves times RunArgs::k_scales and v_scales.
  std::optional<DType> kv_dtype{};
  // Of quantised k and v, the dims of a row that share a scale: 32, 64 or 128, and a divisor of both head dims; 0: all of them.
  std::int32_t kv_scale_dims = 0;
  std::optional<DType> out_dtype{};  // default: dtype. bf16 and f16 queries may have an f32 output
  std::int32_t head_dim = 64;        // 1..1024
  std::int32_t v_head_dim = 0;       // 1..1024; 0 = head_dim
  std::optional<double> scale{};     // default 1 / sqrt(head_dim); any finite number, 0 and negatives included

  // Beside key_lengths, causal, window and alibi have min(key_lengths[b], kv_len) in the place of kv_len.
  bool causal = false;              // kv_idx <= q_idx + kv_len - q_len
  std::optional<Window> window{};   // params window_left and window_right, which have these values where a call binds none
  std::optional<double> softcap{};  // s -> c * tanh(s / c), c > 0 and finite; param softcap
  bool alibi = false;               // s -> s - alibi_slopes * |q_idx + kv_len - q_len - kv_idx|; f32 (batch, q_heads)
  bool key_lengths = false;         // keys from key_lengths[b] on are masked; i32 (batch)
  bool key_mask = false;            // keys where key_mask[b, kv_idx] is false are masked; bool (batch, kv_len)
  std::optional<MaskTensor> attention_mask{};  // buffer attention_mask
  Weights weights = Weights::kSoftmax;
  LinearWeights linear{};            // of Weights::kLinear alone
  std::optional<Dropout> dropout{};  // params dropout_p, dropout_seed and dropout_offset

  // Declares every name of `bindings` that is not yet declared and that no flag uses, with its type and rank.
  FLEXJIT_API AttentionSpec& declare(const Bindings& bindings) &;
  FLEXJIT_API AttentionSpec declare(const Bindings& bindings) &&;
};

// The same spec with the program that its C++ text is in the place of that text; any other as it is. Thread-safe. Errors:
// `no-cxx` where libflexjit-cxx cannot be opened, and those of the text.
FLEXJIT_API Result<AttentionSpec> as_program(const AttentionSpec& spec);

}  // namespace flexjit
