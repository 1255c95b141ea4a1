// Every index is looked at once, before anything is read through it.
#include "call/sequences.h"

#include <algorithm>
#include <limits>
#include <numeric>
#include <string>
#include <utility>

#include "call/numbers.h"
#include "runtime/rows.h"

namespace flexjit::engine {

namespace {

struct Numbers {
  explicit Numbers(const Sequences& of)
      : cu_seqlens_q{"cu_seqlens_q", &of.cu_seqlens_q},
        seqused_q{"seqused_q", &of.seqused_q},
        cu_seqlens_k{"cu_seqlens_k", &of.cu_seqlens_k},
        total_len{"total_len", &of.total_len},
        cache_batch_idx{"cache_batch_idx", &of.cache_batch_idx},
        cache_leftpad{"cache_leftpad", &of.cache_leftpad},
        block_table{"block_table", &of.block_table},
        page_indptr{"page_indptr", &of.page_indptr},
        page_indices{"page_indices", &of.page_indices} {}
  Ints cu_seqlens_q, seqused_q, cu_seqlens_k, total_len, cache_batch_idx, cache_leftpad, block_table, page_indptr, page_indices;

  bool paged() const { return block_table.given() || page_indptr.given() || page_indices.given(); }
};

void check_together(const Numbers& n, Report& report) {
  const auto refuse = [&](const Ints& one, const Ints& other) {
    if (one.given() && other.given())
      report.add(Finding::kSequenceOption, fmt::format("{} and {} are both given; keys lie in one way", one.name, other.name));
  };
  for (const Ints* one : {&n.block_table, &n.page_indptr, &n.cu_seqlens_k}) {
    refuse(*one, n.cache_batch_idx);
    refuse(*one, n.cache_leftpad);
  }
  refuse(n.cu_seqlens_k, n.block_table);
  refuse(n.cu_seqlens_k, n.page_indptr);
  refuse(n.block_table, n.page_indptr);
  if (n.page_indptr.given() != n.page_indices.given())
    report.add(Finding::kSequenceOption, "page_indptr and page_indices are given together or not at all");
  if (n.paged() && !n.total_len.given())
    report.add(Finding::kSequenceOption, "pages are given without total_len; say how many keys each sequence has");
}

// The number of sequences, by whoever says it.
std::pair<std::int64_t, const char*> batch_of(const Numbers& n, const CallShape& shape) {
  if (n.cu_seqlens_q.given()) return {n.cu_seqlens_q.size() - 1, "cu_seqlens_q (less 1)"};
  return {shape.batch, "q"};
}

bool check_numbers(const Numbers& n, std::int64_t batch, const RunArgs& args, Report& report) {
  const auto& [k_batch, heads, k_rows, dim] = args.k.shape;
  bool fine = check_begins(n.cu_seqlens_q, args.q.shape[2], report) && check_begins(n.cu_seqlens_k, k_rows, report) &&
              check_begins(n.page_indptr, n.page_indices.given() ? n.page_indices.size() : 0, report);
  if (!fine) return false;
  const auto rows_of = [](const Ints& begins, std::int64_t b) { return std::int64_t{begins[b + 1]} - begins[b]; };
  fine = check_range(
      n.seqused_q, batch, 0,
      [&](std::int64_t b) { return n.cu_seqlens_q.given() ? rows_of(n.cu_seqlens_q, b) : args.q.shape[2]; }, report);
  fine = check_range(n.cache_batch_idx, batch, 0, [&](std::int64_t) { return k_batch - 1; }, report) && fine;
  fine = check_range(n.cache_leftpad, batch, 0, [&](std::int64_t) { return k_rows; }, report) && fine;
  if (!fine) return false;
  return check_range(
      n.total_len, batch, 0,
      [&](std::int64_t b) -> std::int64_t {
        if (n.paged()) return kMaxLength;
        if (n.cu_seqlens_k.given()) return rows_of(n.cu_seqlens_k, b);
        return n.cache_leftpad.given() ? k_rows - n.cache_leftpad[b] : k_rows;
      },
      report);
}

struct Pages {
  const std::int32_t* first;
  std::int64_t count;
};
Pages pages_of(const Numbers& n, std::int64_t b) {
  if (n.block_table.given()) return {n.block_table.row(b), n.block_table.view->shape[1]};
  const std::int64_t begin = n.page_indptr[b];
  return {n.page_indices.row(0) + begin, n.page_indptr[b + 1] - begin};
}

// Pages that hold the keys of sequence b. All entries are looked at, also of those that no key needs.
bool take_pages(const Numbers& n, std::int64_t b, const TensorView& k, plan::Sequence& sequence, Report& report) {
  const Pages pages = pages_of(n, b);
  const Ints& table = n.block_table.given() ? n.block_table : n.page_indices;
  const std::int64_t page_size = k.shape[2], needed = (sequence.kv_len + page_size - 1) / page_size;
  if (needed > pages.count) {
    report.add(Finding::kPageCapacity, b, sequence.kv_len, pages.count, table.name, pages.count * page_size);
    return false;
  }
  for (std::int64_t i = 0; i < pages.count; ++i) {
    if (pages.first[i] >= k.shape[0]) {
      const std::string at = n.block_table.given() ? fmt::format("{}, {}", b, i) : std::to_string(n.page_indptr[b] + i);
      report.add(Finding::kSequenceIndex, table.name, at, pages.first[i],
                 fmt::format("below {}, the number of pages, or negative for none", k.shape[0]));
      return false;
    }
    sequence.has_holes = sequence.has_holes || (i < needed && pages.first[i] < 0);
  }
  sequence.pages = pages.first;
  return true;
}

// Rows of pages are numbered in 32 bits.
void check_page_strides(const char* name, const TensorView& view, Report& report) {
  const std::int64_t unit = std::max<std::int64_t>(std::gcd(view.strides[0], view.strides[2]), 1);
  const std::int64_t last =
      (view.shape[0] - 1) * (std::abs(view.strides[0]) / unit) + (view.shape[2] - 1) * (std::abs(view.strides[2]) / unit);
  if (last > std::numeric_limits<std::int32_t>::max())
    report.add(Finding::kLengthLimit, fmt::format("the number of rows that {} spans", name), last,
               std::numeric_limits<std::int32_t>::max());
}

std::int32_t largest(const std::vector<plan::Sequence>& sequences, std::int32_t plan::Sequence::* length) {
  std::int32_t most = 0;
  for (const plan::Sequence& sequence : sequences) most = std::max(most, sequence.*length);
  return most;
}

void check_block_masks(const RunArgs& args, const CallShape& shape, const std::vector<plan::Sequence>& sequences,
                       Report& report) {
  if (args.block_mask != nullptr)
    report.add(Finding::kSequenceOption, "block_mask is given beside sequences; give Sequences::block_masks, one a sequence");
  const std::span<const BlockMask> masks = args.sequences->block_masks;
  if (masks.empty()) return;
  if (masks.size() != sequences.size()) {
    report.add(Finding::kSequenceOption,
               fmt::format("there are {} block_masks and {} sequences; give one a sequence", masks.size(), sequences.size()));
    return;
  }
  for (std::size_t i = 0; i < masks.size(); ++i) {
    const CallShape of_one{1, shape.q_heads, shape.kv_heads, sequences[i].q_len, sequences[i].kv_len};
    check_block_mask(masks[i].shape(), of_one, report);
  }
}

void check_tensors_of(const Numbers& n, const RunArgs& args, std::int64_t batch, Report& report) {
  if (n.cu_seqlens_q.given() && args.q.shape[0] != 1)
    report.add(Finding::kTensorShape, "q", "batch", args.q.shape[0], "a call with cu_seqlens_q", 1);
  if (n.cu_seqlens_k.given() && args.k.shape[0] != 1)
    report.add(Finding::kTensorShape, "k", "batch", args.k.shape[0], "a call with cu_seqlens_k", 1);
  if (n.paged()) {
    if (args.k.shape[2] < 1 || args.k.shape[0] < 1)
      report.add(Finding::kSequenceOption, fmt::format("k has {} pages of {} rows; there must be a page, and a row in it",
                                                       args.k.shape[0], args.k.shape[2]));
    check_page_strides("k", args.k, report);
    check_page_strides("v", args.v, report);
    return;
  }
  if (!n.cu_seqlens_k.given() && !n.cache_batch_idx.given() && args.k.shape[0] != batch)
    report.add(Finding::kTensorShape, "k", "batch", args.k.shape[0], "the call", batch);
}

// Whether the tensors of numbers are what they must be, before any number is read.
void check_tensors_of_numbers(const Numbers& n, Report& report) {
  for (const Ints* ints : {&n.cu_seqlens_q, &n.cu_seqlens_k, &n.page_indptr}) {
    check_ints(*ints, 1, "(batch + 1)", report);
    if (ints->given() && ints->view->rank == 1 && ints->size() < 1)
      report.add(Finding::kSequenceOption,
                 fmt::format("{} is empty; it has a number more than there are sequences", ints->name));
  }
  for (const Ints* ints : {&n.seqused_q, &n.total_len, &n.cache_batch_idx, &n.cache_leftpad})
    check_ints(*ints, 1, "(batch)", report);
  check_ints(n.page_indices, 1, "(pages of all sequences)", report);
  check_ints(n.block_table, 2, "(batch, max_pages)", report);
  check_together(n, report);
}

void check_sizes(const Numbers& n, std::int64_t batch, const char* owner, Report& report) {
  check_size(n.cu_seqlens_k, batch + 1, "numbers", "a call of its sequences", report);
  check_size(n.page_indptr, batch + 1, "numbers", "a call of its sequences", report);
  for (const Ints* ints : {&n.seqused_q, &n.total_len, &n.cache_batch_idx, &n.cache_leftpad, &n.block_table})
    check_size(*ints, batch, "sequences", owner, report);
  if (n.block_table.given() && n.block_table.view->shape[1] > 1 && n.block_table.view->strides[1] != 1)
    report.add(Finding::kInnerStride, "block_table", n.block_table.view->strides[1]);
  if (n.page_indices.given() && n.page_indices.size() > 1 && n.page_indices.view->strides[0] != 1)
    report.add(Finding::kInnerStride, "page_indices", n.page_indices.view->strides[0]);
}

// Of numbers that were checked; pages are left out.
plan::Sequence sequence_of(const Numbers& n, std::int64_t b, const CallShape& shape) {
  plan::Sequence sequence{
      .b = static_cast<std::int32_t>(b), .q_len = shape.q_len, .kv_len = shape.kv_len, .q_batch = b, .kv_batch = b};
  if (n.cu_seqlens_q.given()) {
    sequence.q_batch = 0;
    sequence.q_row = sequence.q_offset = n.cu_seqlens_q[b];
    sequence.q_len = n.cu_seqlens_q[b + 1] - n.cu_seqlens_q[b];
  }
  if (n.seqused_q.given()) sequence.q_len = n.seqused_q[b];
  if (n.cache_batch_idx.given()) sequence.kv_batch = n.cache_batch_idx[b];
  if (n.cache_leftpad.given()) {
    sequence.kv_row = n.cache_leftpad[b];
    sequence.kv_len = static_cast<std::int32_t>(shape.kv_len - sequence.kv_row);
  }
  if (n.cu_seqlens_k.given()) {
    sequence.kv_batch = 0;
    sequence.kv_row = sequence.kv_offset = n.cu_seqlens_k[b];
    sequence.kv_len = n.cu_seqlens_k[b + 1] - n.cu_seqlens_k[b];
  }
  if (n.total_len.given()) sequence.kv_len = n.total_len[b];
  return sequence;
}

}  // namespace

std::optional<CheckedSequences> check_sequences(const RunArgs& args, CallShape& shape, Report& report) {
  Report wrong(report.call());
  const auto give_up = [&]() -> std::optional<CheckedSequences> {
    report.add_all(wrong.take());
    return std::nullopt;
  };
  const Numbers n(*args.sequences);
  check_tensors_of_numbers(n, wrong);
  if (!wrong.empty()) return give_up();
  const auto [batch, owner] = batch_of(n, shape);
  check_sizes(n, batch, owner, wrong);
  check_tensors_of(n, args, batch, wrong);
  if (!wrong.empty() || !check_numbers(n, batch, args, wrong)) return give_up();

  CheckedSequences checked;
  checked.page_size = n.paged() ? static_cast<std::int32_t>(args.k.shape[2]) : 0;
  for (std::int64_t b = 0; b < batch; ++b) {
    checked.sequences.push_back(sequence_of(n, b, shape));
    if (n.paged() && !take_pages(n, b, args.k, checked.sequences.back(), wrong)) return give_up();
  }
  check_block_masks(args, shape, checked.sequences, wrong);
  if (!wrong.empty()) return give_up();
  shape.batch = static_cast<std::int32_t>(batch);
  shape.ragged = true;
  shape.q_len = largest(checked.sequences, &plan::Sequence::q_len);
  shape.kv_len = largest(checked.sequences, &plan::Sequence::kv_len);
  return checked;
}

}  // namespace flexjit::engine
