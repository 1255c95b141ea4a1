// BlockMask for Python. Lists cross as int32 arrays, kinds as bytes; numpy and torch make their fields of them.
#include "flexjit/block_mask.h"

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>

#include "bind.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace flexjit::python {
namespace {

using Ints = nb::ndarray<const std::int32_t, nb::c_contig, nb::device::cpu>;

BlockMaskShape shape_of(const nb::tuple& sizes) {
  if (nb::len(sizes) != 6) throw nb::value_error("sizes are (batch, heads, q_len, kv_len, q_block, kv_block)");
  const auto at = [&](int n) { return nb::cast<std::int32_t>(sizes[n]); };
  return {.batch = at(0), .heads = at(1), .q_len = at(2), .kv_len = at(3), .q_block = at(4), .kv_block = at(5)};
}

nb::tuple tuple_of(const BlockMaskShape& shape) {
  return nb::make_tuple(shape.batch, shape.heads, shape.q_len, shape.kv_len, shape.q_block, shape.kv_block);
}

BlockLists lists_of(const nb::object& counts, const nb::object& indices, Ints& kept_counts, Ints& kept_indices) {
  if (counts.is_none()) return {};
  kept_counts = nb::cast<Ints>(counts);
  kept_indices = nb::cast<Ints>(indices);
  const std::size_t dims = kept_indices.ndim();
  if (dims == 0) throw nb::value_error("indices: (batch, heads, q_blocks, width) is expected");
  BlockLists lists;
  lists.num_blocks = std::span<const std::int32_t>(kept_counts.data(), kept_counts.size());
  lists.indices = std::span<const std::int32_t>(kept_indices.data(), kept_indices.size());
  lists.width = static_cast<std::int32_t>(kept_indices.shape(dims - 1));
  return lists;
}

BlockMask from_lists(const nb::tuple& sizes, const nb::object& counts, const nb::object& indices, const nb::object& full_counts,
                     const nb::object& full_indices) {
  Ints kept[4];
  const BlockLists partial = lists_of(counts, indices, kept[0], kept[1]);
  const BlockLists full = lists_of(full_counts, full_indices, kept[2], kept[3]);
  return BlockMask::from_lists(shape_of(sizes), partial, full).value();
}

nb::bytes kinds_of(const BlockMask& mask) {
  const std::vector<BlockKind> kinds = mask.to_dense();
  static_assert(sizeof(BlockKind) == 1);
  return nb::bytes(kinds.data(), kinds.size());
}

BlockMask slice(const BlockMask& mask, std::int32_t q_begin, std::int32_t q_end, std::int32_t kv_begin, std::int32_t kv_end) {
  return mask.slice({q_begin, q_end}, {kv_begin, kv_end}).value();
}

nb::bytes to_bytes(const BlockMask& mask) {
  const std::vector<std::uint8_t> bytes = mask.to_bytes();
  return nb::bytes(bytes.data(), bytes.size());
}

BlockMask from_bytes(const nb::bytes& bytes) {
  return BlockMask::from_bytes(std::span(static_cast<const std::uint8_t*>(bytes.data()), bytes.size())).value();
}

nb::tuple counts_of(const BlockMask& mask) {
  const BlockCounts counts = mask.counts();
  return nb::make_tuple(counts.empty, counts.partial, counts.full);
}

}  // namespace

void bind_block_mask(nb::module_& module) {
  nb::class_<BlockMask>(module, "BlockMask",
                        "Which blocks of the scores hold any allowed pair, and which only allowed pairs. Immutable.")
      .def_static(
          "from_lists", from_lists, "sizes"_a, "num_blocks"_a.none(), "indices"_a.none(), "full_num_blocks"_a.none(),
          "full_indices"_a.none(),
          "sizes: (batch, heads, q_len, kv_len, q_block, kv_block); int32 lists as FlexAttention's. Raises flexjit.Error.")
      .def_prop_ro(
          "sizes", [](const BlockMask& mask) { return tuple_of(mask.shape()); },
          "(batch, heads, q_len, kv_len, q_block, kv_block). batch and heads are 1 where the mask depends on neither.")
      .def_prop_ro("counts", counts_of, "(empty, partial, full) blocks of all planes.")
      .def_prop_ro("sparsity", &BlockMask::sparsity, "Percent of the blocks that are empty.")
      .def("kinds", kinds_of, "A byte a block, (batch, heads, q_blocks, kv_blocks): 0 empty, 1 partial, 2 full.")
      .def("slice", slice, "q_begin"_a, "q_end"_a, "kv_begin"_a, "kv_end"_a,
           "The mask of positions [q_begin, q_end) x [kv_begin, kv_end); blocks that begin elsewhere may be partial that need "
           "not be.")
      .def("transpose", &BlockMask::transpose, "With queries and keys exchanged.")
      .def(
          "intersect", [](const BlockMask& mask, const BlockMask& other) { return mask.intersect(other).value(); }, "other"_a,
          "The blocks of pairs that both allow, of masks of the same sizes; where both are partial, so is the result.")
      .def(
          "unite", [](const BlockMask& mask, const BlockMask& other) { return mask.unite(other).value(); }, "other"_a,
          "The blocks of pairs that either allows, of masks of the same sizes.")
      .def("complement", &BlockMask::complement, "Full blocks become empty and empty ones full.")
      .def("to_bytes", to_bytes, "The mask as bytes, for from_bytes of any machine.")
      .def_static("from_bytes", from_bytes, "data"_a, "The mask of to_bytes. Raises flexjit.Error for other or damaged bytes.")
      .def("picture", &BlockMask::to_string, "b"_a = 0, "h"_a = 0, "max_side"_a = 64,
           "Plane (b, h) as text: ' ' empty, '+' partial, '#' full, of at most max_side characters a side.");
}

}  // namespace flexjit::python
