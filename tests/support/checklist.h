// Which rows of the conformance checklist a test shows. scripts/coverage-table reads the IDs from the results of a run, so that
// a row counts only for a test that really ran.
#pragma once

#include <gtest/gtest.h>

#include <initializer_list>
#include <string>
#include <string_view>

namespace flexjit {

// By this text the script knows the binaries whose tests carry IDs.
[[gnu::used]] inline constexpr char kCarriesChecklistIds[] = "flexjit: tests of this binary carry checklist ids";

// The first statement of a test that shows everything these rows ask for, or its part of that. One call a test; an argument may
// be several IDs with spaces between them, or "", as a column of a table of cases has it.
template <typename... Ids>
void covers(const Ids&... ids) {
  std::string all;
  for (const std::string_view id : std::initializer_list<std::string_view>{ids...}) {
    if (!id.empty()) all += (all.empty() ? "" : " ") + std::string(id);
  }
  if (!all.empty()) ::testing::Test::RecordProperty("checklist", all);
}

}  // namespace flexjit
