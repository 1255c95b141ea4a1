// Who computes what of one sequence over many ranks: block masks -> blocks of tokens dealt to ranks, the keys that each of them
// needs from others, and what that comes to. No MPI: a simulation of thousands of ranks is as exact as a run on two.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "flexjit/block_mask.h"
#include "flexjit/export.h"
#include "flexjit/result.h"

namespace flexjit::mpi {

// How blocks of tokens are dealt; always as many to each rank, give or take one.
enum class Dealing : std::uint8_t {
  kAuto,        // of those below that reach LayoutOptions::enough the one that sends least, else the best balanced
  kContiguous,  // neighbours
  kZigzag,      // two runs, the i-th from the begin and the i-th from the end: what a causal mask needs
  kDealt,       // the heaviest block first, each to the rank that has least to do so far
};
FLEXJIT_API std::string_view name_of(Dealing dealing) noexcept;  // "auto", "contiguous", "zigzag", "dealt"

struct LayoutOptions {
  std::int32_t ranks = 1;  // 1..65536
  Dealing dealing = Dealing::kAuto;
  double enough = 0.97;  // the balance that kAuto looks for
};

// A value; which blocks of the sequence each rank has, as queries and as keys.
struct Layout {
  std::int32_t length = 0, block = 0;             // tokens; of the sequence, of a block
  Dealing dealing = Dealing::kContiguous;         // never kAuto
  std::vector<std::vector<std::int32_t>> blocks;  // by rank, ascending; a rank may have none

  std::int32_t ranks() const noexcept { return static_cast<std::int32_t>(blocks.size()); }
  std::int32_t block_count() const noexcept { return block < 1 || length < 1 ? 0 : (length - 1) / block + 1; }
  // Tokens of a block; the last one may be cut.
  std::int32_t tokens_of(std::int32_t block_index) const noexcept {
    const std::int32_t begin = block_index * block;
    return length - begin < block ? length - begin : block;
  }
  FLEXJIT_API std::int32_t tokens(std::int32_t rank) const noexcept;
  // Of each of the rank's rows, its position in the sequence; ascending.
  FLEXJIT_API std::vector<std::int32_t> positions(std::int32_t rank) const;
  // Of the rows of some blocks, one block behind the other.
  FLEXJIT_API std::int32_t tokens_in(std::span<const std::int32_t> some_blocks) const noexcept;
  FLEXJIT_API std::vector<std::int32_t> positions_of(std::span<const std::int32_t> some_blocks) const;
};

// Pairs of query and key that a kernel visits for each block of queries, over all planes: those of its blocks that are not
// empty.
FLEXJIT_API std::vector<std::int64_t> work_of(const BlockMask& mask);

// Deals a sequence of which queries and keys are the same tokens. `masks` are those of the layers that share it, in any order:
// the work of a block is their sum, so that tokens stay where they are from layer to layer. Deterministic. Errors
// (`mask-shape`): no mask; q_len other than kv_len; q_block other than kv_block; masks of other lengths or blocks than the
// first. `bad-option`: ranks out of range.
FLEXJIT_API Result<Layout> deal(std::span<const BlockMask> masks, const LayoutOptions& options);

// The blocks of keys that the rank's queries meet in any plane, ascending, its own among them.
FLEXJIT_API std::vector<std::int32_t> needed_keys(const BlockMask& mask, const Layout& layout, std::int32_t rank);

// What one forward pass costs each rank, of a layer with this mask.
struct RankShare {
  std::int64_t tokens = 0;
  std::int64_t work = 0;                            // pairs, as work_of() counts them
  std::int64_t bytes_sent = 0, bytes_received = 0;  // of keys and values, each to each rank that needs it once
};
struct Distribution {
  std::vector<RankShare> ranks;
  double balance = 1;  // mean work over that of the slowest rank
  std::int64_t bytes_sent = 0;
};
// bytes_per_token: of a row of k and one of v, over all batch entries and kv heads.
FLEXJIT_API Distribution distribute(const BlockMask& mask, const Layout& layout, std::int64_t bytes_per_token);

// Which part of a mask a shard has: blocks of queries and of keys in the order of its rows, and heads. The last block of the
// sequence, which may be cut, must be the last of a list that has it.
struct Selection {
  std::span<const std::int32_t> q_blocks{}, kv_blocks{};
  std::int32_t first_head = 0, heads = 1;  // of no matter where the mask has one plane for all
};
FLEXJIT_API Result<BlockMask> select(const BlockMask& mask, const Selection& part);

}  // namespace flexjit::mpi
