// Program + head dims + target -> KernelKey -> the sizes that the launcher and codegen share.
#include "plan/kernel_key.h"

#include <fmt/format.h>

#include "ir/passes/passes.h"
#include "plan/compiler_door.h"
#include "plan/hoisting.h"
#include "plan/sizes/backward.h"
#include "plan/sizes/decode.h"
#include "plan/sizes/linear.h"
#include "plan/sizes/prefill.h"
#include "plan/sizes/scratch.h"
#include "support/rounding.h"

namespace flexjit::plan {

using support::round_up;

std::string_view name_of(Weights weights) {
  switch (weights) {
    case Weights::kSoftmax: return "softmax";
    case Weights::kSigmoid: return "sigmoid";
    case Weights::kLinear: return "linear";
  }
  return "";
}

const ArithmeticFacts& facts_of(Arithmetic arithmetic) {
  static constexpr ArithmeticFacts kF32{4, 4, 1, DType::kF32}, kBF16{4, 4, 2, DType::kF32}, kF64{8, 8, 1, DType::kF64};
  switch (arithmetic) {
    case Arithmetic::kF32: return kF32;
    case Arithmetic::kBF16: return kBF16;
    case Arithmetic::kF64: return kF64;
  }
  return kF32;
}

int lanes_of(Isa isa, Arithmetic arithmetic) { return lanes_of(isa) * 4 / facts_of(arithmetic).real_bytes; }

Arithmetic arithmetic_of(const ElementTypes& types, const Target& target) {
  if (types.q == DType::kF64) return Arithmetic::kF64;
  return types.q == DType::kBF16 && types.kv == DType::kBF16 && target.bf16 ? Arithmetic::kBF16 : Arithmetic::kF32;
}

Arithmetic arithmetic_of(const KernelKey& key) {
  const Arithmetic arithmetic = arithmetic_of(key.types, key.target);
  return arithmetic == Arithmetic::kBF16 && !facts_of(key.nest).pairs ? Arithmetic::kF32 : arithmetic;
}

KernelKey plan_kernel(KernelRequest request, const Target& target) {
  KernelKey key;
  key.program = std::move(request.program);
  key.nest = request.nest;
  key.types = request.types;
  key.weights = request.weights;
  key.head_dim = request.head_dim;
  key.v_head_dim = request.v_head_dim;
  key.linear = request.linear;
  key.target = target;
  switch (key.nest) {
    case Nest::kPrefill: key.tiling = prefill_tiling(key); break;
    case Nest::kDecode: key.tiling = decode_tiling(target.isa, key.types); break;
    case Nest::kBackward: key.tiling = backward_tiling(key); break;
    case Nest::kLinear:
    case Nest::kLinearRows: key.tiling = linear_tiling(target.isa); break;
  }
  key.llvm_version = kLlvmVersion;
  return key;
}

std::int64_t diagonals_of(const KernelKey& key) {
  return round_up(key.tiling.q_tile + key.tiling.kv_tile, lanes_of(key.target.isa, arithmetic_of(key)));
}

TileSections place_tile(const KernelKey& key, Sections& sections) {
  const std::int64_t lanes = lanes_of(key.target.isa, arithmetic_of(key));
  const std::int64_t rows = key.tiling.q_tile, groups = rows / key.tiling.micro_rows, panels = key.tiling.kv_tile / lanes;
  const Hoisting hoisting = hoist(key.program, key.nest);
  TileSections tile;
  tile.diagonals = diagonals_of(key);
  tile.row_values = sections.place(hoisting.row_slots * rows * 4);
  tile.column_values = sections.place(hoisting.column_slots * key.tiling.kv_tile * 4);
  tile.diagonal_values = sections.place(hoisting.diagonal_slots * tile.diagonals * 4);
  tile.row_ranges = sections.place(hoisting.row_range_slots * groups * 8);
  tile.column_ranges = sections.place(hoisting.column_range_slots * panels * 8);
  tile.visits = sections.place(groups * static_cast<std::int64_t>(sizeof(Visit)));
  return tile;
}

// The last strip of a group may overrun the tile by all its panels but one. An odd number of lines keeps the rows of S from
// sharing a few cache sets.
std::int64_t score_stride_of(const KernelKey& key) {
  const Arithmetic arithmetic = arithmetic_of(key);
  const std::int64_t lanes = lanes_of(key.target.isa, arithmetic);
  const std::int64_t strip = key.tiling.micro_vectors * lanes, line = kCacheLine / facts_of(arithmetic).real_bytes;
  const std::int64_t lines = (key.tiling.kv_tile + strip - lanes + line - 1) / line;
  return (lines | 1) * line;
}

ScratchLayout scratch_of(const KernelKey& key) {
  const Arithmetic arithmetic = arithmetic_of(key);
  const std::int64_t real = facts_of(arithmetic).real_bytes;
  const std::int64_t lanes = lanes_of(key.target.isa, arithmetic);
  const std::int64_t rows = key.tiling.q_tile;
  ScratchLayout scratch;
  scratch.s_stride = score_stride_of(key);
  Sections sections;
  scratch.q = sections.place(rows * k_depth_of(key) * real);
  scratch.s = sections.place(rows * scratch.s_stride * real);
  scratch.o = sections.place(rows * round_up(key.v_head_dim, lanes) * real);
  scratch.max_lanes = sections.place(rows * lanes * real);
  scratch.sum_lanes = sections.place(rows * lanes * real);
  scratch.row_max = sections.place(rows * real);
  scratch.base = sections.place(rows * real);
  scratch.rescale = sections.place(rows * real);
  scratch.least = sections.place(rows * real);
  scratch.unsettled = sections.place(rows * 4);
  scratch.factors = sections.place(key.program.weight_factor().valid() ? key.tiling.kv_tile * real : 0);
  static_cast<TileSections&>(scratch) = place_tile(key, sections);
  scratch.bytes = sections.end();
  return scratch;
}

std::int32_t k_depth_of(const KernelKey& key) {
  const std::int32_t pair = facts_of(arithmetic_of(key)).elements_of_cell;
  return (key.head_dim + pair - 1) / pair;
}

static KernelLayout prefill_layout_of(const KernelKey& key) {
  const Arithmetic arithmetic = arithmetic_of(key);
  KernelLayout layout;
  layout.lanes = lanes_of(key.target.isa, arithmetic);
  layout.strip = key.tiling.micro_vectors * layout.lanes;
  layout.q_tile = key.tiling.q_tile;
  layout.kv_tile = key.tiling.kv_tile;
  layout.cell_bytes = facts_of(arithmetic).cell_bytes;
  layout.k_depth = k_depth_of(key);
  layout.v_group = facts_of(arithmetic).elements_of_cell;
  layout.v_padded = static_cast<std::int32_t>(round_up(key.v_head_dim, layout.lanes));
  layout.packs_v = layout.v_padded != key.v_head_dim || key.types.kv != facts_of(arithmetic).in_place;
  layout.scratch_bytes = scratch_of(key).bytes;
  return layout;
}

static KernelLayout nest_layout_of(const KernelKey& key) {
  switch (key.nest) {
    case Nest::kPrefill: return prefill_layout_of(key);
    case Nest::kDecode: return decode_layout_of(key);
    case Nest::kBackward: return backward_layout_of(key);
    case Nest::kLinear:
    case Nest::kLinearRows: return linear_layout_of(key);
  }
  return {};
}

KernelLayout layout_of(const KernelKey& key) {
  KernelLayout layout = nest_layout_of(key);
  layout.head_dim = key.head_dim;
  layout.v_head_dim = key.v_head_dim;
  layout.q_bytes = static_cast<std::int32_t>(size_of(key.types.q));
  layout.kv_bytes = static_cast<std::int32_t>(size_of(key.types.kv));
  layout.out_bytes = static_cast<std::int32_t>(size_of(key.types.out));
  return layout;
}

std::int64_t KernelLayout::k_bytes(std::int32_t kv_len) const {
  return (round_up(kv_len, lanes) + strip - lanes) * k_depth * cell_bytes;
}

std::int64_t KernelLayout::v_bytes(std::int32_t kv_len) const { return packs_v ? packed_v_bytes(kv_len) : 0; }

std::int64_t KernelLayout::packed_v_bytes(std::int32_t kv_len) const {
  return round_up(kv_len, v_group) / v_group * v_padded * cell_bytes;
}

namespace {

std::string canonical_text(const DebugSource& source) {
  std::string text;
  for (const std::string& file : source.files) text += fmt::format("debug file {}\n", file);
  for (std::size_t i = 0; i < source.nodes.size(); ++i) {
    const auto& at = source.nodes[i];
    if (at)
      text +=
          fmt::format("debug %{} {} {}:{} {}\n", i, at->file, at->line, at->column, at->mod == Mod::kScore ? "score" : "mask");
  }
  return text;
}

}  // namespace

// Names all members of the key, so that one that is added and forgotten here does not compile.
std::string canonical_text(const KernelKey& key) {
  const auto& [program, nest, types, weights, head_dim, v_head_dim, linear, tiling, target, llvm_version, debug] = key;
  const std::string features = linear == LinearShape{}
                                   ? ""
                                   : fmt::format("features {}{}{}\n", linear.features, linear.projected ? " projected" : "",
                                                 linear.normalised ? " normalised" : "");
  return fmt::format(
      "flexjit kernel\nllvm {}\ntarget {} tune {}\n{} q {} kv {}{} out {} weights {}\nhead_dim {} v_head_dim {}\n"
      "{}tiling q {} kv {} micro {}x{}\n{}{}",
      llvm_version, name_of(target), target.tuning, name_of(nest), flexjit::name_of(types.q), flexjit::name_of(types.kv),
      types.scale_dims == 0 ? "" : fmt::format(" by {}", types.scale_dims), flexjit::name_of(types.out), name_of(weights),
      head_dim, v_head_dim, features, tiling.q_tile, tiling.kv_tile, tiling.micro_rows, tiling.micro_vectors,
      debug ? canonical_text(*debug) : "", ir::print(program));
}

}  // namespace flexjit::plan
