// Findings about appends to caches, rotary tables and pools of pages.
#include "finding_cases.h"

namespace flexjit::test {

namespace {

// Two sequences with 3 and 1 keys in two entries of four rows, or in two pages each, and two new keys for each.
struct AppendSample {
  AppendSample()
      : cache{.k = {k.data(), DType::kF32, {2, 1, 4, 2}}, .v = {v.data(), DType::kF32, {2, 1, 4, 2}}, .past_len = ints(past)},
        fresh{.k = {added.data(), DType::kF32, {2, 1, 1, 2}}, .v = {added.data(), DType::kF32, {2, 1, 1, 2}}},
        rotary{{added.data(), DType::kF32, {4, 1}}, {added.data(), DType::kF32, {4, 1}}, RotaryPairing::kHalves} {}
  AppendSample(const AppendSample&) = delete;

  static TensorView ints(const std::vector<std::int32_t>& of) {
    return {of.data(), DType::kI32, {static_cast<std::int64_t>(of.size())}};
  }
  void add_pages(std::vector<std::int32_t> entries) {
    table = std::move(entries);
    cache.block_table = {table.data(), DType::kI32, {2, static_cast<std::int64_t>(table.size()) / 2}};
  }

  std::vector<float> k = std::vector<float>(16), v = k, added = std::vector<float>(8);
  std::vector<std::int32_t> past{3, 1}, table;
  KvCache cache;
  NewKeys fresh;
  Rotary rotary;
};

FindingCase wrong(std::string kind, std::string expected, std::function<void(AppendSample&)> breakage) {
  return {std::move(kind), "append_kv: error: " + std::move(expected) + "\n", [breakage = std::move(breakage)] {
            AppendSample sample;
            breakage(sample);
            return append_kv(sample.cache, sample.fresh).diagnostics();
          }};
}

FindingCase rotates(std::string kind, std::string expected, std::function<void(Rotary&)> breakage) {
  return wrong(std::move(kind), std::move(expected), [breakage = std::move(breakage)](AppendSample& sample) {
    breakage(sample.rotary);
    sample.fresh.rotary = &sample.rotary;
  });
}

std::vector<FindingCase> append_cases() {
  using S = AppendSample;
  return {
      wrong("cache-capacity", "sequence 0 would have 5 keys, 1 of them new, but its entry of cache.k holds 4",
            [](S& s) { s.past[0] = 4; }),
      wrong("cache-capacity", "sequence 1 would have 5 keys, 1 of them new, but its 1 pages in block_table hold 4",
            [](S& s) { s.add_pages({0, 1}), s.past[1] = 4; }),
      wrong("sequence-index", "block_table[1, 0] is -1; it must be the page of key 1 of sequence 1",
            [](S& s) { s.add_pages({0, -1}); }),
      wrong("shared-slot", "sequences 0 and 1 both append to page 1 of the cache; what one writes, the other loses",
            [](S& s) { s.add_pages({1, 1}); }),
      wrong("shared-memory", "fresh.v and cache.k have memory in common; cache.k is written and needs a place of its own",
            [](S& s) { s.fresh.v.data = s.k.data() + 3; }),
      wrong("shared-memory", "cache.k and cache.v have memory in common; cache.v is written and needs a place of its own",
            [](S& s) { s.cache.v.data = s.k.data(); }),
      wrong("sequence-option", "cache.past_len is absent; it says where new keys go", [](S& s) { s.cache.past_len = {}; }),
      wrong("unsupported-dtype", "cache.k is i32; it must be f32, f64, f16, bf16, i8, e4m3 or e5m2",
            [](S& s) {
              s.cache.k.dtype = s.cache.v.dtype = DType::kI32;
              s.fresh.k.dtype = s.fresh.v.dtype = DType::kI32;
            }),
      wrong("unsupported-dtype", "cache.k is i8; it must be f32, f64, f16 or bf16 where keys rotate",
            [](S& s) {
              s.cache.k.dtype = s.cache.v.dtype = DType::kI8;
              s.fresh.k.dtype = s.fresh.v.dtype = DType::kI8;
              s.fresh.rotary = &s.rotary;
            }),
  };
}

std::vector<FindingCase> rotary_cases() {
  return {
      rotates("bad-option",
              "rotary.pairing is 0; say kInterleaved for dims (0, 1), (2, 3) or kHalves for (j, j + rotary_dim / 2)",
              [](Rotary& r) { r.pairing = {}; }),
      rotates("bad-option", "the number of positions in rotary.cos is 3; position 3 is looked up",
              [](Rotary& r) { r.cos.shape[0] = r.sin.shape[0] = 3; }),
      rotates("bad-option", "the number of columns of rotary.cos is 2; rows of 2 elements have 1 pairs at most",
              [](Rotary& r) { r.cos.shape[1] = r.sin.shape[1] = 2; }),
      rotates("unsupported-dtype", "rotary.sin is bf16; it must be f32, as rotary.cos",
              [](Rotary& r) { r.sin.dtype = DType::kBF16; }),
      rotates("tensor-rank", "rotary.cos has 1 dimensions; it must have 2: (positions, rotary_dim / 2)",
              [](Rotary& r) { r.cos.rank = 1; }),
  };
}

// Of calls that look at a cache or a pool otherwise.
std::vector<FindingCase> beside_cases() {
  return {
      {"no-pages",
       "PagePool::make_room: error: 3 pages are needed and 2 of 2 are free; release sequences or make a larger pool\n",
       [] {
         PagePool pool = PagePool::create({.pages = 2, .kv_heads = 1, .head_dim = 4, .page_size = 4}).value();
         PageList pages;
         return pool.make_room(pages, 0, 9).diagnostics();
       }},
      {"empty-handle",
       "PagePool::make_room: error: the pool is empty, made by its default constructor or moved from; make another by "
       "PagePool::create()\n",
       [] {
         PagePool pool = PagePool::create({.pages = 2, .kv_heads = 1, .head_dim = 4}).value();
         const PagePool taken = std::move(pool);
         PageList pages;
         return pool.make_room(pages, 0, 9).diagnostics();
       }},
      {"shared-memory",
       "quantize_kv: error: source and target have memory in common; target is written and needs a place of its own\n",
       [] {
         std::vector<float> both(8), scale(1);
         return quantize_kv({.source = {both.data(), DType::kF32, {1, 1, 2, 4}},
                             .target = {both.data() + 1, DType::kI8, {1, 1, 2, 4}},
                             .scales = {scale.data(), DType::kF32, {1, 1, 1, 1}}})
             .diagnostics();
       }},
      {"sequence-index", "PagePool::release: error: pages[1] is 0; it must be in the list no oftener than it has owners\n",
       [] {
         PagePool pool = PagePool::create({.pages = 2, .kv_heads = 1, .head_dim = 4, .page_size = 4}).value();
         PageList pages;
         pool.make_room(pages, 0, 1).value();
         PageList twice{pages[0], pages[0]};
         return pool.release(twice).diagnostics();
       }},
      // The queries 2, 3 and 4 of 5 keys rotate at position 2, for which a table of three positions is enough.
      broken("bad-option", "run: error: rotary_positions is 3; say kOfEachQuery or kPastLen\n",
             [](Sample& s) {
               static const std::vector<float> table(3, 1.0F);
               static const TensorView view(table.data(), DType::kF32, {3, 1});
               static const Rotary rotary{view, view, RotaryPairing::kHalves};
               s.args.rotary = &rotary;
               s.args.rotary_positions = static_cast<RotaryPositions>(3);
             }),
      broken("bad-option", "run: error: the number of positions in rotary.cos is 2; position 2 is looked up\n",
             [](Sample& s) {
               static const std::vector<float> table(2, 1.0F);
               static const TensorView view(table.data(), DType::kF32, {2, 1});
               static const Rotary rotary{view, view, RotaryPairing::kHalves};
               s.args.rotary = &rotary;
               s.args.rotary_positions = RotaryPositions::kPastLen;
             }),
      broken("sequence-option",
             "run: error: sequence 0 has 6 queries and 5 keys, so that its first query has no position to rotate at\n",
             [](Sample& s) {
               static const Rotary rotary{};
               s.args.rotary = &rotary;
               s.args.q = {s.q.data(), DType::kF32, {1, 4, 6, 8}};
               s.args.out = {s.out.data(), DType::kF32, {1, 4, 6, 4}};
               s.args.lse = {s.lse.data(), DType::kF32, {1, 4, 6}};
               s.args.k.shape[0] = s.args.v.shape[0] = 1;
             }),
      {"bad-option",
       "run_backward: error: forward.rotary is given; rotate q itself before the forward call, and the gradient of that back\n",
       [] {
         Sample s;
         static const std::vector<float> table(5, 1.0F);
         static const TensorView view(table.data(), DType::kF32, {5, 1});
         static const Rotary rotary{view, view, RotaryPairing::kHalves};
         s.args.rotary = &rotary;
         const Attention attention = Engine(s.options).compile(s.spec).value();
         return run_backward(attention, s.args, {}).diagnostics();
       }},
  };
}

}  // namespace

std::vector<FindingCase> kv_cache_cases() {
  std::vector<FindingCase> cases = append_cases();
  for (auto* more : {&rotary_cases, &beside_cases}) {
    for (FindingCase& one : more()) cases.push_back(std::move(one));
  }
  return cases;
}

}  // namespace flexjit::test
