// The three lines of a diagnostic, whatever bytes the source has.
#include <gtest/gtest.h>

#include "dsl/findings/spelling.h"
#include "dsl/parse/source_location.h"
#include "flexjit/diagnostic.h"

namespace flexjit {
namespace {

// The underline of `span` in `text`, as rendered.
std::string underline(const std::string& text, std::uint32_t begin, std::uint32_t end) {
  dsl::Location at = dsl::locate(text, {0, begin, end});
  const std::string rendered =
      render(Diagnostic{"kind", Severity::kError, "test", at.line, at.column, at.length, at.snippet, "message"});
  const std::size_t last_line = rendered.rfind('\n', rendered.size() - 2) + 1;
  return rendered.substr(last_line, rendered.size() - 1 - last_line);
}

TEST(Render, TheArchitecturesExample) {
  const Diagnostic diagnostic{"unknown-name",      Severity::kError,      "score_mod", 1, 9, 5,
                              "score + kv_ix * 2", "unknown name `kv_ix`"};
  EXPECT_EQ(render(diagnostic), "score_mod:1:9: error: unknown name `kv_ix`\n  score + kv_ix * 2\n          ^~~~~\n");
}

TEST(Render, WithoutAPlaceOneLine) {
  Diagnostic diagnostic;
  diagnostic.severity = Severity::kWarning;
  diagnostic.source_name = "run";
  diagnostic.message = "no mask";
  EXPECT_EQ(render(diagnostic), "run: warning: no mask\n");
  EXPECT_EQ(render(Diagnostics{diagnostic, diagnostic}), "run: warning: no mask\nrun: warning: no mask\n");
}

TEST(Render, TabsStayTabs) { EXPECT_EQ(underline("\ta\tbc", 3, 5), "  \t \t^~"); }
TEST(Render, MultiByteCharactersAreOneColumn) { EXPECT_EQ(underline("é + bc", 5, 7), "      ^~"); }
TEST(Render, WideCharactersAreTwo) { EXPECT_EQ(underline("漢 bc", 4, 6), "     ^~"); }
TEST(Render, CombiningMarksAreNone) { EXPECT_EQ(underline("e\u0301 bc", 4, 6), "    ^~"); }
TEST(Render, TheEndOfALine) { EXPECT_EQ(underline("ab", 2, 2), "    ^"); }
TEST(Render, SeveralLinesAreCutAtTheFirst) { EXPECT_EQ(underline("a(b\nc)", 1, 6), "   ^~"); }

TEST(Render, LinesAreFound) {
  const dsl::Location at = dsl::locate("a\nbb\r\nccc", {0, 6, 8});
  EXPECT_EQ(at.line, 3u);
  EXPECT_EQ(at.column, 1u);
  EXPECT_EQ(dsl::locate("a\nbb\r\nccc", {0, 2, 4}).snippet, "bb");
}

TEST(Render, SnippetsAreValidUtf8AndHaveNoControlCharacters) {
  EXPECT_EQ(dsl::locate("a\x1b[2J\xff\xc3(\tz\x7f", {0, 0, 1}).snippet,
            "a?[2J?"
            "?(\tz?");
  EXPECT_EQ(dsl::locate("\xe0\x80\x80 \xed\xa0\x80 \xf4\x90\x80\x80 \xc0\xaf", {0, 0, 1}).snippet, "??? ??? ???? ??");
}

TEST(Spelling, NearestName) {
  const std::string_view names[] = {"kv_idx", "q_idx", "window", "slope"};
  EXPECT_EQ(dsl::did_you_mean("kv_ix", names), "; did you mean `kv_idx`?");
  EXPECT_EQ(dsl::did_you_mean("KV_IDX", names), "; did you mean `kv_idx`?");
  EXPECT_EQ(dsl::did_you_mean("wnidow", names), "; did you mean `window`?");
  EXPECT_EQ(dsl::did_you_mean("zebra", names), "");
  EXPECT_EQ(dsl::did_you_mean("z", names), "");
  EXPECT_EQ(dsl::did_you_mean(std::string(1000, 'w'), names), "");
}

}  // namespace
}  // namespace flexjit
