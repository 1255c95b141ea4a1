// Findings about the sequences of a call: each index that would lead outside, and ways to lay out keys that exclude each other.
#include <list>

#include "finding_cases.h"

namespace flexjit::test {

namespace {

// A sample of two sequences, and the numbers that say where they lie.
struct SequenceSample : Sample {
  SequenceSample() { args.sequences = &sequences; }

  TensorView ints(std::vector<std::int32_t> values) {
    const auto& kept = numbers.emplace_back(std::move(values));
    return {kept.data(), DType::kI32, {static_cast<std::int64_t>(kept.size())}};
  }
  TensorView table(std::vector<std::int32_t> values, std::int64_t rows) {
    TensorView view = ints(std::move(values));
    return {view.data, DType::kI32, {rows, view.shape[0] / rows}};
  }
  // k and v are two pages of five rows.
  void add_pages(std::vector<std::int32_t> entries) {
    sequences.block_table = table(std::move(entries), 2);
    sequences.total_len = ints({5, 3});
  }
  // q has a batch of 1 and 6 rows, of which lse and out have as many.
  void pack_queries(std::vector<std::int32_t> begins) {
    args.q = TensorView(q.data(), DType::kF32, {1, 4, 6, 8});
    args.out = MutableTensorView(out.data(), DType::kF32, {1, 4, 6, 4});
    args.lse = MutableTensorView(lse.data(), DType::kF32, {1, 4, 6});
    sequences.cu_seqlens_q = ints(std::move(begins));
  }

  Sequences sequences;
  std::list<std::vector<std::int32_t>> numbers;
};

FindingCase wrong(std::string kind, std::string expected, std::function<void(SequenceSample&)> breakage) {
  return {std::move(kind), "run: error: " + std::move(expected) + "\n", [breakage = std::move(breakage)] {
            SequenceSample sample;
            breakage(sample);
            return diagnostics_of(sample);
          }};
}

std::vector<FindingCase> page_cases() {
  using S = SequenceSample;
  return {
      wrong("sequence-index", "block_table[1, 0] is 2; it must be below 2, the number of pages, or negative for none",
            [](S& s) { s.add_pages({0, -1, 2, 0}); }),
      // Also where no key needs the entry.
      wrong("sequence-index", "block_table[0, 1] is 7; it must be below 2, the number of pages, or negative for none",
            [](S& s) { s.add_pages({0, 7, 1, 0}); }),
      wrong("page-capacity", "sequence 0 has 11 keys, but its 2 pages in block_table hold 10",
            [](S& s) { s.add_pages({0, 1, 1, 0}), s.sequences.total_len = s.ints({11, 3}); }),
      wrong("tensor-shape", "block_table has sequences 3, but q has 2",
            [](S& s) { s.add_pages({0, 1}), s.sequences.block_table = s.table({0, 1, 1}, 3); }),
      wrong("unsupported-dtype", "block_table is i64; it must be i32",
            [](S& s) { s.add_pages({0, 1, 1, 0}), s.sequences.block_table.dtype = DType::kI64; }),
      wrong("tensor-rank", "block_table has 1 dimensions; it must have 2: (batch, max_pages)",
            [](S& s) { s.add_pages({0, 1}), s.sequences.block_table = s.ints({0, 1}); }),
      wrong("inner-stride",
            "block_table has stride 2 in its last dimension; it must be 1, so copy the tensor into a contiguous one",
            [](S& s) { s.add_pages({0, 1, 1, 0}), s.sequences.block_table.strides[1] = 2; }),
      wrong("sequence-option", "pages are given without total_len; say how many keys each sequence has",
            [](S& s) { s.add_pages({0, 1, 1, 0}), s.sequences.total_len = {}; }),
      wrong("sequence-option", "page_indptr and page_indices are given together or not at all",
            [](S& s) { s.sequences.page_indptr = s.ints({0, 1, 1}), s.sequences.total_len = s.ints({1, 0}); }),
      wrong("sequence-index", "page_indptr[2] is 3; it must be 1 to 2",
            [](S& s) {
              s.sequences.page_indptr = s.ints({0, 1, 3}), s.sequences.page_indices = s.ints({0, 1});
              s.sequences.total_len = s.ints({1, 0});
            }),
  };
}

std::vector<FindingCase> length_cases() {
  using S = SequenceSample;
  return {
      wrong("sequence-index", "cu_seqlens_q[2] is 1; it must be 4 to 6: no less than the one before",
            [](S& s) { s.pack_queries({0, 4, 1}); }),
      wrong("sequence-index", "cu_seqlens_q[2] is 7; it must be 4 to 6", [](S& s) { s.pack_queries({0, 4, 7}); }),
      wrong("sequence-index", "cu_seqlens_q[0] is -1; it must be 0 to 6", [](S& s) { s.pack_queries({-1, 4, 6}); }),
      wrong("sequence-option", "cu_seqlens_q is empty; it has a number more than there are sequences",
            [](S& s) {
              s.pack_queries({0});
              s.sequences.cu_seqlens_q.shape[0] = 0;
            }),
      wrong("tensor-shape", "q has batch 2, but a call with cu_seqlens_q has 1",
            [](S& s) { s.sequences.cu_seqlens_q = s.ints({0, 1, 3}); }),
      wrong("tensor-shape", "k has batch 2, but a call with cu_seqlens_k has 1",
            [](S& s) { s.sequences.cu_seqlens_k = s.ints({0, 1, 3}); }),
      wrong("tensor-shape", "k has batch 1, but the call has 2", [](S& s) { s.args.k.shape[0] = s.args.v.shape[0] = 1; }),
  };
}

std::vector<FindingCase> cache_cases() {
  using S = SequenceSample;
  return {
      wrong("sequence-index", "seqused_q[1] is 4; it must be 0 to 3", [](S& s) { s.sequences.seqused_q = s.ints({3, 4}); }),
      wrong("sequence-index", "total_len[0] is -1; it must be 0 to 5", [](S& s) { s.sequences.total_len = s.ints({-1, 5}); }),
      wrong("sequence-index", "total_len[1] is 4; it must be 0 to 3",
            [](S& s) { s.sequences.total_len = s.ints({5, 4}), s.sequences.cache_leftpad = s.ints({0, 2}); }),
      wrong("tensor-shape", "total_len has sequences 3, but q has 2", [](S& s) { s.sequences.total_len = s.ints({1, 2, 3}); }),
      wrong("sequence-index", "cache_batch_idx[1] is 2; it must be 0 to 1",
            [](S& s) { s.sequences.cache_batch_idx = s.ints({0, 2}); }),
      wrong("sequence-index", "cache_leftpad[0] is 6; it must be 0 to 5",
            [](S& s) { s.sequences.cache_leftpad = s.ints({6, 0}); }),
      wrong("null-data", "total_len has no data; only a tensor with an extent of 0 may be null",
            [](S& s) {
              s.sequences.total_len = s.ints({5, 5});
              s.sequences.total_len.data = nullptr;
            }),
      wrong("sequence-option", "block_table and cache_leftpad are both given; keys lie in one way",
            [](S& s) { s.add_pages({0, 1, 1, 0}), s.sequences.cache_leftpad = s.ints({0, 0}); }),
      wrong("unsupported-dtype", "total_len is no dtype; it must be i32",
            [](S& s) { s.sequences.total_len = s.ints({5, 4}), s.sequences.total_len.dtype = static_cast<DType>(77); }),
  };
}

std::vector<FindingCase> mask_cases_of_sequences() {
  using S = SequenceSample;
  return {
      wrong("sequence-option", "block_mask is given beside sequences; give Sequences::block_masks, one a sequence",
            [](S& s) {
              static const BlockMask mask =
                  BlockMask::from_kinds({.q_len = 3, .kv_len = 5, .q_block = 4, .kv_block = 8}, std::vector{BlockKind::kFull})
                      .value();
              s.args.block_mask = &mask;
            }),
      wrong("sequence-option", "there are 1 block_masks and 2 sequences; give one a sequence",
            [](S& s) {
              static const std::vector masks{
                  BlockMask::from_kinds({.q_len = 3, .kv_len = 5, .q_block = 4, .kv_block = 8}, std::vector{BlockKind::kFull})
                      .value()};
              s.sequences.block_masks = masks;
            }),
      wrong("mask-lengths", "block_masks[1] was made for kv_len 5, sequence 1 has 4",
            [](S& s) {
              static const std::vector masks(2, BlockMask::from_kinds({.q_len = 3, .kv_len = 5, .q_block = 4, .kv_block = 8},
                                                                      std::vector{BlockKind::kFull})
                                                    .value());
              s.sequences.total_len = s.ints({5, 4});
              s.sequences.block_masks = masks;
            }),
  };
}

}  // namespace

FindingCase stale_plan() {
  return {"stale-plan", "run: error: the plan was made for other lengths, places or tables; make another one\n", [] {
            SequenceSample sample;
            sample.sequences.total_len = sample.ints({5, 3});
            AttentionSpec spec{.head_dim = 8, .v_head_dim = 4};
            Engine engine(EngineOptions{.backend = Backend::kReference});
            const Attention attention = engine.compile(spec).value();
            const Plan plan = attention.plan(sample.args).value();
            sample.args.plan = &plan;
            sample.sequences.total_len = sample.ints({4, 3});
            return attention.run(sample.args).diagnostics();
          }};
}

std::vector<FindingCase> sequence_cases() {
  std::vector<FindingCase> cases = page_cases();
  cases.push_back(stale_plan());
  for (FindingCase& one : length_cases()) cases.push_back(std::move(one));
  for (FindingCase& one : cache_cases()) cases.push_back(std::move(one));
  for (FindingCase& one : mask_cases_of_sequences()) cases.push_back(std::move(one));
  return cases;
}

}  // namespace flexjit::test
