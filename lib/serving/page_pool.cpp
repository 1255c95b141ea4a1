// Free pages are a stack: the one that came back last is the next to go, while it may still be in a cache.
#include "flexjit/page_pool.h"

#include <fmt/format.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>
#include <string>
#include <utility>

#include "call/validate.h"
#include "diagnostics/guard.h"
#include "pattern/pattern.h"
#include "serving/append_call.h"

namespace flexjit {

namespace {

using engine::Finding;
using engine::Report;

// A huge page of the system. Pages of keys that lie anywhere in small ones cost a walk of page tables each: decoding with pages
// of 16 keys takes a quarter longer than with huge pages.
constexpr std::int64_t kAlignment = std::int64_t{2} << 20;

Diagnostics check(const PagePoolOptions& options) {
  Report report("PagePool::create");
  const auto at_least_1 = [&](const char* name, std::int64_t value, std::int64_t most) {
    if (value < 1 || value > most) report.add(Finding::kBadOption, name, value, fmt::format("give 1 to {}", most));
  };
  at_least_1("pages", options.pages, engine::kMaxLength);
  at_least_1("kv_heads", options.kv_heads, engine::kMaxLength);
  at_least_1("head_dim", options.head_dim, engine::kMaxHeadDim);
  at_least_1("v_head_dim", options.v_head_dim, engine::kMaxHeadDim);
  at_least_1("page_size", options.page_size, engine::kMaxLength);
  engine::check_cache_dtype("dtype", options.dtype, report);
  if (!report.empty()) return report.take();
  const TensorView k(&report, options.dtype, {options.pages, options.kv_heads, options.page_size, options.head_dim});
  const TensorView v(&report, options.dtype, {options.pages, options.kv_heads, options.page_size, options.v_head_dim});
  engine::check_view("k", k, report);
  engine::check_view("v", v, report);
  return report.take();
}

}  // namespace

struct PagePool::Impl {
  // Zeros that take no memory until they are written.
  class Zeros {
   public:
    explicit Zeros(std::int64_t bytes) : memory_(std::calloc(static_cast<std::size_t>(bytes + kAlignment), 1)) {
      if (memory_ == nullptr) throw std::bad_alloc();
      if (bytes >= kAlignment) ::madvise(data(), static_cast<std::size_t>(bytes), MADV_HUGEPAGE);  // a wish
    }
    ~Zeros() { std::free(memory_); }
    Zeros(const Zeros&) = delete;
    Zeros& operator=(const Zeros&) = delete;
    std::byte* data() const {
      const auto address = reinterpret_cast<std::uintptr_t>(memory_);
      return static_cast<std::byte*>(memory_) + (kAlignment - static_cast<std::int64_t>(address % kAlignment)) % kAlignment;
    }

   private:
    void* memory_;
  };

  explicit Impl(const PagePoolOptions& of)
      : options(of), k(of.pages * page_bytes(of.head_dim)), v(of.pages * page_bytes(of.v_head_dim)) {
    owners.assign(static_cast<std::size_t>(of.pages), 0);
    free.reserve(owners.size());
    for (std::int32_t page = of.pages; page-- > 0;) free.push_back(page);
  }

  std::int64_t page_bytes(std::int32_t dim) const {
    return std::int64_t{options.kv_heads} * options.page_size * dim * static_cast<std::int64_t>(size_of(options.dtype));
  }
  MutableTensorView view(const Zeros& memory, std::int32_t dim) const {
    return {memory.data(), options.dtype, {options.pages, options.kv_heads, options.page_size, dim}};
  }
  std::int64_t pages_for(std::int64_t keys) const { return (keys + options.page_size - 1) / options.page_size; }
  std::int32_t& owners_of(std::int32_t page) { return owners[static_cast<std::size_t>(page)]; }

  void check_pages(const PageList& pages, Report& report) const {
    for (std::size_t i = 0; i < pages.size(); ++i) {
      const bool exists = pages[i] >= 0 && pages[i] < options.pages;
      if (exists && owners[static_cast<std::size_t>(pages[i])] > 0) continue;
      report.add(Finding::kSequenceIndex, "pages", i, pages[i],
                 exists ? std::string("a page that has an owner") : fmt::format("0 to {}", options.pages - 1));
      return;
    }
  }
  // The place of the first page that is listed oftener than it has owners; the number of pages for none.
  std::size_t listed_too_often(const PageList& pages) {
    std::size_t taken = 0;
    while (taken < pages.size() && owners_of(pages[taken]) > 0) --owners_of(pages[taken++]);
    for (std::size_t i = 0; i < taken; ++i) ++owners_of(pages[i]);
    return taken;
  }
  std::int32_t take() {
    const std::int32_t page = free.back();
    free.pop_back();
    owners_of(page) = 1;
    return page;
  }
  void drop(std::int32_t page) {
    if (--owners_of(page) == 0) free.push_back(page);
  }
  std::int32_t copy(std::int32_t page) {
    const std::int32_t own = take();
    for (const auto& [memory, dim] : {std::pair{&k, options.head_dim}, {&v, options.v_head_dim}}) {
      const std::int64_t bytes = page_bytes(dim);
      std::memcpy(memory->data() + own * bytes, memory->data() + page * bytes, static_cast<std::size_t>(bytes));
    }
    return own;
  }

  PagePoolOptions options;
  Zeros k, v;
  std::vector<std::int32_t> owners;
  std::vector<std::int32_t> free;
};

PagePool::PagePool(std::unique_ptr<Impl> impl) noexcept : impl_(std::move(impl)) {}
PagePool::PagePool(PagePool&&) noexcept = default;
PagePool& PagePool::operator=(PagePool&&) noexcept = default;
PagePool::~PagePool() = default;

Result<PagePool> PagePool::create(const PagePoolOptions& options) {
  return engine::guarded("PagePool::create", [&]() -> Result<PagePool> {
    PagePoolOptions full = options;
    if (full.v_head_dim == 0) full.v_head_dim = full.head_dim;
    if (Diagnostics wrong = check(full); !wrong.empty()) return wrong;
    return PagePool(std::make_unique<Impl>(full));
  });
}

namespace {

// body(), unless something was moved out of the pool.
template <typename Pointer, typename Body>
auto guarded_pool(const char* call, const Pointer& impl, const Body& body) -> decltype(body()) {
  return engine::guarded(call, [&]() -> decltype(body()) {
    if (impl == nullptr)
      return engine::single_finding(call, Finding::kEmptyHandle, "pool", "make another by PagePool::create()");
    return body();
  });
}

}  // namespace

MutableTensorView PagePool::k() const {
  return impl_ != nullptr ? impl_->view(impl_->k, impl_->options.head_dim) : MutableTensorView{};
}
MutableTensorView PagePool::v() const {
  return impl_ != nullptr ? impl_->view(impl_->v, impl_->options.v_head_dim) : MutableTensorView{};
}
const PagePoolOptions& PagePool::options() const {
  static const PagePoolOptions none;
  return impl_ != nullptr ? impl_->options : none;
}
std::int32_t PagePool::free_pages() const { return impl_ != nullptr ? static_cast<std::int32_t>(impl_->free.size()) : 0; }
std::int32_t PagePool::owners(std::int32_t page) const {
  return impl_ != nullptr && page >= 0 && page < impl_->options.pages ? impl_->owners_of(page) : 0;
}

Status PagePool::make_room(PageList& pages, std::int64_t past_len, std::int64_t new_len) {
  return guarded_pool("PagePool::make_room", impl_, [&]() -> Status {
    Report report("PagePool::make_room");
    impl_->check_pages(pages, report);
    const std::int64_t page_size = impl_->options.page_size, has = static_cast<std::int64_t>(pages.size());
    if (past_len < 0 || past_len > has * page_size)
      report.add(Finding::kBadOption, "past_len", past_len, fmt::format("its {} pages hold {} keys", has, has * page_size));
    if (new_len < 0 || new_len > engine::kMaxLength)
      report.add(Finding::kBadOption, "new_len", new_len, fmt::format("give 0 to {}", engine::kMaxLength));
    if (!report.empty()) return report.take();
    if (new_len == 0) return Unit{};
    const std::int64_t wanted = std::max(has, impl_->pages_for(past_len + new_len));
    const auto first = static_cast<std::size_t>(past_len / page_size);
    const auto written = static_cast<std::size_t>(std::min(has, impl_->pages_for(past_len + new_len)));
    const auto is_shared = [&](std::int32_t page) { return impl_->owners_of(page) > 1; };
    std::int64_t needed = wanted - has;
    for (std::size_t i = first; i < written; ++i) needed += is_shared(pages[i]) ? 1 : 0;
    if (needed > free_pages()) {
      report.add(Finding::kNoPages, needed, free_pages(), impl_->options.pages);
      return report.take();
    }
    pages.reserve(static_cast<std::size_t>(wanted));
    for (std::size_t i = first; i < written; ++i) {
      if (!is_shared(pages[i])) continue;
      const std::int32_t own = impl_->copy(pages[i]);
      impl_->drop(pages[i]);
      pages[i] = own;
    }
    while (static_cast<std::int64_t>(pages.size()) < wanted) pages.push_back(impl_->take());
    return Unit{};
  });
}

Result<PageList> PagePool::share(const PageList& pages, std::int64_t prefix_len) {
  return guarded_pool("PagePool::share", impl_, [&]() -> Result<PageList> {
    Report report("PagePool::share");
    impl_->check_pages(pages, report);
    const std::int64_t room = static_cast<std::int64_t>(pages.size()) * impl_->options.page_size;
    if (prefix_len < 0 || prefix_len > room)
      report.add(Finding::kBadOption, "prefix_len", prefix_len, fmt::format("its {} pages hold {} keys", pages.size(), room));
    if (!report.empty()) return report.take();
    PageList shared(pages.begin(), pages.begin() + impl_->pages_for(prefix_len));
    for (const std::int32_t page : shared) ++impl_->owners_of(page);
    return shared;
  });
}

Status PagePool::release(PageList& pages) {
  return guarded_pool("PagePool::release", impl_, [&]() -> Status {
    Report report("PagePool::release");
    impl_->check_pages(pages, report);
    if (!report.empty()) return report.take();
    if (const std::size_t once_more = impl_->listed_too_often(pages); once_more < pages.size()) {
      report.add(Finding::kSequenceIndex, "pages", once_more, pages[once_more], "in the list no oftener than it has owners");
      return report.take();
    }
    for (const std::int32_t page : pages) impl_->drop(page);
    pages.clear();
    return Unit{};
  });
}

Status PagePool::write_row(const PageList& pages, std::span<std::int32_t> row) const {
  return engine::guarded("PagePool::write_row", [&]() -> Status {
    if (row.size() < pages.size())
      return engine::single_finding("PagePool::write_row", Finding::kBadOption, "the size of row", row.size(),
                                    fmt::format("the sequence has {} pages", pages.size()));
    std::fill(std::ranges::copy(pages, row.begin()).out, row.end(), -1);
    return Unit{};
  });
}

}  // namespace flexjit
