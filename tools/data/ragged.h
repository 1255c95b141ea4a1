// Files of lengths and pages, or lengths that the user named -> the sequences of a call and where each lies.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "command_line/options.h"
#include "data/array.h"
#include "flexjit/sequences.h"

namespace flexjit::tools {

struct SequenceLengths {
  std::int64_t q = 0, kv = 0;
};

// "1x4096", or "64*1x512" for 64 of them; one text may hold several with commas between them. Error: `usage`.
Result<std::vector<SequenceLengths>> parse_lengths(const std::vector<std::string>& texts);

// The first and the third extent of a (batch, heads, length, dim) tensor.
struct Extent {
  std::int64_t entries = 0, rows = 0;
};

class Ragged {
 public:
  Ragged(const Ragged&) = delete;
  Ragged& operator=(const Ragged&) = delete;

  // Packed queries; keys packed, in caches of a batch entry each, or in pages of which each sequence has its own, in random
  // order. Error: `usage` for lengths that are none, or longer than a cache.
  static Result<std::shared_ptr<const Ragged>> make(const SequenceOptions& options, std::uint64_t seed);
  // Of tensors of these extents. Errors: those of read_npy and convert; a call says what is wrong with the numbers.
  static Result<std::shared_ptr<const Ragged>> read(const SequenceOptions& files, Extent queries, Extent keys);

  // Of a call; points into this.
  const Sequences& sequences() const { return sequences_; }
  // As the call has them, as far as its numbers make sense.
  const std::vector<SequenceLengths>& lengths() const { return lengths_; }
  Extent queries() const { return queries_; }
  Extent keys() const { return keys_; }
  bool paged() const { return sequences_.block_table.data != nullptr || sequences_.page_indptr.data != nullptr; }
  std::int64_t total_keys() const;
  SequenceLengths longest() const;
  // (query, key) pairs, of one head.
  double pairs() const;
  // The entry and the row of q, out and lse that hold a query.
  std::array<std::int64_t, 2> place_of(std::size_t sequence, std::int64_t query) const;

 private:
  Ragged() = default;
  void set_total_len();
  void make_pages(std::int64_t page_size, std::uint64_t seed);
  void find_lengths();
  void make_views();

  // In the order of the fields of Sequences; no shape: absent.
  Array cu_seqlens_q_, seqused_q_, cu_seqlens_k_, total_len_, cache_batch_idx_, cache_leftpad_, block_table_, page_indptr_,
      page_indices_;
  Extent queries_, keys_;
  std::vector<SequenceLengths> lengths_;
  Sequences sequences_;
};

// "3 sequences, 1..512 queries, 512..4096 keys, pages of 64".
std::string describe(const Ragged& ragged);

}  // namespace flexjit::tools
