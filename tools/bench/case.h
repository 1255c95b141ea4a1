// What `flexjit bench` measures: one entry a row, chosen by suite and filter.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "command_line/options.h"
#include "data/problem.h"

namespace flexjit::tools::bench {

struct Case {
  std::string suite, name;
  std::string pattern;  // the name by which the peers know it
  std::string program;  // the text of a *.flex file
  std::string plain{};  // the text that `ratio_to_plain` compares with, on the same tensors; empty: none
  DTypeOptions dtypes{};
  Sizes sizes{};
  int threads = 1;
  std::int64_t document_length = 0;  // mean of the documents in q_doc and kv_doc; 0: as `flexjit run` generates them
};

// "f32", or "f32, kv bf16".
std::string dtype_text(const Case& test);

// In the order in which they run.
std::vector<std::string> suite_names();

// With sizes cut to a sixteenth for Effort::kQuick. `filter` is searched in "suite/name/dtype".
std::vector<Case> select_cases(const BenchOptions& options);

}  // namespace flexjit::tools::bench
