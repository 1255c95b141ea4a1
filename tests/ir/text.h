// DSL text -> Lowered, for tests whose subject is a pass and not the building of nodes.
#pragma once

#include <gtest/gtest.h>

#include <string>

#include "ir/lower/lower.h"

namespace flexjit::ir::test {

inline Lowered lowered(const std::string& text, Precision precision = Precision::kFp32) {
  dsl::Source source;
  source.precision = precision;
  source.file = dsl::SourceText{.name = "test.flex", .text = text};
  Result<Lowered> result = lower_source(source);
  if (!result) ADD_FAILURE() << text << "\n" << render(result.diagnostics());
  return std::move(result).value();
}

}  // namespace flexjit::ir::test
