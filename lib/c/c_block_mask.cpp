// c_block_mask.h over BlockMask and the members of Attention that make masks.
#include "flexjit/c_block_mask.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "c/c_convert.h"
#include "c/c_handles.h"

namespace {

using flexjit::Attention;
using flexjit::BlockKind;
using flexjit::BlockMask;
using flexjit::Result;
using flexjit::Status;
using flexjit::Unit;
using flexjit::engine::c_call;
using flexjit::engine::complete;
using flexjit::engine::fill;
using flexjit::engine::Finding;
using flexjit::engine::hand_over;
using flexjit::engine::init_struct;
using flexjit::engine::Report;
using flexjit::engine::require;

static_assert(FLEXJIT_EMPTY == static_cast<int>(BlockKind::kEmpty) && FLEXJIT_PARTIAL == static_cast<int>(BlockKind::kPartial));
static_assert(FLEXJIT_FULL == static_cast<int>(BlockKind::kFull));

// Calls that ask a pattern: its options and bindings converted, then ask(attention, options, bindings).
template <typename Ask>
flexjit_status asking(const char* call, flexjit_error** error, const flexjit_attention* attention,
                      const flexjit_block_mask_options* options, const flexjit_bindings* bindings, const void* target,
                      const Ask& ask) {
  return c_call(call, error, [&](Report& report) -> Status {
    require(attention, "attention", report);
    require(target, "the place for the answer", report);
    const auto full = complete(options, "flexjit_block_mask_options", flexjit_block_mask_options_init, report);
    const flexjit::Bindings bound = bindings != nullptr ? flexjit::engine::to_bindings(*bindings, report) : flexjit::Bindings{};
    if (!report.empty()) return report.take();
    return ask(attention->attention, flexjit::engine::to_mask_options(*full), bound);
  });
}

// Calls that ask a mask.
template <typename Ask>
flexjit_status asking(const char* call, flexjit_error** error, const flexjit_block_mask* mask, const void* target,
                      const Ask& ask) {
  return c_call(call, error, [&](Report& report) -> Status {
    require(mask, "mask", report);
    require(target, "the place for the answer", report);
    if (!report.empty()) return report.take();
    return ask(mask->mask, report);
  });
}

// Calls that make a mask out of the caller's arrays: make(shape, report).
template <typename Make>
flexjit_status making(const char* call, flexjit_error** error, const flexjit_block_mask_options* options,
                      flexjit_block_mask** mask, const Make& make) {
  return c_call(call, error, [&](Report& report) -> Status {
    require(mask, "mask", report);
    const auto full = complete(options, "flexjit_block_mask_options", flexjit_block_mask_options_init, report);
    if (!full) return report.take();
    const flexjit::BlockMaskShape shape{full->batch, full->heads, full->q_len, full->kv_len, full->q_block, full->kv_block};
    Result<BlockMask> made = make(shape, report);
    if (!report.empty()) return report.take();
    return hand_over(std::move(made), mask);
  });
}

flexjit::BlockLists to_lists(const flexjit_block_lists& lists, Report& report) {
  return {flexjit::engine::elements(lists.num_blocks, lists.num_blocks_count, "num_blocks", report),
          flexjit::engine::elements(lists.indices, lists.index_count, "indices", report), lists.width};
}

template <typename From, typename To>
Status copy_all(std::span<const From> from, To* to, std::size_t count, const char* name) {
  if (from.size() != count) {
    return flexjit::engine::single_finding("block_mask", Finding::kBadOption, name, count,
                                           fmt::format("it must be {}", from.size()));
  }
  std::ranges::transform(from, to, [](From each) { return static_cast<To>(each); });
  return Unit{};
}

// Partial or full.
std::optional<BlockKind> listed(const flexjit_block_kind& kind, Report& report) {
  const auto known = flexjit::engine::enum_of<BlockKind>(kind, FLEXJIT_FULL);
  if (known && *known != BlockKind::kEmpty) return known;
  report.add(Finding::kBadEnum, "the kind of blocks", flexjit::engine::number_of(kind), "FLEXJIT_PARTIAL or FLEXJIT_FULL");
  return std::nullopt;
}

}  // namespace

void flexjit_block_mask_options_init(flexjit_block_mask_options* options) {
  const flexjit::BlockMaskOptions defaults;
  init_struct(options, {0, defaults.batch, defaults.heads, defaults.kv_heads, defaults.q_len, defaults.kv_len, defaults.q_block,
                        defaults.kv_block});
}

void flexjit_block_mask_info_init(flexjit_block_mask_info* info) { init_struct(info); }
void flexjit_block_mask_report_init(flexjit_block_mask_report* report) { init_struct(report); }
void flexjit_mask_region_init(flexjit_mask_region* region) { init_struct(region); }
void flexjit_block_lists_init(flexjit_block_lists* lists) { init_struct(lists); }
void flexjit_bsr_matrix_init(flexjit_bsr_matrix* matrix) { init_struct(matrix); }

flexjit_status flexjit_block_mask_create(const flexjit_attention* attention, const flexjit_block_mask_options* options,
                                         const flexjit_bindings* bindings, flexjit_block_mask** mask, flexjit_error** error) {
  return asking("flexjit_block_mask_create", error, attention, options, bindings, mask,
                [&](const Attention& a, const flexjit::BlockMaskOptions& o, const flexjit::Bindings& b) {
                  return hand_over(a.create_block_mask(o, &b), mask);
                });
}

flexjit_status flexjit_block_mask_create_reported(const flexjit_attention* attention, const flexjit_block_mask_options* options,
                                                  const flexjit_bindings* bindings, flexjit_block_mask_report* report,
                                                  flexjit_block_mask** mask, flexjit_error** error) {
  return asking("flexjit_block_mask_create_reported", error, attention, options, bindings, report != nullptr ? mask : nullptr,
                [&](const Attention& a, const flexjit::BlockMaskOptions& o, const flexjit::Bindings& b) {
                  flexjit::BlockMaskReport made;
                  Status done = hand_over(a.create_block_mask(o, &b, &made), mask);
                  if (done) {
                    fill(report, {0, made.build_ms, made.proved, static_cast<int64_t>(made.evaluated.size())}, sizeof(*report));
                  }
                  return done;
                });
}

flexjit_status flexjit_block_mask_extend(const flexjit_attention* attention, const flexjit_block_mask* known,
                                         const flexjit_block_mask_options* options, const flexjit_bindings* bindings,
                                         flexjit_block_mask** mask, flexjit_error** error) {
  return asking("flexjit_block_mask_extend", error, attention, options, bindings, known != nullptr ? mask : nullptr,
                [&](const Attention& a, const flexjit::BlockMaskOptions& o, const flexjit::Bindings& b) {
                  return hand_over(a.extend_block_mask(known->mask, o, &b), mask);
                });
}

flexjit_status flexjit_block_mask_decide(const flexjit_attention* attention, const flexjit_block_mask* known,
                                         const flexjit_block_mask_options* options, const flexjit_bindings* bindings,
                                         flexjit_block_mask** mask, flexjit_error** error) {
  return asking("flexjit_block_mask_decide", error, attention, options, bindings, known != nullptr ? mask : nullptr,
                [&](const Attention& a, const flexjit::BlockMaskOptions& o, const flexjit::Bindings& b) {
                  return hand_over(a.decide_block_mask(known->mask, o, &b), mask);
                });
}

flexjit_status flexjit_count_allowed(const flexjit_attention* attention, const flexjit_block_mask_options* options,
                                     const flexjit_bindings* bindings, int64_t* count, flexjit_error** error) {
  return asking("flexjit_count_allowed", error, attention, options, bindings, count,
                [&](const Attention& a, const flexjit::BlockMaskOptions& o, const flexjit::Bindings& b) {
                  return flexjit::engine::assign(a.count_allowed(o, &b), count);
                });
}

flexjit_status flexjit_mask_elements(const flexjit_attention* attention, const flexjit_block_mask_options* options,
                                     const flexjit_mask_region* region, const flexjit_bindings* bindings, uint8_t* elements,
                                     size_t element_count, flexjit_error** error) {
  return asking("flexjit_mask_elements", error, attention, options, bindings, elements,
                [&](const Attention& a, const flexjit::BlockMaskOptions& o, const flexjit::Bindings& b) -> Status {
                  Report report("flexjit_mask_elements");
                  const auto full = complete(region, "flexjit_mask_region", flexjit_mask_region_init, report);
                  if (!full) return report.take();
                  const Result<std::vector<std::uint8_t>> made = a.mask_elements(
                      o, {.b = full->b, .h = full->h}, {full->q_begin, full->q_end}, {full->kv_begin, full->kv_end}, &b);
                  if (!made) return made.diagnostics();
                  return copy_all<std::uint8_t>(*made, elements, element_count, "element_count");
                });
}

flexjit_status flexjit_block_mask_from_kinds(const flexjit_block_mask_options* options, const uint8_t* kinds, size_t kind_count,
                                             flexjit_block_mask** mask, flexjit_error** error) {
  return making("flexjit_block_mask_from_kinds", error, options, mask,
                [&](const flexjit::BlockMaskShape& shape, Report& report) -> Result<BlockMask> {
                  std::vector<BlockKind> converted;
                  for (const std::uint8_t kind : flexjit::engine::elements(kinds, kind_count, "kinds", report)) {
                    if (kind > FLEXJIT_FULL) {
                      report.add(Finding::kBadEnum, "a block's kind", int{kind}, "flexjit_block_kind");
                      break;
                    }
                    converted.push_back(static_cast<BlockKind>(kind));
                  }
                  if (!report.empty()) return BlockMask();
                  return BlockMask::from_kinds(shape, converted);
                });
}

flexjit_status flexjit_block_mask_from_lists(const flexjit_block_mask_options* options, const flexjit_block_lists* partial,
                                             const flexjit_block_lists* full, flexjit_block_mask** mask,
                                             flexjit_error** error) {
  return making("flexjit_block_mask_from_lists", error, options, mask,
                [&](const flexjit::BlockMaskShape& shape, Report& report) -> Result<BlockMask> {
                  const auto some = complete(partial, "flexjit_block_lists", flexjit_block_lists_init, report);
                  flexjit_block_lists none;
                  flexjit_block_lists_init(&none);
                  const auto all =
                      complete(full != nullptr ? full : &none, "flexjit_block_lists", flexjit_block_lists_init, report);
                  if (!report.empty()) return BlockMask();
                  const flexjit::BlockLists partial_lists = to_lists(*some, report), full_lists = to_lists(*all, report);
                  if (!report.empty()) return BlockMask();
                  return BlockMask::from_lists(shape, partial_lists, full_lists);
                });
}

flexjit_status flexjit_block_mask_from_bsr(const flexjit_block_mask_options* options, const flexjit_bsr_matrix* matrix,
                                           flexjit_block_mask** mask, flexjit_error** error) {
  return making("flexjit_block_mask_from_bsr", error, options, mask,
                [&](const flexjit::BlockMaskShape& shape, Report& report) -> Result<BlockMask> {
                  const auto full = complete(matrix, "flexjit_bsr_matrix", flexjit_bsr_matrix_init, report);
                  if (!full) return BlockMask();
                  const flexjit::BsrMatrix converted = flexjit::engine::to_matrix(*full, report);
                  if (!report.empty()) return BlockMask();
                  return BlockMask::from_bsr(shape, converted);
                });
}

flexjit_status flexjit_bsr_slots(const flexjit_block_mask_options* options, const flexjit_bsr_matrix* matrix, int32_t* slots,
                                 size_t slot_count, flexjit_error** error) {
  return c_call("flexjit_bsr_slots", error, [&](Report& report) -> Status {
    require(slots, "slots", report);
    const auto sizes = complete(options, "flexjit_block_mask_options", flexjit_block_mask_options_init, report);
    const auto full = complete(matrix, "flexjit_bsr_matrix", flexjit_bsr_matrix_init, report);
    if (!report.empty()) return report.take();
    const flexjit::BsrMatrix converted = flexjit::engine::to_matrix(*full, report);
    if (!report.empty()) return report.take();
    const flexjit::BlockMaskShape shape{sizes->batch,  sizes->heads,   sizes->q_len,
                                        sizes->kv_len, sizes->q_block, sizes->kv_block};
    const Result<BlockMask> accepted = BlockMask::from_bsr(shape, converted);
    if (!accepted) return accepted.diagnostics();
    const std::vector<std::int32_t> made = converted.slots(shape);
    return copy_all<std::int32_t>(made, slots, slot_count, "slot_count");
  });
}

flexjit_status flexjit_block_mask_slice(const flexjit_block_mask* mask, const flexjit_mask_region* region,
                                        flexjit_block_mask** slice, flexjit_error** error) {
  return asking("flexjit_block_mask_slice", error, mask, slice, [&](const BlockMask& m, Report& report) -> Status {
    const auto full = complete(region, "flexjit_mask_region", flexjit_mask_region_init, report);
    if (!full) return report.take();
    return hand_over(m.slice({full->q_begin, full->q_end}, {full->kv_begin, full->kv_end}), slice);
  });
}

flexjit_status flexjit_block_mask_transpose(const flexjit_block_mask* mask, flexjit_block_mask** transposed,
                                            flexjit_error** error) {
  return asking("flexjit_block_mask_transpose", error, mask, transposed,
                [&](const BlockMask& m, Report&) { return hand_over(Result<BlockMask>(m.transpose()), transposed); });
}

flexjit_status flexjit_block_mask_intersect(const flexjit_block_mask* a, const flexjit_block_mask* b, flexjit_block_mask** both,
                                            flexjit_error** error) {
  return asking("flexjit_block_mask_intersect", error, a, b != nullptr ? both : nullptr,
                [&](const BlockMask& m, Report&) { return hand_over(m.intersect(b->mask), both); });
}

flexjit_status flexjit_block_mask_unite(const flexjit_block_mask* a, const flexjit_block_mask* b, flexjit_block_mask** either,
                                        flexjit_error** error) {
  return asking("flexjit_block_mask_unite", error, a, b != nullptr ? either : nullptr,
                [&](const BlockMask& m, Report&) { return hand_over(m.unite(b->mask), either); });
}

flexjit_status flexjit_block_mask_complement(const flexjit_block_mask* mask, flexjit_block_mask** complement,
                                             flexjit_error** error) {
  return asking("flexjit_block_mask_complement", error, mask, complement,
                [&](const BlockMask& m, Report&) { return hand_over(Result<BlockMask>(m.complement()), complement); });
}

flexjit_status flexjit_block_mask_to_bytes(const flexjit_block_mask* mask, flexjit_blob** bytes, flexjit_error** error) {
  return asking("flexjit_block_mask_to_bytes", error, mask, bytes, [&](const BlockMask& m, Report&) {
    const std::vector<std::uint8_t> made = m.to_bytes();
    return hand_over(Result<std::string>(std::string(made.begin(), made.end())), bytes);
  });
}

flexjit_status flexjit_block_mask_from_bytes(const void* bytes, size_t size, flexjit_block_mask** mask, flexjit_error** error) {
  return c_call("flexjit_block_mask_from_bytes", error, [&](Report& report) -> Status {
    require(bytes, "bytes", report);
    require(mask, "mask", report);
    if (!report.empty()) return report.take();
    return hand_over(BlockMask::from_bytes({static_cast<const std::uint8_t*>(bytes), size}), mask);
  });
}

flexjit_status flexjit_block_mask_get_info(const flexjit_block_mask* mask, flexjit_block_mask_info* info,
                                           flexjit_error** error) {
  return asking("flexjit_block_mask_get_info", error, mask, info, [&](const BlockMask& m, Report&) -> Status {
    const flexjit::BlockMaskShape& shape = m.shape();
    const flexjit::BlockCounts counts = m.counts();
    fill(info,
         {0, shape.batch, shape.heads, shape.q_len, shape.kv_len, shape.q_block, shape.kv_block, counts.empty, counts.partial,
          counts.full, m.sparsity(), m.bytes()},
         sizeof(*info));
    return Unit{};
  });
}

flexjit_block_kind flexjit_block_mask_kind(const flexjit_block_mask* mask, int32_t b, int32_t h, int32_t q_block,
                                           int32_t kv_block) {
  return mask != nullptr ? static_cast<flexjit_block_kind>(mask->mask.kind(b, h, q_block, kv_block)) : FLEXJIT_EMPTY;
}

flexjit_status flexjit_block_mask_row(const flexjit_block_mask* mask, flexjit_block_kind kind, int32_t b, int32_t h,
                                      int32_t q_block, const int32_t** blocks, size_t* block_count, flexjit_error** error) {
  return asking("flexjit_block_mask_row", error, mask, block_count != nullptr ? blocks : nullptr,
                [&](const BlockMask& m, Report& report) -> Status {
                  const auto wanted = listed(kind, report);
                  if (!wanted) return report.take();
                  const auto row = *wanted == BlockKind::kFull ? m.full_kv_indices(b, h, q_block) : m.kv_indices(b, h, q_block);
                  *blocks = row.data();
                  *block_count = row.size();
                  return Unit{};
                });
}

flexjit_status flexjit_block_mask_num_blocks(const flexjit_block_mask* mask, flexjit_block_kind kind, const int32_t** counts,
                                             size_t* row_count, flexjit_error** error) {
  return asking("flexjit_block_mask_num_blocks", error, mask, row_count != nullptr ? counts : nullptr,
                [&](const BlockMask& m, Report& report) -> Status {
                  const auto wanted = listed(kind, report);
                  if (!wanted) return report.take();
                  const auto rows = *wanted == BlockKind::kFull ? m.full_kv_num_blocks() : m.kv_num_blocks();
                  *counts = rows.data();
                  *row_count = rows.size();
                  return Unit{};
                });
}

flexjit_status flexjit_block_mask_to_dense(const flexjit_block_mask* mask, uint8_t* kinds, size_t kind_count,
                                           flexjit_error** error) {
  return asking("flexjit_block_mask_to_dense", error, mask, kinds, [&](const BlockMask& m, Report&) {
    return copy_all<BlockKind>(m.to_dense(), kinds, kind_count, "kind_count");
  });
}

flexjit_status flexjit_block_mask_to_string(const flexjit_block_mask* mask, int32_t b, int32_t h, int32_t max_side,
                                            flexjit_blob** text, flexjit_error** error) {
  return asking("flexjit_block_mask_to_string", error, mask, text,
                [&](const BlockMask& m, Report&) { return hand_over(Result<std::string>(m.to_string(b, h, max_side)), text); });
}

void flexjit_block_mask_destroy(flexjit_block_mask* mask) { delete mask; }
