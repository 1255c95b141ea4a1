// Rows of problems into tensors, by one function from a position to its place for queries and one for keys.
#include "support/ragged.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>

namespace flexjit::test {

namespace {

constexpr double kOfNoSequence = std::numeric_limits<double>::quiet_NaN();
constexpr std::int32_t kRoomBehind = 7;  // rows behind what is used

std::size_t place_in(std::int64_t i) { return static_cast<std::size_t>(i); }

std::size_t element(const Extents& extents, std::int64_t b, std::int64_t h, std::int64_t row, std::int64_t d) {
  return place_in(((b * extents[1] + h) * extents[2] + row) * extents[3] + d);
}

TensorView ints(const std::vector<std::int32_t>& values) {
  return values.empty() ? TensorView{} : TensorView(values.data(), DType::kI32, {static_cast<std::int64_t>(values.size())});
}

// Pages one behind the other, and in each its heads one behind the other.
Strides by_head(const Extents& e) { return dense(e); }

}  // namespace

std::string to_string(QueriesIn queries) { return queries == QueriesIn::kBatch ? "batch" : "packed"; }
std::string to_string(KeysIn keys) {
  switch (keys) {
    case KeysIn::kPacked: return "packed";
    case KeysIn::kOwnCache: return "own cache";
    case KeysIn::kCache: return "cache";
    case KeysIn::kPaddedCache: return "padded cache";
    case KeysIn::kPages: return "pages";
    case KeysIn::kPagesByHead: return "pages by head";
    case KeysIn::kPageList: return "page list";
  }
  return {};
}

std::string to_string(const RaggedShape& shape) {
  std::string text = to_string(shape.each) + ", " + to_string(shape.types) + ", queries " + to_string(shape.queries) +
                     ", keys " + to_string(shape.keys) + ", page size " + std::to_string(shape.page_size) + ", seed " +
                     std::to_string(shape.seed) + ", lengths";
  for (const Lengths& one : shape.lengths) text += " " + std::to_string(one.q) + "x" + std::to_string(one.kv);
  return text;
}

Ragged::Ragged(const RaggedShape& shape) : shape_(shape) {
  for (std::size_t i = 0; i < shape.lengths.size(); ++i) {
    Shape one = shape.each;
    one.batch = 1;
    one.q_len = shape.lengths[i].q;
    one.kv_len = shape.lengths[i].kv;
    problems_.emplace_back(one, shape.types, shape.seed * 1000 + i);
  }
  lay_out_queries();
  lay_out_keys();
  copy_in();
  poison_outputs();
  make_views();
}

void Ragged::lay_out_queries() {
  const std::int64_t heads = shape_.each.q_heads, batch = static_cast<std::int64_t>(problems_.size());
  std::int32_t longest = 0, total = 3;  // rows before the first sequence belong to none
  for (const Lengths& one : shape_.lengths) {
    cu_q_.push_back(total);
    total += one.q;
    longest = std::max(longest, one.q);
  }
  cu_q_.push_back(total);
  const bool packed = shape_.queries == QueriesIn::kPacked;
  const Extents rows{packed ? 1 : batch, heads, packed ? total + kRoomBehind : longest + 1, shape_.each.head_dim};
  q = Tensor(shape_.types.q, rows, length_first);
  out = Tensor(shape_.types.out, {rows[0], heads, rows[2], shape_.each.value_dim()}, length_first);
  lse.resize(place_in(rows[0] * heads * rows[2]));
  if (!packed) {
    cu_q_.clear();
    for (const Lengths& one : shape_.lengths) used_q_.push_back(one.q);
  }
}

// Every sequence has its own, in any order; a page at each end belongs to none. Returns how many there are.
std::int32_t Ragged::shuffle_pages(std::int32_t longest, std::mt19937& random) {
  const auto pages_of = [&](std::int32_t length) { return (length + shape_.page_size - 1) / shape_.page_size; };
  std::int32_t pages = 0;
  for (const Lengths& one : shape_.lengths) pages += pages_of(one.kv);
  max_pages_ = pages_of(longest) + 1;
  std::vector<std::int32_t> places(place_in(pages));
  std::iota(places.begin(), places.end(), 1);
  std::shuffle(places.begin(), places.end(), random);
  std::size_t next = 0;
  indptr_.push_back(0);
  for (const Lengths& one : shape_.lengths) {
    for (std::int32_t i = 0; i < max_pages_; ++i) {
      const bool used = i < pages_of(one.kv);
      table_.push_back(used ? places[next] : -1);
      if (used) indices_.push_back(places[next++]);
    }
    indptr_.push_back(static_cast<std::int32_t>(indices_.size()));
  }
  return pages + 2;
}

void Ragged::lay_out_keys() {
  const std::int64_t heads = shape_.each.kv_heads, batch = static_cast<std::int64_t>(problems_.size());
  std::mt19937 random(static_cast<unsigned>(shape_.seed));
  std::int32_t longest = 0, total = 2;
  for (const Lengths& one : shape_.lengths) {
    cu_k_.push_back(total);
    total += one.kv;
    longest = std::max(longest, one.kv);
    total_len_.push_back(one.kv);
  }
  cu_k_.push_back(total);
  Extents rows{1, heads, total + kRoomBehind, shape_.each.head_dim};
  Layout layout = length_first;
  switch (shape_.keys) {
    case KeysIn::kPacked: total_len_.clear(); break;
    case KeysIn::kOwnCache:
      rows[0] = batch;
      rows[2] = longest + kRoomBehind;
      for (std::int64_t b = 0; b < batch; ++b) leftpad_.push_back(static_cast<std::int32_t>(random() % (kRoomBehind + 1)));
      break;
    case KeysIn::kCache:
    case KeysIn::kPaddedCache:
      rows[0] = batch + 2;
      rows[2] = longest + kRoomBehind;
      batch_idx_.resize(place_in(batch));
      std::iota(batch_idx_.begin(), batch_idx_.end(), 1);
      std::shuffle(batch_idx_.begin(), batch_idx_.end(), random);
      for (std::int64_t b = 0; b < batch && shape_.keys == KeysIn::kPaddedCache; ++b)
        leftpad_.push_back(static_cast<std::int32_t>(random() % (kRoomBehind + 1)));
      break;
    case KeysIn::kPages:
    case KeysIn::kPagesByHead:
    case KeysIn::kPageList:
      rows[0] = shuffle_pages(longest, random);
      rows[2] = shape_.page_size;
      if (shape_.keys == KeysIn::kPagesByHead) layout = by_head;
      break;
  }
  k = Tensor(shape_.types.kv, rows, layout);
  v = Tensor(shape_.types.kv, {rows[0], heads, rows[2], shape_.each.value_dim()}, layout);
}

Ragged::Place Ragged::query(std::size_t sequence, std::int64_t i) const {
  if (shape_.queries == QueriesIn::kPacked) return {0, cu_q_[sequence] + i};
  return {static_cast<std::int64_t>(sequence), i};
}

Ragged::Place Ragged::key(std::size_t sequence, std::int64_t i) const {
  switch (shape_.keys) {
    case KeysIn::kPacked: return {0, cu_k_[sequence] + i};
    case KeysIn::kOwnCache: return {static_cast<std::int64_t>(sequence), leftpad_[sequence] + i};
    case KeysIn::kCache: return {batch_idx_[sequence], i};
    case KeysIn::kPaddedCache: return {batch_idx_[sequence], leftpad_[sequence] + i};
    case KeysIn::kPages:
    case KeysIn::kPagesByHead:
    case KeysIn::kPageList:
      return {table_[sequence * place_in(max_pages_) + place_in(i / shape_.page_size)], i % shape_.page_size};
  }
  return {};
}

void Ragged::copy_in() {
  for (Tensor* tensor : {&q, &k, &v}) tensor->fill([](std::size_t) { return kOfNoSequence; });
  const auto copy = [](const Tensor& from, std::int64_t rows, Tensor& to, const auto& place_of) {
    const TensorView source = from.view(), target = to.view();
    const Extents of_source{1, source.shape[1], rows, source.shape[3]};
    const Extents of_target{target.shape[0], target.shape[1], target.shape[2], target.shape[3]};
    for (std::int64_t h = 0; h < source.shape[1]; ++h) {
      for (std::int64_t row = 0; row < rows; ++row) {
        const Place place = place_of(row);
        for (std::int64_t d = 0; d < source.shape[3]; ++d)
          to.set(element(of_target, place.batch, h, place.row, d), from[element(of_source, 0, h, row, d)]);
      }
    }
  };
  for (std::size_t i = 0; i < problems_.size(); ++i) {
    const Problem& one = problems_[i];
    copy(one.q, one.shape.q_len, q, [&](std::int64_t row) { return query(i, row); });
    copy(one.k, one.shape.kv_len, k, [&](std::int64_t row) { return key(i, row); });
    copy(one.v, one.shape.kv_len, v, [&](std::int64_t row) { return key(i, row); });
  }
}

void Ragged::share_keys(std::size_t from, std::size_t to, std::int32_t keys) {
  const auto share = [&](const Tensor& source, Tensor& target) {
    const TensorView a = source.view(), b = std::as_const(target).view();
    const Extents of_a{1, a.shape[1], a.shape[2], a.shape[3]}, of_b{1, b.shape[1], b.shape[2], b.shape[3]};
    for (std::int64_t h = 0; h < a.shape[1]; ++h) {
      for (std::int64_t row = 0; row < keys; ++row) {
        for (std::int64_t d = 0; d < a.shape[3]; ++d)
          target.set(element(of_b, 0, h, row, d), source[element(of_a, 0, h, row, d)]);
      }
    }
  };
  share(problems_[from].k, problems_[to].k);
  share(problems_[from].v, problems_[to].v);
}

void Ragged::poison_outputs() {
  out.fill([](std::size_t) { return kOfNoSequence; });
  std::ranges::fill(lse, std::numeric_limits<float>::quiet_NaN());
}

void Ragged::make_views() {
  sequences.cu_seqlens_q = ints(cu_q_);
  sequences.seqused_q = ints(used_q_);
  sequences.total_len = ints(total_len_);
  if (shape_.keys == KeysIn::kPacked) sequences.cu_seqlens_k = ints(cu_k_);
  sequences.cache_batch_idx = ints(batch_idx_);
  sequences.cache_leftpad = ints(leftpad_);
  if (shape_.keys == KeysIn::kPageList) {
    sequences.page_indptr = ints(indptr_);
    sequences.page_indices = TensorView(indices_.data(), DType::kI32, {static_cast<std::int64_t>(indices_.size())});
  } else if (!table_.empty()) {
    const auto batch = static_cast<std::int64_t>(problems_.size());
    sequences.block_table = TensorView(table_.data(), DType::kI32, {batch, max_pages_});
  }
}

RunArgs Ragged::args(const Bindings* bindings) {
  const TensorView rows = std::as_const(out).view();
  return {.q = std::as_const(q).view(),
          .k = std::as_const(k).view(),
          .v = std::as_const(v).view(),
          .out = out.view(),
          .lse = MutableTensorView(lse.data(), DType::kF32, {rows.shape[0], rows.shape[1], rows.shape[2]}),
          .bindings = bindings,
          .sequences = &sequences};
}

std::vector<double> Ragged::outputs_of(std::size_t sequence) const {
  std::vector<double> values, of_lse;
  const TensorView view = out.view();
  const Extents extents{view.shape[0], view.shape[1], view.shape[2], view.shape[3]};
  for (std::int64_t h = 0; h < extents[1]; ++h) {
    for (std::int64_t i = 0; i < shape_.lengths[sequence].q; ++i) {
      const Place place = query(sequence, i);
      for (std::int64_t d = 0; d < extents[3]; ++d) values.push_back(out[element(extents, place.batch, h, place.row, d)]);
      of_lse.push_back(static_cast<double>(lse[place_in((place.batch * extents[1] + h) * extents[2] + place.row)]));
    }
  }
  values.insert(values.end(), of_lse.begin(), of_lse.end());
  return values;
}

::testing::AssertionResult Ragged::is_attention(const OraclePattern& pattern, const Bounds& bounds) const {
  std::size_t written = 0;
  for (std::size_t i = 0; i < problems_.size(); ++i) {
    OraclePattern own = pattern;
    const auto b = static_cast<std::int32_t>(i);
    const auto here = [b](Position p) {
      p.b = b;
      return p;
    };
    if (pattern.score) own.score = [&, here](Real score, const Position& p) { return pattern.score(score, here(p)); };
    if (pattern.mask) own.mask = [&, here](const Position& p) { return pattern.mask(here(p)); };
    if (pattern.factor) own.factor = [&, here](const Position& p) { return pattern.factor(here(p)); };
    const OracleResult expected = oracle(problems_[i], own);
    const std::vector<double> actual = outputs_of(i);
    const auto split = actual.begin() + static_cast<std::ptrdiff_t>(expected.out.size());
    const auto out_agrees = close(std::vector<double>(actual.begin(), split), expected.out, bounds.out);
    if (!out_agrees)
      return ::testing::AssertionFailure() << "out of sequence " << i << " of " << to_string(shape_) << ": "
                                           << out_agrees.message();
    written += expected.out.size();
    if (pattern.weights == Weights::kSigmoid) continue;
    const auto lse_agrees = close(std::vector<double>(split, actual.end()), expected.lse, bounds.lse);
    if (!lse_agrees)
      return ::testing::AssertionFailure() << "lse of sequence " << i << " of " << to_string(shape_) << ": "
                                           << lse_agrees.message();
  }
  const std::vector<double> all = out.values();
  const auto untouched = std::ranges::count_if(all, [](double x) { return std::isnan(x); });
  if (static_cast<std::size_t>(untouched) + written != all.size())
    return ::testing::AssertionFailure() << "rows of no sequence were written: " << to_string(shape_);
  return ::testing::AssertionSuccess();
}

}  // namespace flexjit::test
