// Every rank knows the whole layout and the whole mask, so both sides of a transfer work out the same blocks.
#include "flexjit/mpi/steps.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace flexjit::mpi {

namespace {

using BlockList = std::vector<std::int32_t>;

const BlockList& blocks_of(const Layout& layout, std::int32_t rank) { return layout.blocks[static_cast<std::size_t>(rank)]; }

// Of the blocks of `owner`, those that `reader` needs.
BlockList travelling(const StepsOf& of, std::int32_t owner, std::int32_t reader) {
  const BlockList needed = needed_keys(of.mask, of.layout, reader);
  BlockList both;
  std::ranges::set_intersection(blocks_of(of.layout, owner), needed, std::back_inserter(both));
  return both;
}

// Where `blocks` lie among the rows of all of ours.
std::vector<RowRun> runs_of(const Layout& layout, const BlockList& ours, const BlockList& blocks) {
  std::vector<RowRun> runs;
  std::int64_t row = 0;
  std::size_t next = 0;
  for (const std::int32_t block : ours) {
    const std::int64_t count = layout.tokens_of(block);
    if (next < blocks.size() && blocks[next] == block) {
      ++next;
      if (!runs.empty() && runs.back().begin + runs.back().count == row)
        runs.back().count += count;
      else
        runs.push_back({row, count});
    }
    row += count;
  }
  return runs;
}

Result<Computation> computation_with(const StepsOf& of, const BlockList& keys) {
  const BlockList& ours = blocks_of(of.layout, of.rank);
  Computation made;
  made.positions = of.layout.positions_of(keys);
  const auto count = static_cast<std::int32_t>(ours.size());
  const std::int32_t slices = std::min(of.slices, count);
  std::int64_t row = 0;
  for (std::int32_t s = 0; s < slices; ++s) {
    const std::span<const std::int32_t> part = std::span(ours).subspan(
        static_cast<std::size_t>(count * s / slices), static_cast<std::size_t>(count * (s + 1) / slices - count * s / slices));
    Result<BlockMask> mask =
        select(of.mask, {.q_blocks = part, .kv_blocks = keys, .first_head = of.first_head, .heads = of.heads});
    if (!mask) return mask.diagnostics();
    const BlockCounts counts = mask->counts();
    Slice& slice = made.slices.emplace_back();
    slice.row = row;
    slice.rows = mask->shape().q_len;
    slice.any = counts.full + counts.partial > 0;
    slice.mask = std::move(*mask);
    row += slice.rows;
  }
  return made;
}

Steps transfers_of(const StepsOf& of) {
  const std::int32_t ranks = of.layout.ranks();
  Steps made;
  made.tokens = of.layout.tokens(of.rank);
  made.positions = of.layout.positions(of.rank);
  for (std::int32_t s = 1; s < ranks; ++s) {
    Transfer& transfer = made.transfers.emplace_back();
    transfer.source = (of.rank - s + ranks) % ranks;
    transfer.dest = (of.rank + s) % ranks;
    const BlockList sent = travelling(of, of.rank, transfer.dest);
    transfer.sent = runs_of(of.layout, blocks_of(of.layout, of.rank), sent);
    transfer.sent_tokens = of.layout.tokens_in(sent);
    transfer.received_tokens = of.layout.tokens_in(travelling(of, transfer.source, of.rank));
  }
  return made;
}

}  // namespace

Result<Steps> ring_steps(const StepsOf& of) {
  Steps made = transfers_of(of);
  const auto add = [&](const BlockList& keys) -> Diagnostics {
    Result<Computation> computation = computation_with(of, keys);
    if (!computation) return computation.diagnostics();
    made.computations.push_back(std::move(*computation));
    return {};
  };
  if (Diagnostics wrong = add(blocks_of(of.layout, of.rank)); !wrong.empty()) return wrong;
  for (const Transfer& transfer : made.transfers)
    if (Diagnostics wrong = add(travelling(of, transfer.source, of.rank)); !wrong.empty()) return wrong;
  return made;
}

Result<Steps> gather_steps(const StepsOf& of) {
  Steps made = transfers_of(of);
  // The sequence's last block, which may be cut, ends the keys.
  const std::int32_t last = of.layout.block_count() - 1;
  BlockList keys, ending;
  std::int32_t ender = -2;
  const auto append = [&](std::int32_t number, const BlockList& blocks) {
    if (!blocks.empty() && blocks.back() == last) {
      ender = number;
      ending = blocks;
      return;
    }
    made.sources.push_back(number);
    keys.insert(keys.end(), blocks.begin(), blocks.end());
  };
  append(-1, blocks_of(of.layout, of.rank));
  for (std::size_t s = 0; s < made.transfers.size(); ++s)
    append(static_cast<std::int32_t>(s), travelling(of, made.transfers[s].source, of.rank));
  if (ender != -2) made.sources.push_back(ender);
  keys.insert(keys.end(), ending.begin(), ending.end());
  Result<Computation> computation = computation_with(of, keys);
  if (!computation) return computation.diagnostics();
  made.computations.push_back(std::move(*computation));
  return made;
}

}  // namespace flexjit::mpi
