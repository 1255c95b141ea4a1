// Work by block -> blocks by rank. Counts of blocks are equal whatever the work is, because memory and every other layer of a
// model go by tokens; among such dealings the work is equalised.
#include <algorithm>
#include <functional>
#include <numeric>
#include <queue>
#include <string>
#include <utility>

#include "flexjit/mpi/layout.h"
#include "layout/failure.h"

namespace flexjit::mpi {

namespace {

using Blocks = std::vector<std::vector<std::int32_t>>;
using Work = std::span<const std::int64_t>;

// Sizes of `parts` runs of neighbours, the first ones a block longer where it does not come out even.
std::int32_t part_begin(std::int32_t count, std::int32_t parts, std::int32_t part) {
  return count / parts * part + std::min(part, count % parts);
}

void append_part(std::vector<std::int32_t>& blocks, std::int32_t count, std::int32_t parts, std::int32_t part) {
  for (std::int32_t i = part_begin(count, parts, part); i < part_begin(count, parts, part + 1); ++i) blocks.push_back(i);
}

Blocks deal_contiguous(std::int32_t count, std::int32_t ranks) {
  Blocks blocks(static_cast<std::size_t>(ranks));
  for (std::int32_t r = 0; r < ranks; ++r) append_part(blocks[static_cast<std::size_t>(r)], count, ranks, r);
  return blocks;
}

Blocks deal_zigzag(std::int32_t count, std::int32_t ranks) {
  Blocks blocks(static_cast<std::size_t>(ranks));
  for (std::int32_t r = 0; r < ranks; ++r) {
    append_part(blocks[static_cast<std::size_t>(r)], count, 2 * ranks, r);
    append_part(blocks[static_cast<std::size_t>(r)], count, 2 * ranks, 2 * ranks - 1 - r);
  }
  return blocks;
}

std::int64_t sum_of(const std::vector<std::int32_t>& blocks, Work work) {
  return std::accumulate(blocks.begin(), blocks.end(), std::int64_t{0},
                         [&](std::int64_t sum, std::int32_t block) { return sum + work[static_cast<std::size_t>(block)]; });
}

// Longest processing time first with equal counts: as many ranks as the remainder says may take one block more.
Blocks deal_greedily(std::int32_t ranks, Work work) {
  const auto count = static_cast<std::int32_t>(work.size());
  std::vector<std::int32_t> order(work.size());
  std::iota(order.begin(), order.end(), 0);
  std::ranges::sort(order, {}, [&](std::int32_t block) { return std::pair(-work[static_cast<std::size_t>(block)], block); });
  using Load = std::pair<std::int64_t, std::int32_t>;  // of a rank; equal loads in the order of ranks
  std::priority_queue<Load, std::vector<Load>, std::greater<>> loads;
  for (std::int32_t r = 0; r < ranks; ++r) loads.emplace(0, r);
  Blocks blocks(static_cast<std::size_t>(ranks));
  const auto most = static_cast<std::size_t>(count / ranks);
  std::int32_t longer = count % ranks;
  for (const std::int32_t block : order) {
    for (;;) {
      const auto [load, rank] = loads.top();
      loads.pop();
      std::vector<std::int32_t>& mine = blocks[static_cast<std::size_t>(rank)];
      if (mine.size() > most || (mine.size() == most && longer == 0)) continue;  // full, and out of the heap for good
      if (mine.size() == most) --longer;
      mine.push_back(block);
      loads.emplace(load + work[static_cast<std::size_t>(block)], rank);
      break;
    }
  }
  return blocks;
}

// The exchange of one block of `heavy` with one of `light` that makes the larger of both loads smallest.
struct Exchange {
  std::size_t from = 0, to = 0;
  std::int64_t larger = 0;  // of both loads after it
};
Exchange best_exchange(const std::vector<std::int32_t>& heavy, const std::vector<std::int32_t>& light, Work work) {
  const std::int64_t high = sum_of(heavy, work), low = sum_of(light, work);
  Exchange best{.larger = high};
  for (std::size_t i = 0; i < heavy.size(); ++i) {
    for (std::size_t j = 0; j < light.size(); ++j) {
      const std::int64_t moved = work[static_cast<std::size_t>(heavy[i])] - work[static_cast<std::size_t>(light[j])];
      const std::int64_t larger = std::max(high - moved, low + moved);
      if (larger < best.larger) best = {i, j, larger};
    }
  }
  return best;
}

// What the greedy dealing leaves uneven, for the last blocks have no choice of rank, is exchanged between the rank with most
// and the one with least to do while that helps.
void even_out(Blocks& blocks, Work work) {
  std::vector<std::int64_t> loads;
  for (const auto& mine : blocks) loads.push_back(sum_of(mine, work));
  for (std::size_t round = 0; round < 4 * blocks.size(); ++round) {
    const auto heavy = static_cast<std::size_t>(std::ranges::max_element(loads) - loads.begin());
    const auto light = static_cast<std::size_t>(std::ranges::min_element(loads) - loads.begin());
    const Exchange exchange = best_exchange(blocks[heavy], blocks[light], work);
    if (exchange.larger >= loads[heavy]) return;
    std::swap(blocks[heavy][exchange.from], blocks[light][exchange.to]);
    loads[heavy] = sum_of(blocks[heavy], work);
    loads[light] = sum_of(blocks[light], work);
  }
}

Blocks deal_by_work(std::int32_t ranks, Work work) {
  Blocks blocks = deal_greedily(ranks, work);
  even_out(blocks, work);
  return blocks;
}

double balance_of(const Blocks& blocks, Work work) {
  std::int64_t most = 0;
  for (const auto& mine : blocks) most = std::max(most, sum_of(mine, work));
  const double all = static_cast<double>(std::accumulate(work.begin(), work.end(), std::int64_t{0}));
  return most == 0 ? 1 : all / static_cast<double>(blocks.size()) / static_cast<double>(most);
}

Blocks deal_as(Dealing dealing, std::int32_t ranks, Work work) {
  const auto count = static_cast<std::int32_t>(work.size());
  switch (dealing) {
    case Dealing::kContiguous: return deal_contiguous(count, ranks);
    case Dealing::kZigzag: return deal_zigzag(count, ranks);
    case Dealing::kAuto:
    case Dealing::kDealt: break;
  }
  return deal_by_work(ranks, work);
}

Diagnostics check(std::span<const BlockMask> masks, const LayoutOptions& options) {
  if (options.ranks < 1 || options.ranks > 65536)
    return failure("bad-option", "ranks is " + std::to_string(options.ranks) + "; give 1 to 65536");
  if (masks.empty()) return failure("mask-shape", "there is no block mask; give that of each layer");
  const BlockMaskShape& first = masks.front().shape();
  if (first.q_len != first.kv_len || first.q_block != first.kv_block) {
    return failure("mask-shape", "queries and keys are dealt together, so both need one length and one block size; these are " +
                                     std::to_string(first.q_len) + " and " + std::to_string(first.kv_len) + " in blocks of " +
                                     std::to_string(first.q_block) + " and " + std::to_string(first.kv_block));
  }
  for (const BlockMask& mask : masks) {
    const BlockMaskShape& shape = mask.shape();
    if (shape.q_len == first.q_len && shape.kv_len == first.kv_len && shape.q_block == first.q_block &&
        shape.kv_block == first.kv_block)
      continue;
    return failure("mask-shape", "layers that share a dealing have masks of one length and one block size");
  }
  return {};
}

}  // namespace

std::string_view name_of(Dealing dealing) noexcept {
  switch (dealing) {
    case Dealing::kAuto: return "auto";
    case Dealing::kContiguous: return "contiguous";
    case Dealing::kZigzag: return "zigzag";
    case Dealing::kDealt: return "dealt";
  }
  return "";
}

Result<Layout> deal(std::span<const BlockMask> masks, const LayoutOptions& options) {
  if (Diagnostics wrong = check(masks, options); !wrong.empty()) return wrong;
  const BlockMaskShape& shape = masks.front().shape();
  std::vector<std::int64_t> work(static_cast<std::size_t>(shape.q_blocks()), 0);
  for (const BlockMask& mask : masks) {
    const std::vector<std::int64_t> more = work_of(mask);
    std::ranges::transform(work, more, work.begin(), std::plus<>());
  }
  Layout best;
  double best_balance = -1;
  std::int64_t best_sent = 0;
  for (const Dealing dealing : {Dealing::kContiguous, Dealing::kZigzag, Dealing::kDealt}) {
    if (options.dealing != Dealing::kAuto && options.dealing != dealing) continue;
    Layout layout{
        .length = shape.q_len, .block = shape.q_block, .dealing = dealing, .blocks = deal_as(dealing, options.ranks, work)};
    for (auto& mine : layout.blocks) std::ranges::sort(mine);
    if (options.dealing == dealing) return layout;
    const double balance = std::min(balance_of(layout.blocks, work), options.enough);
    std::int64_t sent = 0;
    for (const BlockMask& mask : masks) sent += distribute(mask, layout, 1).bytes_sent;
    if (balance > best_balance || (balance == best_balance && sent < best_sent)) {
      best = std::move(layout);
      best_balance = balance;
      best_sent = sent;
    }
  }
  return best;
}

}  // namespace flexjit::mpi
