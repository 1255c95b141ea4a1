// What a command and the engine below it did, over time -> a file in Chrome's trace format, which ui.perfetto.dev,
// chrome://tracing and speedscope open.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "flexjit/result.h"
#include "flexjit/trace.h"

namespace flexjit::tools {

// Of the command's own thread; times as in TraceEvent.
struct CommandPhase {
  std::string name;
  std::int64_t begin_ns = 0, end_ns = 0;
};

struct TraceFile {
  std::string title;  // of the process
  std::vector<CommandPhase> phases;
  std::vector<TraceEvent> events;
  std::int64_t dropped = 0;
};

std::int64_t now_ns();  // the clock of TraceEvent

// Error: `unwritable-file`.
Status write_trace(const std::string& path, const TraceFile& trace);

}  // namespace flexjit::tools
