// Every diagnostic, whole: message, line and caret. UPDATE_GOLDEN=1 rewrites the expected texts; read the difference before you
// keep it.
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <set>

#include "dsl/findings/diagnostic_engine.h"
#include "source_files.h"
#include "sources.h"
#include "support/checklist.h"

namespace flexjit::dsl_test {
namespace {

// Errors, or what is said of a text without errors.
Diagnostics findings(const NamedSource& named) {
  const Result<ir::Lowered> lowered = ir::lower_source(named.source);
  return lowered ? lowered->warnings : lowered.diagnostics();
}

TEST(Diagnostics, EveryTextGivesExactlyTheExpectedErrors) {
  covers("F04");
  for (const NamedSource& named : diagnostic_sources()) {
    const Diagnostics found = findings(named);
    ASSERT_FALSE(found.empty()) << named.name << " has no error";
    const std::string rendered = render(found);
    const std::filesystem::path expected = diagnostics_folder() / (named.name + ".expected");
    if (std::getenv("UPDATE_GOLDEN") != nullptr) std::ofstream(expected, std::ios::binary) << rendered;
    EXPECT_EQ(rendered, read_text(expected)) << named.name;
  }
}

TEST(Diagnostics, EveryKindHasAGoldenText) {
  std::set<std::string> seen;
  for (const NamedSource& named : diagnostic_sources()) {
    for (const Diagnostic& diagnostic : findings(named)) seen.insert(diagnostic.kind);
  }
  for (std::string_view id : dsl::all_kind_ids()) EXPECT_TRUE(seen.contains(std::string(id))) << id;
}

// A text about one kind of mistake is named after it, and reports nothing else: no mistake causes a second report.
TEST(Diagnostics, OneMistakeIsReportedOnce) {
  for (const NamedSource& named : diagnostic_sources()) {
    if (named.name.starts_with("recovery") || named.name == "too-many-errors") continue;
    for (const Diagnostic& diagnostic : findings(named)) {
      EXPECT_TRUE(named.name.starts_with(diagnostic.kind)) << named.name << " also reports " << diagnostic.kind;
    }
  }
}

}  // namespace
}  // namespace flexjit::dsl_test
