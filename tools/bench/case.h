// What `flexjit bench` measures: one entry a row, chosen by suite and filter.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "command_line/options.h"
#include "data/problem.h"
#include "flexjit/spec.h"
#include "flexjit/variants.h"

namespace flexjit::tools::bench {

enum class Pass : std::uint8_t { kForward, kBackward };

// What a case alternates with: kPlain and kOneThread on the same tensors; kOneByOne its sequences in a call each; kContiguous
// keys that lie one behind the other in caches, in the order that the pages have and in the other one.
enum class Beside : std::uint8_t { kNothing, kPlain, kOneThread, kOneByOne, kContiguous };

struct Case {
  std::string suite, name;
  std::string pattern;  // the name by which the peers know it
  std::string program;  // the text of a *.flex file
  Pass pass = Pass::kForward;
  std::vector<std::string> gradients{};  // of kBackward: captured buffers whose gradients are wanted beside those of q, k and v
  Beside beside = Beside::kNothing;
  std::string plain{};  // of kPlain: its text, whose buffers' gradients are not wanted, and which drops nothing
  std::optional<Dropout> dropout{};
  std::optional<LinearWeights> linear{};  // then weights are linear; those of what a case of kPlain alternates with are not
  std::optional<SwinOptions> windows{};   // then rows are in the order of these windows, whose pattern the text is
  DTypeOptions dtypes{};
  Sizes sizes{};
  int threads = 1;
  std::vector<SequenceLengths> lengths{};  // of their own; none: as `sizes` says
  std::int64_t page_size = 0;              // of lengths, as cache_rows: see SequenceOptions
  std::int64_t cache_rows = 0;
  Layout layout = Layout::kBhsd;
  std::int64_t document_length = 0;  // mean of the documents in q_doc and kv_doc; 0: as `flexjit run` generates them
};

// "f32", or "f32, kv bf16".
std::string dtype_text(const Case& test);

// In the order in which they run.
std::vector<std::string> suite_names();

// The case with sequences of a sixteenth of the length.
Case small_version(Case test);

// What a case of kPlain alternates with.
Case plain_version(Case test);
// What one of kContiguous alternates with.
Case contiguous_version(Case test, Layout layout);

// With small sizes for Effort::kQuick. `filter` is searched in "suite/name/dtype".
std::vector<Case> select_cases(const BenchOptions& options);

}  // namespace flexjit::tools::bench
