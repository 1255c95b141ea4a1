// The part of c_api.h about caches that grow.
#include "flexjit/c_kv_cache.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "c/c_convert.h"
#include "c/c_handles.h"

struct flexjit_page_pool {
  flexjit::PagePool pool;
};

namespace {

using flexjit::Status;
using flexjit::Unit;
using flexjit::engine::c_call;
using flexjit::engine::complete;
using flexjit::engine::Finding;
using flexjit::engine::Report;
using flexjit::engine::require;
using flexjit::engine::set_given;
using flexjit::engine::to_view;

flexjit::KvCache to_cache(const flexjit_kv_cache& given, Report& report) {
  flexjit::KvCache cache{.k = to_view<flexjit::MutableTensorView>(given.k, "cache.k", report),
                         .v = to_view<flexjit::MutableTensorView>(given.v, "cache.v", report)};
  set_given(given.past_len, cache.past_len, "past_len", report);
  set_given(given.cache_batch_idx, cache.cache_batch_idx, "cache_batch_idx", report);
  set_given(given.cache_leftpad, cache.cache_leftpad, "cache_leftpad", report);
  set_given(given.block_table, cache.block_table, "block_table", report);
  set_given(given.page_indptr, cache.page_indptr, "page_indptr", report);
  set_given(given.page_indices, cache.page_indices, "page_indices", report);
  return cache;
}

Status copy_lengths(const flexjit::Result<flexjit::AppendStats>& appended, int32_t* total_len) {
  if (!appended) return appended.diagnostics();
  if (total_len != nullptr) std::ranges::copy(appended->total_len, total_len);
  return Unit{};
}

flexjit_tensor from_view(const flexjit::MutableTensorView& view) {
  return flexjit_dense_tensor(view.data, static_cast<flexjit_dtype>(view.dtype), view.rank, view.shape.data());
}

flexjit::PageList list_of(const int32_t* pages, std::size_t count, Report& report) {
  const auto given = flexjit::engine::elements(pages, count, "pages", report);
  return {given.begin(), given.end()};
}

}  // namespace

void flexjit_kv_cache_init(flexjit_kv_cache* cache) { flexjit::engine::init_struct(cache); }
void flexjit_new_keys_init(flexjit_new_keys* keys) { flexjit::engine::init_struct(keys); }
void flexjit_positioned_keys_init(flexjit_positioned_keys* keys) { flexjit::engine::init_struct(keys); }

flexjit_status flexjit_append_kv(const flexjit_kv_cache* cache, const flexjit_new_keys* fresh, int32_t* total_len,
                                 flexjit_error** error) {
  return c_call("flexjit_append_kv", error, [&](Report& report) -> Status {
    const auto full_cache = complete(cache, "flexjit_kv_cache", flexjit_kv_cache_init, report);
    const auto full_keys = complete(fresh, "flexjit_new_keys", flexjit_new_keys_init, report);
    if (!full_cache || !full_keys) return report.take();
    flexjit::NewKeys keys{.k = to_view<flexjit::TensorView>(full_keys->k, "fresh.k", report),
                          .v = to_view<flexjit::TensorView>(full_keys->v, "fresh.v", report),
                          .threads = full_keys->threads};
    set_given(full_keys->cu_seqlens_k_new, keys.cu_seqlens_k_new, "cu_seqlens_k_new", report);
    const auto rotary = flexjit::engine::to_rotary(full_keys->rotary, report);
    if (rotary) keys.rotary = &*rotary;
    const flexjit::KvCache converted = to_cache(*full_cache, report);
    if (!report.empty()) return report.take();
    return copy_lengths(flexjit::append_kv(converted, keys), total_len);
  });
}

flexjit_status flexjit_append_kv_at(const flexjit_kv_cache* cache, const flexjit_positioned_keys* fresh, int32_t* total_len,
                                    flexjit_error** error) {
  return c_call("flexjit_append_kv_at", error, [&](Report& report) -> Status {
    const auto full_cache = complete(cache, "flexjit_kv_cache", flexjit_kv_cache_init, report);
    const auto full_keys = complete(fresh, "flexjit_positioned_keys", flexjit_positioned_keys_init, report);
    if (!full_cache || !full_keys) return report.take();
    flexjit::PositionedKeys keys;
    keys.k = to_view<flexjit::TensorView>(full_keys->k, "fresh.k", report);
    keys.v = to_view<flexjit::TensorView>(full_keys->v, "fresh.v", report);
    keys.threads = full_keys->threads;
    set_given(full_keys->batch_indices, keys.batch_indices, "batch_indices", report);
    set_given(full_keys->positions, keys.positions, "positions", report);
    set_given(full_keys->last_page_len, keys.last_page_len, "last_page_len", report);
    const auto rotary = flexjit::engine::to_rotary(full_keys->rotary, report);
    if (rotary) keys.rotary = &*rotary;
    const flexjit::KvCache converted = to_cache(*full_cache, report);
    if (!report.empty()) return report.take();
    return copy_lengths(flexjit::append_kv_at(converted, keys), total_len);
  });
}

flexjit_status flexjit_get_batch_indices_positions(const int32_t* append_indptr, const int32_t* total_len, size_t batch,
                                                   int32_t* batch_indices, int32_t* positions, flexjit_error** error) {
  return c_call("flexjit_get_batch_indices_positions", error, [&](Report& report) -> Status {
    require(append_indptr, "append_indptr", report);
    require(batch_indices, "batch_indices", report);
    require(positions, "positions", report);
    const auto lengths = flexjit::engine::elements(total_len, batch, "total_len", report);
    if (!report.empty()) return report.take();
    const auto places = flexjit::get_batch_indices_positions({append_indptr, batch + 1}, lengths);
    if (!places) return places.diagnostics();
    std::ranges::copy(places->batch_indices, batch_indices);
    std::ranges::copy(places->positions, positions);
    return Unit{};
  });
}

void flexjit_page_pool_options_init(flexjit_page_pool_options* options) {
  flexjit::engine::init_struct(options, {.struct_size = 0,
                                         .pages = 0,
                                         .kv_heads = 0,
                                         .head_dim = 0,
                                         .v_head_dim = 0,
                                         .dtype = FLEXJIT_F32,
                                         .page_size = flexjit::PagePoolOptions{}.page_size});
}

flexjit_status flexjit_page_pool_create(const flexjit_page_pool_options* options, flexjit_page_pool** pool,
                                        flexjit_error** error) {
  return c_call("flexjit_page_pool_create", error, [&](Report& report) -> Status {
    require(pool, "pool", report);
    const auto full = complete(options, "flexjit_page_pool_options", flexjit_page_pool_options_init, report);
    if (!report.empty()) return report.take();
    const flexjit_dtype dtype = full->dtype;
    const auto known = flexjit::engine::to_dtype(dtype, "the pool", report);
    if (!report.empty()) return report.take();
    return flexjit::engine::hand_over(flexjit::PagePool::create({.pages = full->pages,
                                                                 .kv_heads = full->kv_heads,
                                                                 .head_dim = full->head_dim,
                                                                 .v_head_dim = full->v_head_dim,
                                                                 .dtype = known,
                                                                 .page_size = full->page_size}),
                                      pool);
  });
}

flexjit_tensor flexjit_page_pool_k(const flexjit_page_pool* pool) {
  return pool != nullptr ? from_view(pool->pool.k()) : flexjit_tensor{};
}
flexjit_tensor flexjit_page_pool_v(const flexjit_page_pool* pool) {
  return pool != nullptr ? from_view(pool->pool.v()) : flexjit_tensor{};
}
int32_t flexjit_page_pool_free_pages(const flexjit_page_pool* pool) { return pool != nullptr ? pool->pool.free_pages() : 0; }
int32_t flexjit_page_pool_owners(const flexjit_page_pool* pool, int32_t page) {
  return pool != nullptr ? pool->pool.owners(page) : 0;
}

flexjit_status flexjit_page_pool_make_room(flexjit_page_pool* pool, int32_t* pages, size_t* count, size_t capacity,
                                           int64_t past_len, int64_t new_len, flexjit_error** error) {
  return c_call("flexjit_page_pool_make_room", error, [&](Report& report) -> Status {
    require(pool, "pool", report);
    require(count, "count", report);
    if (!report.empty()) return report.take();
    flexjit::PageList list = list_of(pages, *count, report);
    if (capacity > 0) require(pages, "pages", report);
    const std::int64_t page_size = pool->pool.options().page_size, room = static_cast<std::int64_t>(capacity) * page_size;
    if (past_len > room || new_len > room - past_len)
      report.add(Finding::kBadOption, "capacity", capacity, fmt::format("{} keys have more pages", past_len + new_len));
    if (!report.empty()) return report.take();
    Status made = pool->pool.make_room(list, past_len, new_len);
    if (!made) return made;
    std::ranges::copy(list, pages);
    *count = list.size();
    return Unit{};
  });
}

flexjit_status flexjit_page_pool_share(flexjit_page_pool* pool, const int32_t* pages, size_t count, int64_t prefix_len,
                                       size_t* shared_count, flexjit_error** error) {
  return c_call("flexjit_page_pool_share", error, [&](Report& report) -> Status {
    require(pool, "pool", report);
    require(shared_count, "shared_count", report);
    const flexjit::PageList list = list_of(pages, count, report);
    if (!report.empty()) return report.take();
    const auto shared = pool->pool.share(list, prefix_len);
    if (!shared) return shared.diagnostics();
    *shared_count = shared->size();
    return Unit{};
  });
}

flexjit_status flexjit_page_pool_release(flexjit_page_pool* pool, const int32_t* pages, size_t count, flexjit_error** error) {
  return c_call("flexjit_page_pool_release", error, [&](Report& report) -> Status {
    require(pool, "pool", report);
    flexjit::PageList list = list_of(pages, count, report);
    if (!report.empty()) return report.take();
    return pool->pool.release(list);
  });
}

void flexjit_page_pool_destroy(flexjit_page_pool* pool) { delete pool; }
