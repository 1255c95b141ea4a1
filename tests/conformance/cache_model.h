// A cache full of numbers, new keys beside it, and where each of them must go: what append_kv is compared with.
#pragma once

#include <algorithm>
#include <numeric>
#include <utility>
#include <vector>

#include "flexjit/kv_cache.h"
#include "harness.h"
#include "rotary_oracle.h"
#include "support/ragged.h"
#include "support/random.h"

namespace flexjit::conformance {

struct Growth {
  std::int32_t past = 0, more = 0;
};

struct CacheShape {
  std::vector<Growth> sequences;
  KeysIn keys = KeysIn::kPages;
  DType dtype = DType::kF32;
  std::int32_t page_size = 4, kv_heads = 2, k_dim = 16, v_dim = 8;
  bool packed = false;
  std::uint64_t seed = 1;
};

// A cache full of numbers, new keys beside it, and the places of both.
class Cache {
 public:
  explicit Cache(const CacheShape& shape) : shape_(shape), random_(shape.seed) {
    lay_out_cache();
    lay_out_fresh();
    for (Tensor* tensor : {&k, &v, &fresh_k, &fresh_v}) tensor->fill([&](std::size_t) { return random_.unit() * 4 - 2; });
  }
  Cache(const Cache&) = delete;

  KvCache cache() {
    KvCache view{.k = k.view(), .v = v.view(), .past_len = ints(past)};
    if (shape_.keys == KeysIn::kPageList) {
      view.page_indptr = ints(indptr);
      view.page_indices = ints(indices);
    } else if (paged()) {
      view.block_table = {table.data(), DType::kI32, {batch(), max_pages}};
    } else {
      view.cache_batch_idx = ints(entries);
      if (shape_.keys == KeysIn::kPaddedCache) view.cache_leftpad = ints(leftpad);
    }
    return view;
  }
  NewKeys fresh(const Rotary* rotary = nullptr) const {
    NewKeys keys{.k = fresh_k.view(), .v = fresh_v.view(), .rotary = rotary};
    if (shape_.packed) keys.cu_seqlens_k_new = ints(begins);
    return keys;
  }

  std::int64_t batch() const { return static_cast<std::int64_t>(shape_.sequences.size()); }
  bool paged() const { return shape_.keys >= KeysIn::kPages; }
  // Entry and row of a key.
  std::pair<std::int64_t, std::int64_t> place(std::int64_t b, std::int64_t key) const {
    if (paged()) return {table[at(b * max_pages + key / shape_.page_size)], key % shape_.page_size};
    return {entries[at(b)], key + (shape_.keys == KeysIn::kPaddedCache ? leftpad[at(b)] : 0)};
  }
  std::pair<std::int64_t, std::int64_t> fresh_place(std::int64_t b, std::int64_t i) const {
    return shape_.packed ? std::pair<std::int64_t, std::int64_t>{0, begins[at(b)] + i} : std::pair{b, i};
  }
  std::int64_t more(std::int64_t b) const { return shape_.packed ? shape_.sequences[at(b)].more : fresh_k.view().shape[2]; }
  static std::vector<double> row(const Tensor& of, std::pair<std::int64_t, std::int64_t> place, std::int64_t head) {
    std::vector<double> values;
    for (std::int64_t d = 0; d < of.view().shape[3]; ++d) values.push_back(of[element(of, place, head, d)]);
    return values;
  }
  static std::size_t element(const Tensor& of, std::pair<std::int64_t, std::int64_t> place, std::int64_t head, std::int64_t d) {
    const auto& e = of.view().shape;
    return at(((place.first * e[1] + head) * e[2] + place.second) * e[3] + d);
  }
  // The cache as it must be after an append to it.
  void append_to(Tensor& k_model, Tensor& v_model, const RotaryTables* rotary) const {
    for (std::int64_t b = 0; b < batch(); ++b) {
      for (std::int64_t i = 0; i < more(b); ++i) {
        for (std::int64_t h = 0; h < shape_.kv_heads; ++h) {
          const std::int64_t key = past[at(b)] + i;
          std::vector<double> of_k = row(fresh_k, fresh_place(b, i), h);
          const std::vector<double> of_v = row(fresh_v, fresh_place(b, i), h);
          if (rotary != nullptr) of_k = rotary->rotated(of_k, key);
          for (std::size_t d = 0; d < of_k.size(); ++d)
            k_model.set(element(k, place(b, key), h, static_cast<std::int64_t>(d)), of_k[d]);
          for (std::size_t d = 0; d < of_v.size(); ++d)
            v_model.set(element(v, place(b, key), h, static_cast<std::int64_t>(d)), of_v[d]);
        }
      }
    }
  }

  static TensorView ints(const std::vector<std::int32_t>& values) {
    return {values.data(), DType::kI32, {static_cast<std::int64_t>(values.size())}};
  }

  Tensor k{DType::kF32, {}}, v{DType::kF32, {}}, fresh_k{DType::kF32, {}}, fresh_v{DType::kF32, {}};
  std::vector<std::int32_t> past, entries, leftpad, table, indptr, indices, begins;
  std::int64_t max_pages = 0;

 private:
  void lay_out_cache() {
    std::int32_t longest = 0;
    for (const Growth& one : shape_.sequences) {
      past.push_back(one.past);
      longest = std::max(longest, one.past + one.more);
    }
    Extents extents{batch() + 2, shape_.kv_heads, longest + 5, shape_.k_dim};
    if (paged()) {
      max_pages = (longest + shape_.page_size - 1) / shape_.page_size + 1;
      std::vector<std::int32_t> pages(at(batch() * max_pages + 3));
      std::iota(pages.begin(), pages.end(), 0);
      shuffle(pages);
      table.assign(pages.begin(), pages.begin() + batch() * max_pages);
      indices = table;
      for (std::int64_t b = 0; b <= batch(); ++b) indptr.push_back(static_cast<std::int32_t>(b * max_pages));
      extents = {static_cast<std::int64_t>(pages.size()), shape_.kv_heads, shape_.page_size, shape_.k_dim};
    } else {
      entries.resize(at(batch() + 2));
      std::iota(entries.begin(), entries.end(), 0);
      shuffle(entries);
      entries.resize(at(batch()));
      leftpad = random_.integers(at(batch()), 0, 5);
    }
    const Layout layout = shape_.keys == KeysIn::kPagesByHead ? Layout(dense) : Layout(length_first);
    k = Tensor(shape_.dtype, extents, layout);
    extents[3] = shape_.v_dim;
    v = Tensor(shape_.dtype, extents, layout);
  }
  void lay_out_fresh() {
    std::int32_t total = 2, longest = 0;  // rows before the first belong to none
    for (const Growth& one : shape_.sequences) {
      begins.push_back(total);
      total += one.more;
      longest = std::max(longest, one.more);
    }
    begins.push_back(total);
    Extents extents{shape_.packed ? 1 : batch(), shape_.kv_heads, shape_.packed ? total + 1 : longest, shape_.k_dim};
    fresh_k = Tensor(shape_.dtype, extents, length_first);
    extents[3] = shape_.v_dim;
    fresh_v = Tensor(shape_.dtype, extents, length_first);
  }
  void shuffle(std::vector<std::int32_t>& values) {
    for (std::size_t i = values.size(); i > 1; --i)
      std::swap(values[i - 1], values[at(random_.integer(0, static_cast<std::int32_t>(i) - 1))]);
  }

  CacheShape shape_;
  Random random_;
};

}  // namespace flexjit::conformance
