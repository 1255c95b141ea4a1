// KernelKey: the whole truth about one kernel. codegen reads nothing else, the cache compares nothing less. Lengths, batch,
// heads, strides, scale and runtime scalars are never in it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "flexjit/tensor.h"
#include "ir/program/program.h"
#include "plan/debug_source.h"
#include "plan/nests.h"
#include "plan/target.h"

namespace flexjit::plan {

// Tiles in elements. A panel is one vector of key columns; a strip is the columns of one micro-tile, micro_vectors panels.
struct Tiling {
  std::int32_t q_tile = 48;        // query rows that share one sweep over the keys; a multiple of micro_rows and of the lanes
  std::int32_t kv_tile = 256;      // key columns between two softmax rescales; a multiple of the strip
  std::int32_t micro_rows = 6;     // accumulator rows
  std::int32_t micro_vectors = 4;  // accumulator vectors a row

  bool operator==(const Tiling&) const = default;
};

// What turns scores into weights. Sigmoid weights are not normalised: O = sigmoid(S) V. Linear weights have no scores: they are
// products of features of queries and keys.
enum class Weights : std::uint8_t { kSoftmax, kSigmoid, kLinear };
std::string_view name_of(Weights weights);

// Element types of the tensors: f32, bf16, f16 or f64. K and V share one, which may also be quantised.
struct ElementTypes {
  DType q = DType::kF32;
  DType kv = DType::kF32;
  DType out = DType::kF32;
  std::int32_t scale_dims = 0;  // of quantised K and V: dims of a row that share a scale; 0: all
  bool operator==(const ElementTypes&) const = default;
};

// Of linear weights: the features of a row, whether they are of its product with a matrix, and whether outputs are divided by
// the sums of their weights.
struct LinearShape {
  std::int32_t features = 0;
  bool projected = false;
  bool normalised = true;
  bool operator==(const LinearShape&) const = default;
};

// What a kernel computes with, which follows from the element types and the target.
enum class Arithmetic : std::uint8_t {
  kF32,   // fp32 products; bf16 and fp16 are widened when they are packed or read
  kBF16,  // bf16 pairs multiplied into fp32 sums (vdpbf16ps); weights are rounded to bf16
  kF64,
};

struct ArithmeticFacts {
  std::int32_t real_bytes;        // of a number that is summed
  std::int32_t cell_bytes;        // of what is multiplied, see KernelLayout
  std::int32_t elements_of_cell;  // 2: of a pair
  DType in_place;                 // whose elements are cells as they lie
};
const ArithmeticFacts& facts_of(Arithmetic arithmetic);

// Lanes of one vector of the numbers that are summed: fp32, or half as many fp64.
int lanes_of(Isa isa, Arithmetic arithmetic);

// What a pattern asks for; plan_kernel adds what the machine decides.
struct KernelRequest {
  ir::Program program;
  Nest nest = Nest::kPrefill;
  ElementTypes types{};
  Weights weights = Weights::kSoftmax;
  std::int32_t head_dim = 0;
  std::int32_t v_head_dim = 0;
  LinearShape linear{};
};

struct KernelKey {
  ir::Program program;
  Nest nest = Nest::kPrefill;
  ElementTypes types{};
  Weights weights = Weights::kSoftmax;
  std::int32_t head_dim = 0;
  std::int32_t v_head_dim = 0;
  LinearShape linear{};
  Tiling tiling;
  Target target;
  std::string llvm_version;
  std::optional<DebugSource> debug{};  // absent: no debug information

  bool operator==(const KernelKey&) const = default;
};

// Sizes that follow from the key and that the launcher needs. What is multiplied lies in cells: an fp32, an fp64, or a pair of
// bf16 that vdpbf16ps takes at once. Packed K is [panel][k_depth][lanes] cells, a pair being two head dims of one key; packed V
// is [kv_len / v_group][v_padded] cells, a pair being one value dim of two keys.
struct KernelLayout {
  std::int32_t lanes = 0;  // key columns of a panel
  std::int32_t strip = 0;  // key columns of a micro-tile
  std::int32_t q_tile = 0;
  std::int32_t kv_tile = 0;
  std::int32_t head_dim = 0;
  std::int32_t v_head_dim = 0;
  std::int32_t q_bytes = 4, kv_bytes = 4, out_bytes = 4;  // of an element
  std::int32_t keys_to_come = 0;  // behind those of a step, whose rows are prefetched meanwhile; decoding alone
  std::int32_t cell_bytes = 4;
  std::int32_t k_depth = 0;        // cells of one key: head_dim, or its half rounded up
  std::int32_t v_group = 1;        // keys of one cell of V
  std::int32_t k_padded = 0;       // head_dim rounded up to lanes; of gradients alone
  std::int32_t v_padded = 0;       // v_head_dim rounded up to lanes
  bool packs_v = false;            // V does not lie in memory as the products want it: other element type or ragged rows
  std::int64_t scratch_bytes = 0;  // per thread, 64-byte aligned
  LinearShape linear{};
  std::int32_t f_padded = 0;  // features rounded up to lanes
  std::int64_t state_bytes =
      0;  // of linear weights: [f_padded][v_padded] sums of features times values, then [f_padded] of features

  // Bytes of packed K (and V, 0 if not packed) for one (batch, kv head). K has room for the last strip to overrun.
  std::int64_t k_bytes(std::int32_t kv_len) const;
  std::int64_t v_bytes(std::int32_t kv_len) const;
  // The same of V that is packed though it could be read as it lies.
  std::int64_t packed_v_bytes(std::int32_t kv_len) const;
};

KernelKey plan_kernel(KernelRequest request, const Target& target);
Arithmetic arithmetic_of(const ElementTypes& types, const Target& target);
// That of the kernel, whose nest may not multiply pairs.
Arithmetic arithmetic_of(const KernelKey& key);
KernelLayout layout_of(const KernelKey& key);

// One text with every field: hashed for look-up, stored beside code, shown by the inspector.
std::string canonical_text(const KernelKey& key);

}  // namespace flexjit::plan
