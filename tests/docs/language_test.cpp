// docs/language.md is the reference: every function, builtin value, element type and diagnostic of the tables in lib/ stands in
// it.
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>
#include <string>

namespace {

std::string reference() {
  std::ifstream in(FLEXJIT_SOURCE_DIR "/docs/language.md");
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

void expect_documented(const std::string& text, const std::string& spelled) {
  EXPECT_NE(text.find(spelled), std::string::npos) << "docs/language.md does not mention " << spelled;
}

TEST(LanguageReference, NamesEveryFunction) {
  const std::string text = reference();
#define FLEXJIT_FUNCTION(kind, name, min_arguments, max_arguments, rule) expect_documented(text, "`" name "(");
#include "dsl/functions.def"
#undef FLEXJIT_FUNCTION
}

TEST(LanguageReference, ListsEveryDiagnostic) {
  const std::string text = reference();
#define FLEXJIT_DIAGNOSTIC(kind, id, message) expect_documented(text, "| `" id "` |");
#include "api/diagnostics.def"
#include "dsl/diagnostics.def"
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

}  // namespace
