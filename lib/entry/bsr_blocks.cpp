// Every block that is not empty has elements, as SciPy has them: those of a full one are all true but for the positions past
// the ends, so that a reader needs no lengths.
#include "entry/bsr_blocks.h"

#include <algorithm>

namespace flexjit::engine {

namespace {

// The positions of block `index` that exist.
PositionRange positions(std::int32_t index, std::int32_t size, std::int32_t length) {
  return {index * size, std::min((index + 1) * size, length)};
}

// `block` is zero where nothing is written.
void put(const std::uint8_t* elements, PositionRange q, PositionRange kv, const BlockMaskShape& shape, std::uint8_t* block) {
  const std::int32_t columns = kv.end - kv.begin;
  for (std::int32_t row = 0; row < q.end - q.begin; ++row) {
    std::uint8_t* to = block + std::int64_t{row} * shape.kv_block;
    if (elements == nullptr)
      std::fill_n(to, columns, std::uint8_t{1});
    else
      std::copy_n(elements + std::int64_t{row} * columns, columns, to);
  }
}

std::size_t area(const BlockMaskShape& shape) {
  return static_cast<std::size_t>(shape.q_block) * static_cast<std::size_t>(shape.kv_block);
}

}  // namespace

Result<BsrBlocks> bsr_of(const Attention& attention, const BlockMaskOptions& options, const Bindings& bindings,
                         const BlockMask& mask, std::int32_t head) {
  const BlockMaskShape& of = mask.shape();
  BsrBlocks blocks{.shape = {1, 1, of.q_len, of.kv_len, of.q_block, of.kv_block}, .indptr = {0}};
  std::vector<BlockRun> runs;
  for (std::int32_t row = 0; row < of.q_blocks(); ++row) {
    mask.row_runs(0, head, row, runs);
    const PositionRange q = positions(row, of.q_block, of.q_len);
    for (const BlockRun& run : runs) {
      for (std::int32_t column = run.kv_begin; column < run.kv_end; ++column) {
        const PositionRange kv = positions(column, of.kv_block, of.kv_len);
        std::vector<std::uint8_t> elements;
        if (run.kind == BlockKind::kPartial) {
          Result<std::vector<std::uint8_t>> found = attention.mask_elements(options, {.h = head}, q, kv, &bindings);
          if (!found) return found.diagnostics();
          elements = *std::move(found);
        }
        blocks.indices.push_back(column);
        blocks.data.resize(blocks.data.size() + area(of));
        put(run.kind == BlockKind::kFull ? nullptr : elements.data(), q, kv, of,
            blocks.data.data() + blocks.data.size() - area(of));
      }
    }
    blocks.indptr.push_back(static_cast<std::int32_t>(blocks.indices.size()));
  }
  return blocks;
}

BsrBlocks copy_of(const BlockMaskShape& shape, const BsrMatrix& matrix) {
  BsrBlocks blocks{.shape = shape,
                   .indptr = {matrix.indptr.begin(), matrix.indptr.end()},
                   .indices = {matrix.indices.begin(), matrix.indices.end()},
                   .data = {matrix.data.begin(), matrix.data.end()}};
  if (!matrix.data.empty()) return blocks;
  blocks.data.resize(blocks.indices.size() * area(shape));
  for (std::int32_t row = 0; row < shape.q_blocks(); ++row) {
    for (std::int32_t at = blocks.indptr[static_cast<std::size_t>(row)]; at < blocks.indptr[static_cast<std::size_t>(row) + 1];
         ++at)
      put(nullptr, positions(row, shape.q_block, shape.q_len),
          positions(blocks.indices[static_cast<std::size_t>(at)], shape.kv_block, shape.kv_len), shape,
          blocks.data.data() + static_cast<std::size_t>(at) * area(shape));
  }
  return blocks;
}

}  // namespace flexjit::engine
