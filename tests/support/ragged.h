// Sequences of lengths of their own, each a problem by itself, laid out in tensors in every way that a call takes them: beside
// each other, packed, in caches, in pages. Memory that belongs to no sequence is NaN, so that what is read there shows.
#pragma once

#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "flexjit/sequences.h"
#include "support/comparison.h"
#include "support/oracle.h"
#include "support/problem.h"

namespace flexjit::test {

struct Lengths {
  std::int32_t q = 0, kv = 0;
};

enum class QueriesIn : std::uint8_t { kBatch, kPacked };
enum class KeysIn : std::uint8_t { kPacked, kOwnCache, kCache, kPaddedCache, kPages, kPagesByHead, kPageList };
std::string to_string(QueriesIn queries);
std::string to_string(KeysIn keys);

struct RaggedShape {
  std::vector<Lengths> lengths;
  Shape each{};  // heads and dims; its batch and lengths do not matter
  Types types{};
  QueriesIn queries = QueriesIn::kPacked;
  KeysIn keys = KeysIn::kPacked;
  std::int32_t page_size = 16;
  std::uint64_t seed = 1;
};
std::string to_string(const RaggedShape& shape);

// Moves not at all: a call's views point into it.
class Ragged {
 public:
  explicit Ragged(const RaggedShape& shape);
  Ragged(const Ragged&) = delete;
  Ragged& operator=(const Ragged&) = delete;

  RunArgs args(const Bindings* bindings = nullptr);
  void poison_outputs();

  // Each sequence against the oracle: `pattern` sees the batch entry of the sequence. What belongs to none must be untouched.
  ::testing::AssertionResult is_attention(const OraclePattern& pattern, const Bounds& bounds = {}) const;
  // The outputs of one sequence, out then lse.
  std::vector<double> outputs_of(std::size_t sequence) const;
  // Packed position of query 0 and of key 0.
  std::int32_t q_offset(std::size_t sequence) const { return shape_.queries == QueriesIn::kPacked ? cu_q_[sequence] : 0; }
  std::int32_t kv_offset(std::size_t sequence) const { return shape_.keys == KeysIn::kPacked ? cu_k_[sequence] : 0; }
  // An entry and a row of q or of k.
  struct Place {
    std::int64_t batch = 0, row = 0;
  };
  Place query(std::size_t sequence, std::int64_t i) const;
  Place key(std::size_t sequence, std::int64_t i) const;
  const std::vector<Problem>& problems() const { return problems_; }
  Problem& problem(std::size_t sequence) { return problems_[sequence]; }
  const RaggedShape& shape() const { return shape_; }
  // Of the pages of a sequence, to be changed before a call.
  std::vector<std::int32_t>& block_table() { return table_; }
  // The first keys of one sequence become those of another, where they are compared.
  void share_keys(std::size_t from, std::size_t to, std::int32_t keys);
  std::int32_t max_pages() const { return max_pages_; }
  Tensor q{DType::kF32, {}}, k{DType::kF32, {}}, v{DType::kF32, {}}, out{DType::kF32, {}};
  std::vector<float> lse;  // (batch, q_heads, q_len) of out
  Sequences sequences;

 private:
  void lay_out_queries();
  void lay_out_keys();
  std::int32_t shuffle_pages(std::int32_t longest, std::mt19937& random);
  void make_views();
  void copy_in();

  RaggedShape shape_;
  std::vector<Problem> problems_;
  std::vector<std::int32_t> cu_q_, cu_k_, used_q_, total_len_, batch_idx_, leftpad_, table_, indptr_, indices_;
  std::int32_t max_pages_ = 0;
};

}  // namespace flexjit::test
