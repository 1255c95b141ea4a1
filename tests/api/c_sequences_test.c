/* flexjit_sequences: packed rows and pages as C gives them, and what it can get wrong. */
#include "c_checks.h"

/* Two packed sequences of 5 and 15 rows: each row gives the mean of the keys that it sees. Then the keys in pages of 5 rows, of
 * which the second sequence has all, in falling order. */
static void test_sequences(void) {
  int32_t begins[3] = {0, 5, 20}, lengths[2] = {5, 20}, table[8] = {3, -1, -1, -1, 3, 2, 1, 0}, used[2] = {1, 1};
  const int64_t packed[3] = {LENGTH, HEADS, DIM}, three = 3, two = 2, of_table[2] = {2, 4};
  const int64_t pages[4] = {4, 5, HEADS, DIM}, one[4] = {2, 1, HEADS, DIM};
  static float rows[COUNT];
  flexjit_sequences sequences;
  flexjit_run_args ragged = args;
  const flexjit_block_mask* no_mask[2] = {NULL, NULL};
  int i;
  for (i = 0; i < COUNT; ++i) rows[i] = (float)(i / (HEADS * DIM));
  flexjit_sequences_init(&sequences);
  CHECK(sequences.struct_size == sizeof(sequences) && sequences.block_mask_count == 0);
  ragged.lse.data = NULL;
  ragged.q = ragged.k = flexjit_thd_tensor(q, FLEXJIT_F32, packed);
  ragged.v = flexjit_thd_tensor(rows, FLEXJIT_F32, packed);
  ragged.out = flexjit_thd_tensor(out, FLEXJIT_F32, packed);
  CHECK(ragged.q.shape[1] == HEADS && ragged.q.shape[2] == LENGTH && ragged.q.strides[1] == DIM);
  CHECK(flexjit_thd_tensor(q, FLEXJIT_F32, NULL).rank == 0);
  sequences.cu_seqlens_q = sequences.cu_seqlens_k = flexjit_dense_tensor(begins, FLEXJIT_I32, 1, &three);
  ragged.sequences = &sequences;
  OK(flexjit_attention_run(attention, &ragged, NULL, &error));
  for (i = 0; i < LENGTH; ++i) CHECK(fabs(out[i * HEADS * DIM] - (i < 5 ? i / 2.0 : (5 + i) / 2.0)) < 1e-4);

  flexjit_sequences_init(&sequences);
  sequences.total_len = flexjit_dense_tensor(lengths, FLEXJIT_I32, 1, &two);
  sequences.seqused_q = flexjit_dense_tensor(used, FLEXJIT_I32, 1, &two);
  sequences.block_table = flexjit_dense_tensor(table, FLEXJIT_I32, 2, of_table);
  ragged.q = flexjit_bshd_tensor(q, FLEXJIT_F32, one);
  ragged.out = flexjit_bshd_tensor(out, FLEXJIT_F32, one);
  ragged.k = flexjit_bshd_tensor(q, FLEXJIT_F32, pages);
  ragged.v = flexjit_bshd_tensor(rows, FLEXJIT_F32, pages);
  OK(flexjit_attend(NULL, &ragged, NULL, &error));
  CHECK(fabs(out[0] - 17) < 1e-4 && fabs(out[HEADS * DIM] - 9.5) < 1e-4);

  table[0] = 4;
  EXPECT(flexjit_attend(NULL, &ragged, NULL, &error), FLEXJIT_INVALID, "sequence-index");
  sequences.total_len.dtype = (flexjit_dtype)99;
  EXPECT(flexjit_attend(NULL, &ragged, NULL, &error), FLEXJIT_INVALID, "bad-enum");
  sequences.total_len.dtype = FLEXJIT_I32;
  sequences.block_masks = no_mask;
  sequences.block_mask_count = 2;
  EXPECT(flexjit_attend(NULL, &ragged, NULL, &error), FLEXJIT_INVALID, "null-argument");
  sequences.struct_size = sizeof(sequences) + 1;
  EXPECT(flexjit_attend(NULL, &ragged, NULL, &error), FLEXJIT_INVALID, "struct-size");
}

int main(void) {
  make_attention();
  test_sequences();
  finish();
  return failures != 0;
}
