// Program + head dims + target -> KernelKey -> the sizes that the launcher and codegen share.
#include "plan/kernel_key.h"

#include <fmt/format.h>

#include "ir/passes.h"
#include "plan/compiler_door.h"
#include "plan/decode.h"
#include "plan/hoisting.h"
#include "plan/scratch.h"

namespace flexjit::plan {
namespace {

constexpr std::int64_t kCacheLine = 64;

std::int64_t round_up(std::int64_t value, std::int64_t multiple) { return (value + multiple - 1) / multiple * multiple; }

// Accumulators fill the register file but for one row of B vectors and a broadcast: 24 + 4 + 1 of 32, 12 + 2 + 1 of 16.
// Without FMA (baseline) a product needs one more register.
Tiling tiling_for(Isa isa) {
  switch (isa) {
    case Isa::kX86_64_V4: return {.q_tile = 48, .kv_tile = 256, .micro_rows = 6, .micro_vectors = 4};
    case Isa::kX86_64_V3: return {.q_tile = 48, .kv_tile = 256, .micro_rows = 6, .micro_vectors = 2};
    case Isa::kX86_64:
    case Isa::kX86_64_V2: return {.q_tile = 48, .kv_tile = 256, .micro_rows = 4, .micro_vectors = 2};
    case Isa::kAArch64: return {.q_tile = 48, .kv_tile = 256, .micro_rows = 4, .micro_vectors = 4};
  }
  return {};
}

}  // namespace

std::string_view name_of(Nest nest) { return nest == Nest::kPrefill ? "prefill" : "decode"; }
std::string_view name_of(Weights weights) { return weights == Weights::kSoftmax ? "softmax" : "sigmoid"; }

Arithmetic arithmetic_of(const ElementTypes& types, const Target& target) {
  if (types.q == DType::kF64) return Arithmetic::kF64;
  return types.q == DType::kBF16 && types.kv == DType::kBF16 && target.bf16 ? Arithmetic::kBF16 : Arithmetic::kF32;
}

KernelKey plan_kernel(KernelRequest request, const Target& target) {
  KernelKey key;
  key.program = std::move(request.program);
  key.nest = request.nest;
  key.types = request.types;
  key.weights = request.weights;
  key.head_dim = request.head_dim;
  key.v_head_dim = request.v_head_dim;
  key.tiling = request.nest == Nest::kDecode ? decode_tiling(target.isa) : tiling_for(target.isa);
  key.target = target;
  key.llvm_version = kLlvmVersion;
  return key;
}

ScratchLayout scratch_of(const KernelKey& key) {
  const std::int64_t lanes = lanes_of(key.target.isa);
  const std::int64_t rows = key.tiling.q_tile;
  const Hoisting hoisting = hoist(key.program);
  ScratchLayout scratch;
  // One line of padding keeps the rows of S from sharing one cache set.
  scratch.s_stride = key.tiling.kv_tile + kCacheLine / 4;
  std::int64_t end = 0;
  const auto place = [&end](std::int64_t elements) {
    const std::int64_t at = end;
    end += round_up(elements * 4, kCacheLine);
    return at;
  };
  scratch.q = place(rows * key.head_dim);
  scratch.s = place(rows * scratch.s_stride);
  scratch.o = place(rows * round_up(key.v_head_dim, lanes));
  scratch.max_lanes = place(rows * lanes);
  scratch.row_max = place(rows);
  scratch.row_sum = place(rows);
  scratch.rescale = place(rows);
  scratch.row_values = place(hoisting.row_slots * rows);
  scratch.column_values = place(hoisting.column_slots * lanes * key.tiling.micro_vectors);
  scratch.bytes = end;
  return scratch;
}

KernelLayout layout_of(const KernelKey& key) {
  if (key.nest == Nest::kDecode) return decode_layout_of(key);
  KernelLayout layout;
  layout.lanes = lanes_of(key.target.isa);
  layout.strip = key.tiling.micro_vectors * layout.lanes;
  layout.q_tile = key.tiling.q_tile;
  layout.kv_tile = key.tiling.kv_tile;
  layout.head_dim = key.head_dim;
  layout.v_head_dim = key.v_head_dim;
  layout.v_padded = static_cast<std::int32_t>(round_up(key.v_head_dim, layout.lanes));
  layout.packs_v = layout.v_padded != key.v_head_dim;
  layout.scratch_bytes = scratch_of(key).bytes;
  return layout;
}

std::int64_t KernelLayout::k_elements(std::int32_t kv_len) const { return round_up(kv_len, strip) * head_dim; }

std::int64_t KernelLayout::v_elements(std::int32_t kv_len) const {
  return packs_v ? static_cast<std::int64_t>(kv_len) * v_padded : 0;
}

std::string canonical_text(const KernelKey& key) {
  return fmt::format(
      "flexjit kernel {}\nllvm {}\ntarget {} tune {}\n{} q {} kv {} out {} weights {}\nhead_dim {} v_head_dim {}\n"
      "tiling q {} kv {} micro {}x{}\n{}",
      key.codegen_version, key.llvm_version, name_of(key.target), key.target.tuning, name_of(key.nest),
      flexjit::name_of(key.types.q), flexjit::name_of(key.types.kv), flexjit::name_of(key.types.out), name_of(key.weights),
      key.head_dim, key.v_head_dim, key.tiling.q_tile, key.tiling.kv_tile, key.tiling.micro_rows, key.tiling.micro_vectors,
      ir::print(key.program));
}

}  // namespace flexjit::plan
