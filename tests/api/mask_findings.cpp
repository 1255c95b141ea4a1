// What can be wrong with a block mask or the options of one to be made.
#include "finding_cases.h"

namespace flexjit::test {

namespace {

FindingCase with_mask(std::string kind, std::string expected, BlockMaskShape shape) {
  return broken(std::move(kind), std::move(expected), [shape](Sample& s) {
    static BlockMask mask = BlockMask::from_kinds({}, {}).value();
    const auto blocks = static_cast<std::size_t>(shape.batch * shape.heads * shape.q_blocks() * shape.kv_blocks());
    mask = BlockMask::from_kinds(shape, std::vector<BlockKind>(blocks, BlockKind::kFull)).value();
    s.args.block_mask = &mask;
  });
}

FindingCase making(std::string kind, std::string expected, BlockMaskOptions options) {
  return {std::move(kind), std::move(expected), [options] {
            Sample sample;
            Engine engine(sample.options);
            const Result<BlockMask> mask = engine.compile(sample.spec).value().create_block_mask(options);
            return mask ? Diagnostics{} : mask.diagnostics();
          }};
}

}  // namespace

std::vector<FindingCase> mask_cases() {
  return {
      with_mask("mask-lengths", "run: error: the block mask was made for q_len 4, this call has 3\n",
                {.q_len = 4, .kv_len = 5}),
      with_mask("mask-lengths", "run: error: the block mask was made for kv_len 512, this call has 5\n",
                {.q_len = 3, .kv_len = 512}),
      with_mask("mask-planes", "run: error: the block mask has 3 batch entries, this call has 2; it must have as many, or 1\n",
                {.batch = 3, .q_len = 3, .kv_len = 5}),
      with_mask("mask-planes", "run: error: the block mask has 2 heads, this call has 4; it must have as many, or 1\n",
                {.heads = 2, .q_len = 3, .kv_len = 5}),
      making("mask-option", "create_block_mask: error: BlockMaskOptions::q_block is 0; it must be 1 to 1073741824\n",
             {.q_len = 10, .kv_len = 10, .q_block = 0}),
      making("mask-option", "create_block_mask: error: BlockMaskOptions::kv_len is -1; it must be 0 to 1073741824\n",
             {.q_len = 10, .kv_len = -1}),
      making(
          "mask-size",
          "create_block_mask: error: the block mask would have 1073741824 rows of blocks, above the limit of 268435456; choose "
          "larger blocks\n",
          {.q_len = 1 << 30, .kv_len = 1, .q_block = 1, .kv_block = 1}),
      {"mask-shrinks",
       "extend_block_mask: error: the block mask was made for kv_len 300, more than the 200 wanted; cut it with "
       "BlockMask::slice\n",
       [] {
         Sample sample;
         const Attention attention = Engine(sample.options).compile(sample.spec).value();
         const BlockMask mask = attention.create_block_mask({.q_len = 10, .kv_len = 300}).value();
         return attention.extend_block_mask(mask, {.q_len = 10, .kv_len = 200}).diagnostics();
       }},
      {"too-many-pairs", "count_allowed: error: the number of allowed pairs is above 9223372036854775807; count fewer planes\n",
       [] {
         Sample sample;
         AttentionSpec plain;
         const Attention attention = Engine(sample.options).compile(plain).value();
         const BlockMaskOptions wanted{
             .batch = 1 << 20, .q_len = 1 << 30, .kv_len = 1 << 30, .q_block = 1 << 30, .kv_block = 1 << 30};
         return attention.count_allowed(wanted).diagnostics();
       }},
      making("head-groups", "create_block_mask: error: q has 4 heads, which is not a multiple of the 3 heads of k and v\n",
             {.heads = 4, .kv_heads = 3, .q_len = 10, .kv_len = 10}),
  };
}

}  // namespace flexjit::test
