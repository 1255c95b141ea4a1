// Rows -> JSON, text, Markdown and a plot.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "bench/row.h"

namespace flexjit::tools::bench {

// Empty strings where the system does not say.
struct Machine {
  std::string processor;  // model name
  int processors = 0;     // that this process may use
  std::string caches;     // "L1d 32 KiB, L2 1 MiB, L3 32 MiB", of one core
};
Machine describe_machine();

struct Report {
  Machine machine;
  std::string target;
  int repeat = 0;
  std::map<std::string, std::string> peers;    // peer -> package and version
  std::map<std::string, std::string> skipped;  // peer -> why
  std::vector<Row> rows;
};

// "1.05": our useful throughput over the peer's, which did the same work.
double ratio_to(const Row& row, const PeerTime& peer);

// The peer's peak of memory over ours, both with the results.
std::optional<double> memory_ratio_to(const Row& row, const PeerTime& peer);

// One JSON object; numbers that were not reached are null.
std::string to_json(const Report& report);

// A table a suite. `plot`: the file of the plot as the document should name it; empty: none.
std::string to_markdown(const Report& report, const std::string& plot);

// An SVG: a bar of the percent of the limit for each row, with the peers' below it.
std::string to_svg(const Report& report);

// The heading and one line of the table on a terminal.
std::string table_heading();
std::string table_line(const Row& row);

}  // namespace flexjit::tools::bench
