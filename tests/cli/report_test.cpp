// `flexjit inspect --html`: one file that loads nothing, whatever the pattern's text holds; and in a browser what it shows,
// what keys and the mouse do, and whether it can be read. The browser and the views' JSON share nothing with the page's
// scripts.
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <sstream>

#include "cli/subprocess.h"
#include "support/sample.h"

namespace flexjit::tests {
namespace {

using Json = nlohmann::json;

std::string example(const std::string& name) { return FLEXJIT_SOURCE_DIR "/dsl-examples/" + name + ".flex"; }

// The page of a pattern, at a size that takes no time.
std::string make_report(const TemporaryFolder& folder, std::vector<std::string> pattern) {
  const std::string path = folder.path("report.html");
  pattern.insert(pattern.begin(), "inspect");
  pattern.insert(pattern.end(), {"--q-len", "256", "--heads", "2", "--html", path});
  const CommandResult result = run_flexjit(pattern);
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(result.err, "");
  return read_file(path);
}

std::size_t count(const std::string& text, const std::string& part) {
  std::size_t found = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++found;
  return found;
}

std::string without(std::string text, const std::string& begin, const std::string& end) {
  for (std::size_t at = text.find(begin); at != std::string::npos; at = text.find(begin, at))
    text.erase(at, text.find(end, at) + end.size() - at);
  return text;
}

void expect_loads_nothing(const std::string& html) {
  for (const char* part : {" src=", "@import", "url(", "<link", "<iframe", "<base", "import(", "fetch(", "XMLHttpRequest"})
    EXPECT_EQ(count(without(html, "<script type=\"application/json\"", "</script>"), part), 0U) << part;
  // The data hold the picture of the mask, which refers to its own patterns.
  EXPECT_EQ(count(html, "url("), count(html, "url(#"));
  EXPECT_EQ(count(html, "http"), count(html, "http://www.w3.org/2000/svg") + count(html, "http-equiv"));
  EXPECT_NE(html.find("default-src 'none'"), std::string::npos);
}

// Of the frame that scripts fill: every element is closed in order.
void expect_well_formed(std::string html) {
  html =
      without(without(without(without(html, "<script", "</script>"), "<style", "</style>"), "<!--", "-->"), "<!doctype", ">");
  std::vector<std::string> open;
  for (std::size_t at = html.find('<'); at != std::string::npos; at = html.find('<', at + 1)) {
    const std::string tag = html.substr(at + 1, html.find('>', at) - at - 1);
    ASSERT_EQ(std::ranges::count(tag, '"') % 2, 0) << tag;
    const std::string name = tag.substr(0, tag.find_first_of(" \n"));
    if (name == "meta") continue;
    if (name.front() != '/') {
      open.push_back(name);
      continue;
    }
    ASSERT_FALSE(open.empty()) << tag;
    EXPECT_EQ(open.back(), name.substr(1));
    open.pop_back();
  }
  EXPECT_TRUE(open.empty());
}

int hex_digit(char c) { return c <= '9' ? c - '0' : c - 'A' + 10; }

std::string percent_decoded(const std::string& text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%') {
      out += static_cast<char>(hex_digit(text[i + 1]) * 16 + hex_digit(text[i + 2]));
      i += 2;
    } else {
      out += text[i];
    }
  }
  return out;
}

struct Visit {
  std::string fragment{};
  std::string window = "1280,900";
  std::vector<std::string> options{};
};

struct Visited {
  std::string document;  // as scripts left it
  Json probe;
};

// Chromium shows the page and report_probe.js tries it.
Visited visit(const TemporaryFolder& folder, std::string html, const Visit& how = {}) {
  html.insert(html.rfind("</body>"), "<script>" + read_file(FLEXJIT_SOURCE_DIR "/tests/cli/report_probe.js") + "</script>");
  const std::string page = folder.write("probed.html", html);
  std::vector<std::string> words = {"chromium",
                                    "--headless=new",
                                    "--no-sandbox",
                                    "--disable-gpu",
                                    "--hide-scrollbars",
                                    "--enable-logging=stderr",
                                    "--virtual-time-budget=5000"};
  words.push_back("--user-data-dir=" + folder.path("browser"));
  words.push_back("--window-size=" + how.window);
  words.insert(words.end(), how.options.begin(), how.options.end());
  words.insert(words.end(), {"--dump-dom", "file://" + page + how.fragment});
  const CommandResult result = run_program(words);
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(count(result.err, "CONSOLE"), 0U) << result.err;  // errors of scripts, and what the policy refused
  const std::string mark = "<pre id=\"probe\">";
  const std::size_t begin = result.out.find(mark);
  if (begin == std::string::npos) {
    ADD_FAILURE() << "no result of the probe:\n" << result.out.substr(0, 2000) << result.err;
    return {};
  }
  const std::size_t text = begin + mark.size();
  return {result.out, Json::parse(percent_decoded(result.out.substr(text, result.out.find('<', text) - text)))};
}

// What the view of the machine code says computes a part of the text: the instructions of it and of its parts.
std::vector<std::string> instructions_of(const Json& view, std::int64_t line, std::int64_t begin, std::int64_t end) {
  std::vector<std::string> texts;
  for (const Json& function : view["functions"])
    for (const Json& block : function["blocks"])
      for (const Json& instruction : block["instructions"]) {
        const Json& at = instruction["expression"];
        if (at.is_null() || instruction["spill"] || at["line"] != line) continue;
        if (at["column"] >= begin && at["column"].get<std::int64_t>() + at["length"].get<std::int64_t>() <= end)
          texts.push_back(instruction["text"]);
      }
  return texts;
}

bool includes(std::vector<std::string> all, std::vector<std::string> some) {
  std::ranges::sort(all);
  std::ranges::sort(some);
  return std::ranges::includes(all, some);
}

TEST(Report, IsOneFileThatLoadsNothing) {
  const TemporaryFolder folder;
  const std::string html = make_report(folder, {example("alibi_sliding_window")});
  expect_well_formed(html);
  expect_loads_nothing(html);
}

TEST(Report, StaysBelowAMegabyteForTheLargestExamples) {
  const TemporaryFolder folder;
  for (const char* name : {"swin", "block_scales", "bigbird"})
    EXPECT_LT(make_report(folder, {example(name), "--dtype", "bf16"}).size(), 1000000U) << name;
}

TEST(Report, HostileTextsStayText) {
  const TemporaryFolder folder;
  const std::string evil = "</script><script>document.title='owned'</script><b>&amp;\xff\u2028";
  const std::string file = folder.write("a<b>\"&'.flex", "# " + evil + "\nmask = q_idx >= kv_idx\n");
  const std::string html = make_report(folder, {file});
  EXPECT_EQ(count(html, "<script"), 2U);
  EXPECT_EQ(count(html, "owned'</script>"), 0U);
  expect_well_formed(html);
  const Visited page = visit(folder, html);
  EXPECT_EQ(page.probe.value("errors", -1), 0);
  EXPECT_NE(page.document.find("&lt;/script&gt;&lt;script&gt;document.title='owned'"), std::string::npos);
  EXPECT_EQ(count(page.document, "<title>owned"), 0U);
}

TEST(Report, LightsWhatBelongsTogether) {
  const TemporaryFolder folder;
  const std::vector<std::string> pattern = {example("alibi_sliding_window"), "--q-len", "256", "--heads", "2"};
  std::vector<std::string> line = {"inspect"};
  line.insert(line.end(), pattern.begin(), pattern.end());
  line.insert(line.end(), {"--view", "asm,source", "--json"});
  const Json views = run_flexjit(line).json()["views"];
  const auto wanted = instructions_of(views["asm"], 5, 17, 29);  // slope[h] * d
  ASSERT_FALSE(wanted.empty());
  const Json& expressions = views["source"]["expressions"];
  const auto chosen = std::ranges::find_if(expressions, [](const Json& e) { return e["text"] == "slope[h] * d"; });
  const std::string fragment = "#expression-" + std::to_string(chosen - expressions.begin());

  const Json found = visit(folder, make_report(folder, {example("alibi_sliding_window")}), {.fragment = fragment}).probe;
  EXPECT_EQ(found["errors"], 0);
  const auto lit = found["lit_by_address"].get<std::vector<std::string>>();
  EXPECT_TRUE(includes(lit, wanted)) << found["lit_by_address"];
  EXPECT_LT(lit.size(), 40U);
  EXPECT_EQ(found["lit_after_escape"], 0);
  for (const char* way : {"lit_by_focus", "lit_while_pinned", "lit_by_mouse"})
    EXPECT_EQ(found[way], found["lit_by_address"]) << way;
  EXPECT_EQ(found["address"], fragment);
  EXPECT_TRUE(std::ranges::count(found["text_lit_by_group"], "slope[h] * d") == 1) << found["text_lit_by_group"];
}

TEST(Report, IsReadableInEveryModeAndWidth) {
  const TemporaryFolder folder;
  const std::string html = make_report(folder, {example("alibi_sliding_window")});
  const std::string dark = "--blink-settings=preferredColorScheme=0";
  const std::size_t tried = test::sampled_place("IsReadableInEveryModeAndWidth", 4);
  std::size_t place = 0;
  for (const bool is_dark : {false, true}) {
    for (const char* window : {"1280,900", "500,900"}) {
      if (test::is_sampled() && place++ != tried) continue;
      Visit how{.window = window};
      if (is_dark) how.options.push_back(dark);
      const Json found = visit(folder, html, how).probe;
      SCOPED_TRACE(std::string(window) + (is_dark ? ", dark" : ", light"));
      EXPECT_GT(found["texts"], 500);
      EXPECT_EQ(found["low_contrast"], Json::array());
      EXPECT_LE(found["wider_than_window"], 0);
      EXPECT_LE(found["window"], std::stoi(window));
      if (is_dark)
        EXPECT_LT(found["page_luminance"], 0.1);
      else
        EXPECT_GT(found["page_luminance"], 0.9);
    }
  }
}

TEST(Report, CanBeUsedWithKeysAndReadAloud) {
  const TemporaryFolder folder;
  const Json found = visit(folder, make_report(folder, {example("t5_buckets")})).probe;
  const std::vector<std::string> sections = {"source", "mask", "roofline", "code",  "model",
                                             "spills", "plan", "timing",   "stages"};
  EXPECT_EQ(found["sections"], Json(sections));
  EXPECT_EQ(found["dead_links"], 0);
  EXPECT_EQ(found["repeated_ids"], Json::array());
  EXPECT_EQ(found["tables_without_heads"], 0);
  EXPECT_EQ(found["unreachable"], 0);
  EXPECT_EQ(found["resources"], 0);
  for (const char* yes : {"headings_in_order", "landmarks"}) EXPECT_EQ(found[yes], true) << yes;
  EXPECT_EQ(found["invisible_focus"], false);
}

TEST(Report, ShowsTargetsThatThisMachineCannotExecute) {
  const TemporaryFolder folder;
  const Visited page = visit(folder, make_report(folder, {example("causal"), "--target", "aarch64"}));
  EXPECT_EQ(page.probe.value("errors", -1), 0);
  EXPECT_NE(page.document.find("fmla"), std::string::npos);
}

TEST(Report, SaysWhatIsWrongWithTheOptions) {
  const CommandResult both = run_flexjit({"inspect", "-e", "mask = true", "--html", "x.html", "--view", "asm", "--json"});
  EXPECT_EQ(both.exit_code, 2);
  EXPECT_NE(both.json()["errors"][0]["message"].get<std::string>().find("--view"), std::string::npos);
  const CommandResult nowhere =
      run_flexjit({"inspect", "-e", "mask = q_idx >= kv_idx", "--q-len", "16", "--html", "/nowhere/x.html", "--json"});
  EXPECT_EQ(nowhere.exit_code, 1);
  EXPECT_EQ(nowhere.json()["errors"][0]["kind"], "unwritable-file");
}

}  // namespace
}  // namespace flexjit::tests
