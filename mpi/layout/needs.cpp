// Blocks by rank and the block mask -> the keys that travel, work and bytes, and the masks of shards.
#include <algorithm>
#include <numeric>

#include "flexjit/mpi/layout.h"
#include "layout/failure.h"

namespace flexjit::mpi {

namespace {

std::size_t at(std::int32_t index) { return static_cast<std::size_t>(index); }

// Calls visit(runs) for each plane of a block of queries.
template <typename Visit>
void for_rows(const BlockMask& mask, std::int32_t q_block, std::vector<BlockRun>& runs, const Visit& visit) {
  for (std::int32_t b = 0; b < mask.shape().batch; ++b) {
    for (std::int32_t h = 0; h < mask.shape().heads; ++h) {
      mask.row_runs(b, h, q_block, runs);
      visit(b, h);
    }
  }
}

// Of blocks [begin, end) of a length.
std::int64_t tokens_between(std::int32_t length, std::int32_t block, std::int32_t begin, std::int32_t end) {
  return std::min<std::int64_t>(length, std::int64_t{end} * block) -
         std::min<std::int64_t>(length, std::int64_t{begin} * block);
}

std::vector<std::int32_t> owners(const Layout& layout) {
  std::vector<std::int32_t> owner(at(layout.block_count()), 0);
  for (std::int32_t rank = 0; rank < layout.ranks(); ++rank)
    for (const std::int32_t block : layout.blocks[at(rank)]) owner[at(block)] = rank;
  return owner;
}

// Lists as BlockLists has them: rows of equal width, the rest of each unused.
struct Lists {
  std::vector<std::vector<std::int32_t>> rows;

  std::int32_t width() const {
    std::size_t most = 0;
    for (const auto& row : rows) most = std::max(most, row.size());
    return static_cast<std::int32_t>(most);
  }
  std::vector<std::int32_t> counts() const {
    std::vector<std::int32_t> result;
    for (const auto& row : rows) result.push_back(static_cast<std::int32_t>(row.size()));
    return result;
  }
  std::vector<std::int32_t> indices() const {
    std::vector<std::int32_t> result(rows.size() * at(width()), 0);
    for (std::size_t r = 0; r < rows.size(); ++r)
      std::ranges::copy(rows[r], result.begin() + static_cast<std::ptrdiff_t>(r * at(width())));
    return result;
  }
};

std::int32_t length_of(std::span<const std::int32_t> blocks, std::int32_t length, std::int32_t block) {
  std::int64_t sum = 0;
  for (const std::int32_t index : blocks) sum += tokens_between(length, block, index, index + 1);
  return static_cast<std::int32_t>(sum);
}

}  // namespace

std::int32_t Layout::tokens(std::int32_t rank) const noexcept { return tokens_in(blocks[at(rank)]); }

std::vector<std::int32_t> Layout::positions(std::int32_t rank) const { return positions_of(blocks[at(rank)]); }

std::int32_t Layout::tokens_in(std::span<const std::int32_t> some_blocks) const noexcept {
  std::int32_t sum = 0;
  for (const std::int32_t index : some_blocks) sum += tokens_of(index);
  return sum;
}

std::vector<std::int32_t> Layout::positions_of(std::span<const std::int32_t> some_blocks) const {
  std::vector<std::int32_t> result;
  result.reserve(at(tokens_in(some_blocks)));
  for (const std::int32_t index : some_blocks)
    for (std::int32_t i = 0; i < tokens_of(index); ++i) result.push_back(index * block + i);
  return result;
}

std::vector<std::int64_t> work_of(const BlockMask& mask) {
  const BlockMaskShape& shape = mask.shape();
  std::vector<std::int64_t> work(at(shape.q_blocks()), 0);
  std::vector<BlockRun> runs;
  for (std::int32_t q = 0; q < shape.q_blocks(); ++q) {
    const std::int64_t rows = tokens_between(shape.q_len, shape.q_block, q, q + 1);
    for_rows(mask, q, runs, [&](std::int32_t, std::int32_t) {
      for (const BlockRun& run : runs)
        work[at(q)] += rows * tokens_between(shape.kv_len, shape.kv_block, run.kv_begin, run.kv_end);
    });
  }
  return work;
}

std::vector<std::int32_t> needed_keys(const BlockMask& mask, const Layout& layout, std::int32_t rank) {
  const std::int32_t count = mask.shape().kv_blocks();
  std::vector<std::int32_t> change(at(count) + 1, 0);  // of how many runs cover a block
  std::vector<BlockRun> runs;
  for (const std::int32_t q : layout.blocks[at(rank)]) {
    for_rows(mask, q, runs, [&](std::int32_t, std::int32_t) {
      for (const BlockRun& run : runs) {
        ++change[at(run.kv_begin)];
        --change[at(run.kv_end)];
      }
    });
  }
  std::vector<std::int32_t> needed;
  std::int32_t covering = 0;
  for (std::int32_t kv = 0; kv < count; ++kv)
    if ((covering += change[at(kv)]) > 0) needed.push_back(kv);
  return needed;
}

Distribution distribute(const BlockMask& mask, const Layout& layout, std::int64_t bytes_per_token) {
  const std::vector<std::int64_t> work = work_of(mask);
  const std::vector<std::int32_t> owner = owners(layout);
  Distribution result;
  result.ranks.resize(at(layout.ranks()));
  std::int64_t all = 0, most = 0;
  for (std::int32_t rank = 0; rank < layout.ranks(); ++rank) {
    RankShare& share = result.ranks[at(rank)];
    share.tokens = layout.tokens(rank);
    for (const std::int32_t block : layout.blocks[at(rank)]) share.work += work[at(block)];
    all += share.work;
    most = std::max(most, share.work);
    for (const std::int32_t block : needed_keys(mask, layout, rank)) {
      if (owner[at(block)] == rank) continue;
      const std::int64_t bytes = layout.tokens_of(block) * bytes_per_token;
      share.bytes_received += bytes;
      result.ranks[at(owner[at(block)])].bytes_sent += bytes;
      result.bytes_sent += bytes;
    }
  }
  if (most > 0) result.balance = static_cast<double>(all) / layout.ranks() / static_cast<double>(most);
  return result;
}

Result<BlockMask> select(const BlockMask& mask, const Selection& part) {
  const auto& [q_blocks, kv_blocks, first_head, heads] = part;
  const BlockMaskShape& whole = mask.shape();
  BlockMaskShape shape = whole;
  if (whole.heads > 1) shape.heads = heads;
  std::vector<std::int32_t> place(at(whole.kv_blocks()), -1);
  for (std::size_t i = 0; i < kv_blocks.size(); ++i) place[at(kv_blocks[i])] = static_cast<std::int32_t>(i);
  Lists partial, full;
  std::vector<BlockRun> runs;
  for (std::int32_t b = 0; b < whole.batch; ++b) {
    for (std::int32_t h = 0; h < shape.heads; ++h) {
      for (const std::int32_t q : q_blocks) {
        auto& partial_row = partial.rows.emplace_back();
        auto& full_row = full.rows.emplace_back();
        mask.row_runs(b, first_head + h, q, runs);
        for (const BlockRun& run : runs)
          for (std::int32_t kv = run.kv_begin; kv < run.kv_end; ++kv)
            if (place[at(kv)] >= 0) (run.kind == BlockKind::kFull ? full_row : partial_row).push_back(place[at(kv)]);
      }
    }
  }
  shape.q_len = length_of(q_blocks, whole.q_len, whole.q_block);
  shape.kv_len = length_of(kv_blocks, whole.kv_len, whole.kv_block);
  const auto partial_counts = partial.counts(), partial_indices = partial.indices();
  const auto full_counts = full.counts(), full_indices = full.indices();
  return BlockMask::from_lists(shape, {partial_counts, partial_indices, partial.width()},
                               {full_counts, full_indices, full.width()});
}

}  // namespace flexjit::mpi
