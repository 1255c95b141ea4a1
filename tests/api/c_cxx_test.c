/* Patterns in C++ through the C interface, compiled as C99: as a whole text and as lambdas, beside the same in the language. */
#include "c_checks.h"

static const char* const kProgram =
    "float score_mod(float score, int h, [[flexjit::extents(\"?, 1\")]] flexjit::Tensor<const float, 2> bias) {\n"
    "  return score + 0 * bias(h, 0);\n}\n"
    "bool mask_mod(int q_idx, int kv_idx, int window = 100) { return q_idx >= kv_idx && q_idx - kv_idx < window; }\n";

/* What a spec gives for the arguments of all C tests is `expected`. */
static void test_equal(const flexjit_spec* spec, const float* expected) {
  flexjit_attention* made = NULL;
  memset(out, 0, sizeof(out));
  OK(flexjit_compile(engine, spec, &made, &error));
  OK(flexjit_attention_run(made, &args, NULL, &error));
  CHECK(memcmp(out, expected, sizeof(out)) == 0);
  flexjit_attention_destroy(made);
}

int main(void) {
  static float expected[COUNT];
  flexjit_spec spec;
  flexjit_attention* none = NULL;
  flexjit_error* findings = NULL;
  int i;
  make_attention();
  for (i = 0; i < COUNT; ++i) q[i] = (float)(i * 7 % 11) / 11;
  OK(flexjit_attention_run(attention, &args, NULL, &error));
  memcpy(expected, out, sizeof(out));

  flexjit_spec_init(&spec);
  CHECK(spec.language == FLEXJIT_FLEX);
  spec.language = FLEXJIT_CXX;
  spec.head_dim = DIM;
  spec.program = kProgram;
  test_equal(&spec, expected);

  spec.program = NULL;
  spec.score_mod = "[](float score, int h, const float (&bias)[2][1]) { return score + 0 * bias[h][0]; }";
  spec.mask_mod = "[](int q_idx, int kv_idx, int window) { return q_idx >= kv_idx && q_idx - kv_idx < window; }";
  test_equal(&spec, expected);

  spec.mask_mod = "[](int q_idx) { return q_idx >= kv_idx; }";
  OK(flexjit_check(&spec, &findings, &error));
  CHECK(same(flexjit_error_kind(findings, 0), "cxx-error"));
  flexjit_error_free(findings);
  spec.language = (flexjit_language)7;
  EXPECT(flexjit_compile(engine, &spec, &none, &error), FLEXJIT_INVALID, "bad-enum");
  finish();
  return failures != 0;
}
