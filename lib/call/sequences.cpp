// Every index is looked at once, before anything is read through it.
#include "call/sequences.h"

#include <algorithm>
#include <span>
#include <utility>

#include "call/key_places.h"

namespace flexjit::engine {

namespace {

struct Numbers {
  explicit Numbers(const Sequences& of)
      : cu_seqlens_q{"cu_seqlens_q", &of.cu_seqlens_q},
        seqused_q{"seqused_q", &of.seqused_q},
        cu_seqlens_k{"cu_seqlens_k", &of.cu_seqlens_k},
        keys(KeyPlaces::of("total_len", of.total_len, of)) {}
  Ints cu_seqlens_q, seqused_q, cu_seqlens_k;
  KeyPlaces keys;
};

void check_together(const Numbers& n, Report& report) {
  check_ways(n.keys, report);
  for (const Ints* one : {&n.keys.cache_batch_idx, &n.keys.cache_leftpad, &n.keys.block_table, &n.keys.page_indptr})
    refuse_both(n.cu_seqlens_k, *one, report);
  if (n.keys.paged() && !n.keys.length.given())
    report.add(Finding::kSequenceOption, "pages are given without total_len; say how many keys each sequence has");
}

// The number of sequences, by whoever says it.
std::pair<std::int64_t, const char*> batch_of(const Numbers& n, const CallShape& shape) {
  if (n.cu_seqlens_q.given()) return {n.cu_seqlens_q.size() - 1, "cu_seqlens_q (less 1)"};
  return {shape.batch, "q"};
}

bool check_numbers(const Numbers& n, std::int64_t batch, const RunArgs& args, Report& report) {
  const std::int64_t k_rows = args.k.shape[2];
  if (!check_begins(n.cu_seqlens_q, args.q.shape[2], report) || !check_begins(n.cu_seqlens_k, k_rows, report)) return false;
  const auto rows_of = [](const Ints& begins, std::int64_t b) { return std::int64_t{begins[b + 1]} - begins[b]; };
  const auto most_queries = [&](std::int64_t b) {
    return n.cu_seqlens_q.given() ? rows_of(n.cu_seqlens_q, b) : args.q.shape[2];
  };
  const bool queries_fit = check_range(n.seqused_q, batch, 0, most_queries, report);
  if (!check_place_numbers(n.keys, batch, args.k, report) || !queries_fit) return false;
  const auto most_keys = [&](std::int64_t b) -> std::int64_t {
    if (n.keys.paged()) return kMaxLength;
    if (n.cu_seqlens_k.given()) return rows_of(n.cu_seqlens_k, b);
    return n.keys.cache_leftpad.given() ? k_rows - n.keys.cache_leftpad[b] : k_rows;
  };
  return check_range(n.keys.length, batch, 0, most_keys, report);
}

// Pages that hold the keys of sequence b.
bool take_pages(const KeyPlaces& places, std::int64_t b, const TensorView& k, plan::Sequence& sequence, Report& report) {
  const std::span<const std::int32_t> pages = places.pages_of(b);
  const std::int64_t page_size = k.shape[2], needed = (sequence.kv_len + page_size - 1) / page_size;
  const auto count = static_cast<std::int64_t>(pages.size());
  if (needed > count) {
    report.add(Finding::kPageCapacity, b, sequence.kv_len, count, places.table().name, count * page_size);
    return false;
  }
  if (!check_pages(places, b, k.shape[0], report)) return false;
  std::int32_t least = 0;
  for (const std::int32_t page : pages.first(static_cast<std::size_t>(needed))) least = std::min(least, page);
  sequence.has_holes = least < 0;
  sequence.pages = pages.data();
  return true;
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
    check_block_mask(masks[i].shape(), of_one, report,
                     {fmt::format("block_masks[{}]", i), fmt::format("sequence {}", sequences[i].b)});
  }
}

void check_tensors_of(const Numbers& n, const RunArgs& args, std::int64_t batch, Report& report) {
  if (n.cu_seqlens_q.given() && args.q.shape[0] != 1)
    report.add(Finding::kTensorShape, "q", "batch", args.q.shape[0], "a call with cu_seqlens_q", 1);
  if (n.cu_seqlens_k.given() && args.k.shape[0] != 1)
    report.add(Finding::kTensorShape, "k", "batch", args.k.shape[0], "a call with cu_seqlens_k", 1);
  if (n.keys.paged()) {
    check_page_tensor("k", args.k, report);
    check_page_tensor("v", args.v, report);
    return;
  }
  if (!n.cu_seqlens_k.given() && !n.keys.cache_batch_idx.given() && args.k.shape[0] != batch)
    report.add(Finding::kTensorShape, "k", "batch", args.k.shape[0], "the call", batch);
}

// Whether the tensors of numbers are what they must be, before any number is read.
void check_tensors_of_numbers(const Numbers& n, Report& report) {
  check_begin_tensor(n.cu_seqlens_q, report);
  check_begin_tensor(n.cu_seqlens_k, report);
  check_ints(n.seqused_q, 1, "(batch)", report);
  check_place_tensors(n.keys, report);
  check_together(n, report);
}

void check_sizes(const Numbers& n, std::int64_t batch, const char* owner, Report& report) {
  check_size(n.cu_seqlens_k, batch + 1, "numbers", "a call of its sequences", report);
  check_size(n.seqused_q, batch, "sequences", owner, report);
  check_place_sizes(n.keys, batch, owner, report);
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
  if (n.keys.cache_batch_idx.given()) sequence.kv_batch = n.keys.cache_batch_idx[b];
  if (n.keys.cache_leftpad.given()) {
    sequence.kv_row = n.keys.cache_leftpad[b];
    sequence.kv_len = static_cast<std::int32_t>(shape.kv_len - sequence.kv_row);
  }
  if (n.cu_seqlens_k.given()) {
    sequence.kv_batch = 0;
    sequence.kv_row = sequence.kv_offset = n.cu_seqlens_k[b];
    sequence.kv_len = n.cu_seqlens_k[b + 1] - n.cu_seqlens_k[b];
  }
  if (n.keys.length.given()) sequence.kv_len = n.keys.length[b];
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
  checked.page_size = n.keys.paged() ? static_cast<std::int32_t>(args.k.shape[2]) : 0;
  checked.sequences.reserve(static_cast<std::size_t>(batch));
  for (std::int64_t b = 0; b < batch; ++b) {
    checked.sequences.push_back(sequence_of(n, b, shape));
    if (n.keys.paged() && !take_pages(n.keys, b, args.k, checked.sequences.back(), wrong)) return give_up();
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
