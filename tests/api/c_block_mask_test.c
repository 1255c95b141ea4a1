/* Block masks through the C interface: a causal mask of 20 x 20 in blocks of 5 x 5. */
#include "c_checks.h"

static void check_diagonal(const flexjit_block_mask* mask, int lower, int upper) {
  uint8_t kinds[SIDE * SIDE];
  int i;
  OK(flexjit_block_mask_to_dense(mask, kinds, sizeof(kinds), &error));
  for (i = 0; i < SIDE * SIDE; ++i) {
    const int row = i / SIDE, column = i % SIDE;
    CHECK(kinds[i] == (row == column ? FLEXJIT_PARTIAL : row > column ? lower : upper));
  }
}

static void test_algebra(void) {
  flexjit_block_mask *mask = made_mask(), *turned = NULL, *both = NULL, *either = NULL, *other = NULL;
  check_diagonal(mask, FLEXJIT_FULL, FLEXJIT_EMPTY);
  OK(flexjit_block_mask_transpose(mask, &turned, &error));
  check_diagonal(turned, FLEXJIT_EMPTY, FLEXJIT_FULL);
  OK(flexjit_block_mask_intersect(mask, turned, &both, &error));
  check_diagonal(both, FLEXJIT_EMPTY, FLEXJIT_EMPTY);
  OK(flexjit_block_mask_unite(mask, turned, &either, &error));
  check_diagonal(either, FLEXJIT_FULL, FLEXJIT_FULL);
  OK(flexjit_block_mask_complement(mask, &other, &error));
  check_diagonal(other, FLEXJIT_EMPTY, FLEXJIT_FULL);
  flexjit_block_mask_destroy(mask);
  flexjit_block_mask_destroy(turned);
  flexjit_block_mask_destroy(both);
  flexjit_block_mask_destroy(either);
  flexjit_block_mask_destroy(other);
}

static void test_slice_and_extend(void) {
  flexjit_block_mask *mask = made_mask(), *cut = NULL, *none = NULL, *longer = NULL, *decided = NULL;
  flexjit_block_mask_info info;
  flexjit_mask_region region;
  flexjit_block_mask_options grown = sizes;
  flexjit_mask_region_init(&region);
  region.q_begin = LENGTH - 1;
  region.q_end = region.kv_end = LENGTH;
  OK(flexjit_block_mask_slice(mask, &region, &cut, &error));
  flexjit_block_mask_info_init(&info);
  OK(flexjit_block_mask_get_info(cut, &info, &error));
  CHECK(info.q_len == 1 && info.kv_len == LENGTH && info.bytes > 0 && info.empty_blocks == 0);
  region.q_end = LENGTH + 1;
  EXPECT(flexjit_block_mask_slice(mask, &region, &none, &error), FLEXJIT_INVALID, "mask-shape");
  CHECK(none == NULL);

  grown.q_len = grown.kv_len = LENGTH + BLOCK;
  OK(flexjit_block_mask_extend(attention, mask, &grown, &args.bindings, &longer, &error));
  OK(flexjit_block_mask_get_info(longer, &info, &error));
  CHECK(info.q_len == LENGTH + BLOCK && info.partial_blocks == SIDE + 1 && info.full_blocks == SIDE * (SIDE + 1) / 2);
  OK(flexjit_block_mask_decide(attention, mask, &sizes, &args.bindings, &decided, &error));
  check_diagonal(decided, FLEXJIT_FULL, FLEXJIT_EMPTY);
  flexjit_block_mask_destroy(mask);
  flexjit_block_mask_destroy(cut);
  flexjit_block_mask_destroy(longer);
  flexjit_block_mask_destroy(decided);
}

static void test_forms(void) {
  flexjit_block_mask *mask = made_mask(), *read = NULL, *none = NULL;
  flexjit_blob *bytes = NULL, *picture = NULL;
  OK(flexjit_block_mask_to_bytes(mask, &bytes, &error));
  OK(flexjit_block_mask_from_bytes(flexjit_blob_data(bytes), flexjit_blob_size(bytes), &read, &error));
  check_diagonal(read, FLEXJIT_FULL, FLEXJIT_EMPTY);
  EXPECT(flexjit_block_mask_from_bytes("x", 1, &none, &error), FLEXJIT_INVALID, "mask-bytes");
  OK(flexjit_block_mask_to_string(mask, 0, 0, 64, &picture, &error));
  CHECK(same(flexjit_blob_data(picture), "+   \n#+  \n##+ \n###+\n"));
  flexjit_block_mask_destroy(mask);
  flexjit_block_mask_destroy(read);
  flexjit_blob_destroy(bytes);
  flexjit_blob_destroy(picture);
}

static void test_counts(void) {
  flexjit_mask_region region;
  int64_t allowed = 0;
  uint8_t pairs[4];
  OK(flexjit_count_allowed(attention, &sizes, &args.bindings, &allowed, &error));
  CHECK(allowed == LENGTH * (LENGTH + 1) / 2);
  flexjit_mask_region_init(&region);
  region.q_begin = region.kv_begin = 7;
  region.q_end = region.kv_end = 9;
  OK(flexjit_mask_elements(attention, &sizes, &region, &args.bindings, pairs, 4, &error));
  CHECK(pairs[0] == 1 && pairs[1] == 0 && pairs[2] == 1 && pairs[3] == 1);
  EXPECT(flexjit_mask_elements(attention, &sizes, &region, &args.bindings, pairs, 3, &error), FLEXJIT_INVALID, "bad-option");
}

static void test_rows_and_kinds(void) {
  flexjit_block_mask *mask = made_mask(), *again = NULL, *none = NULL;
  const int32_t *blocks = NULL, *counts = NULL;
  size_t count = 0;
  uint8_t kinds[SIDE * SIDE];
  OK(flexjit_block_mask_row(mask, FLEXJIT_FULL, 0, 0, 2, &blocks, &count, &error));
  CHECK(count == 2 && blocks[0] == 0 && blocks[1] == 1);
  OK(flexjit_block_mask_num_blocks(mask, FLEXJIT_PARTIAL, &counts, &count, &error));
  CHECK(count == SIDE && counts[3] == 1);
  EXPECT(flexjit_block_mask_row(mask, FLEXJIT_EMPTY, 0, 0, 2, &blocks, &count, &error), FLEXJIT_INVALID, "bad-enum");
  CHECK(flexjit_block_mask_kind(mask, 0, 0, 2, 1) == FLEXJIT_FULL);
  CHECK(flexjit_block_mask_kind(mask, 0, 0, 9, 9) == FLEXJIT_EMPTY);
  OK(flexjit_block_mask_to_dense(mask, kinds, sizeof(kinds), &error));
  OK(flexjit_block_mask_from_kinds(&sizes, kinds, sizeof(kinds), &again, &error));
  check_diagonal(again, FLEXJIT_FULL, FLEXJIT_EMPTY);
  kinds[0] = 3;
  EXPECT(flexjit_block_mask_from_kinds(&sizes, kinds, sizeof(kinds), &none, &error), FLEXJIT_INVALID, "bad-enum");
  EXPECT(flexjit_block_mask_from_kinds(&sizes, kinds, 0, &none, &error), FLEXJIT_INVALID, "mask-shape");
  flexjit_block_mask_destroy(mask);
  flexjit_block_mask_destroy(again);
}

static void test_lists(void) {
  flexjit_block_mask* mask = NULL;
  flexjit_block_lists partial, full;
  const int32_t ones[SIDE] = {1, 1, 1, 1}, diagonal[SIDE] = {0, 1, 2, 3}, below[SIDE] = {0, 1, 2, 3};
  const int32_t lower[SIDE * 3] = {0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 1, 2};
  flexjit_block_lists_init(&partial);
  partial.num_blocks = ones;
  partial.indices = diagonal;
  partial.num_blocks_count = partial.index_count = SIDE;
  partial.width = 1;
  flexjit_block_lists_init(&full);
  full.num_blocks = below;
  full.num_blocks_count = SIDE;
  full.indices = lower;
  full.index_count = SIDE * 3;
  full.width = 3;
  OK(flexjit_block_mask_from_lists(&sizes, &partial, &full, &mask, &error));
  check_diagonal(mask, FLEXJIT_FULL, FLEXJIT_EMPTY);
  flexjit_block_mask_destroy(mask);
}

static void test_bsr(void) {
  flexjit_block_mask* mask = NULL;
  flexjit_bsr_matrix bsr;
  const int32_t diagonal[SIDE] = {0, 1, 2, 3}, indptr[SIDE + 1] = {0, 1, 2, 3, 4};
  int32_t slots[SIDE * SIDE];
  int i;
  flexjit_bsr_matrix_init(&bsr);
  bsr.indptr = indptr;
  bsr.indptr_count = SIDE + 1;
  bsr.indices = diagonal;
  bsr.index_count = SIDE;
  OK(flexjit_block_mask_from_bsr(&sizes, &bsr, &mask, &error));
  CHECK(flexjit_block_mask_kind(mask, 0, 0, 1, 1) == FLEXJIT_FULL);
  OK(flexjit_bsr_slots(&sizes, &bsr, slots, SIDE * SIDE, &error));
  for (i = 0; i < SIDE * SIDE; ++i) CHECK(slots[i] == (i / SIDE == i % SIDE ? i / SIDE : -1));
  bsr.index_count = 3;
  EXPECT(flexjit_bsr_slots(&sizes, &bsr, slots, SIDE * SIDE, &error), FLEXJIT_INVALID, "mask-shape");
  flexjit_block_mask_destroy(mask);
}

int main(void) {
  make_attention();
  test_algebra();
  test_slice_and_extend();
  test_forms();
  test_counts();
  test_rows_and_kinds();
  test_lists();
  test_bsr();
  finish();
  return failures != 0;
}
