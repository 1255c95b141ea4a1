// docs/language.md and docs/api.md are the reference: every function, builtin value, element type, diagnostic and preset of the
// tables in lib/ stands in them.
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>
#include <string>

namespace {

std::string document(const char* name) {
  std::ifstream in(std::string(FLEXJIT_SOURCE_DIR "/docs/") + name);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

std::string reference() { return document("language.md"); }

void expect_documented(const std::string& text, const std::string& spelled) {
  EXPECT_NE(text.find(spelled), std::string::npos) << "the documents do not mention " << spelled;
}

TEST(LanguageReference, NamesEveryFunction) {
  const std::string text = reference();
#define FLEXJIT_FUNCTION(kind, name, min_arguments, max_arguments, rule) expect_documented(text, "`" name "(");
#include "dsl/check/functions.def"
#undef FLEXJIT_FUNCTION
}

TEST(LanguageReference, ListsEveryDiagnostic) {
  const std::string text = reference();
#define FLEXJIT_DIAGNOSTIC(kind, id, message) expect_documented(text, "| `" id "` |");
#include "diagnostics/diagnostics.def"
#include "dsl/findings/diagnostics.def"
#undef FLEXJIT_DIAGNOSTIC
}

TEST(LanguageReference, NamesEveryVariableAndOperator) {
  const std::string text = reference();
  for (const char* name : {"score", "b", "h", "q_idx", "kv_idx", "q", "kv", "q_len", "kv_len", "num_heads", "num_kv_heads",
                           "kv_head", "batch_size", "inf", "pi", "true", "false"})
    expect_documented(text, std::string("`") + name + "`");
  for (const char* type : {"f32", "f64", "f16", "bf16", "i64", "i32", "i8", "u8", "bool"}) expect_documented(text, type);
  for (const char* use :
       {"`-a`", "`~a`", "`!a`", "`a * b`", "`a / b`", "`a // b`", "`a % b`", "`a << b`", "`a ^ b`", "`a in {"})
    expect_documented(text, use);
}

TEST(ApiReference, ListsEveryPreset) {
  const std::string text = document("api.md");
#define FLEXJIT_PRESET(name, summary, declarations, score_mod, mask_mod) \
  expect_documented(text, "| `" name "` | " summary " |");
#include "pattern/presets.def"
#undef FLEXJIT_PRESET
}

}  // namespace
