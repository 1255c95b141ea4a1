// Pages of keys and values for many sequences: who has which page, in the layout that is read fastest here.
//
//   PagePool pool = PagePool::create({.pages = 4096, .kv_heads = 8, .head_dim = 128, .dtype = DType::kBF16}).value();
//   PageList pages;                                   // one a sequence
//   pool.make_room(pages, past_len, new_len).value();  // before append_kv
//   pool.release(pages);                               // when the sequence ends
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "flexjit/export.h"
#include "flexjit/result.h"
#include "flexjit/tensor.h"

namespace flexjit {

struct PagePoolOptions {
  std::int32_t pages = 0;
  std::int32_t kv_heads = 0;
  std::int32_t head_dim = 0;
  std::int32_t v_head_dim = 0;  // 0: head_dim
  DType dtype = DType::kF32;
  std::int32_t page_size = 64;  // keys of a page
};

// The pages of one sequence, by their place in it: page i holds its keys [i * page_size, (i + 1) * page_size).
using PageList = std::vector<std::int32_t>;

// Pages with numbers of owners, so that sequences may share what they begin with. Memory is zeros at first; the system gives it
// as pages are written. Not thread-safe; calls of attention may read its pages meanwhile. A pool that was moved from has no
// tensors and no pages, and its changes are the error `empty-handle`.
class FLEXJIT_API PagePool {
 public:
  // Errors: `bad-option` for sizes below 1 and dtypes that no keys have; `out-of-memory`.
  static Result<PagePool> create(const PagePoolOptions& options);
  PagePool(PagePool&&) noexcept;
  PagePool& operator=(PagePool&&) noexcept;
  ~PagePool();

  // (pages, kv_heads, page_size, dim), dense: RunArgs::k and v, KvCache::k and v. They stay where they are when the pool is
  // moved.
  MutableTensorView k() const;
  MutableTensorView v() const;
  const PagePoolOptions& options() const;
  std::int32_t free_pages() const;
  // How many lists have the page.
  std::int32_t owners(std::int32_t page) const;

  // Makes room for keys [past_len, past_len + new_len) of a sequence that owns `pages`: adds pages behind the last one, and
  // replaces those of other owners among the ones that the new keys are written to by copies. All or nothing. Errors:
  // `no-pages` where too few are free, `sequence-index` for a past_len that lies behind the pages, negative lengths and pages
  // that the pool does not have or that have no owner.
  Status make_room(PageList& pages, std::int64_t past_len, std::int64_t new_len);
  // The pages of a sequence that begins with the first `prefix_len` keys of another; they have one owner more. Errors as above.
  Result<PageList> share(const PageList& pages, std::int64_t prefix_len);
  // Ends a sequence: `pages` is empty, and those without an owner are free. Errors as above, and for a
  // page that is listed oftener than it has owners.
  Status release(PageList& pages);
  // A row of a block table: the pages, then -1. Error `bad-option` where `row` is too short.
  Status write_row(const PageList& pages, std::span<std::int32_t> row) const;

 private:
  struct Impl;
  explicit PagePool(std::unique_ptr<Impl> impl) noexcept;
  std::unique_ptr<Impl> impl_;
};

}  // namespace flexjit
