// One event a line, written as it is made: a trace of many items never lies in memory as JSON. Times are microseconds from the
// first event; thread 1 of process 1, which viewers call the main thread, is the one that ran the command.
#include "data/trace_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>
#include <string_view>

#include "data/output_file.h"

namespace flexjit::tools {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kProcess = 1;

std::string_view category_of(TraceKind kind) {
  switch (kind) {
    case TraceKind::kFrontEnd:
    case TraceKind::kDiskLookUp:
    case TraceKind::kOpenCompiler:
    case TraceKind::kCompile: return "compile";
    case TraceKind::kBlockMask: return "mask";
    case TraceKind::kReference:
    case TraceKind::kPlan:
    case TraceKind::kPack:
    case TraceKind::kTile:
    case TraceKind::kSplit:
    case TraceKind::kMerge:
    case TraceKind::kTake:
    case TraceKind::kGive: return "run";
  }
  return {};
}

// Only what the kind of event has.
Json arguments_of(const TraceEvent& event) {
  Json arguments = Json::object();
  if (event.b < 0) return arguments;
  arguments["b"] = event.b;
  const bool has_rows = event.q.begin < event.q.end;
  const bool of_query_head =
      event.kind == TraceKind::kTile || event.kind == TraceKind::kTake || (event.kind == TraceKind::kGive && has_rows);
  arguments[of_query_head ? "h" : "kv_head"] = event.head;
  const auto range = [](PositionRange positions) { return Json::array({positions.begin, positions.end}); };
  if (has_rows) arguments[of_query_head ? "q" : "rows"] = range(event.q);
  if (event.kv.begin < event.kv.end) arguments["kv"] = range(event.kv);
  if (event.kind == TraceKind::kTile || event.kind == TraceKind::kSplit) {
    arguments["full_spans"] = event.full_spans;
    arguments["masked_spans"] = event.masked_spans;
    arguments["scores"] = event.scores;
  }
  return arguments;
}

class Writer {
 public:
  Writer(OutputFile& out, std::int64_t origin) : out_(out), origin_(origin) {}

  void name(const char* what, int thread, const std::string& name) {
    put({{"name", what}, {"ph", "M"}, {"pid", kProcess}, {"tid", thread}, {"args", {{"name", name}}}});
  }
  void complete(std::string_view name, std::string_view category, const TraceEvent& event) {
    const auto microseconds = [](std::int64_t ns) { return static_cast<double>(ns) / 1000; };
    put({{"name", name},
         {"cat", category},
         {"ph", "X"},
         {"ts", microseconds(event.begin_ns - origin_)},
         {"dur", microseconds(event.end_ns - event.begin_ns)},
         {"pid", kProcess},
         {"tid", event.thread + 1},
         {"args", arguments_of(event)}});
  }

 private:
  void put(const Json& event) {
    out_.write(first_ ? "\n" : ",\n");
    out_.write(event.dump(-1, ' ', false, Json::error_handler_t::replace));
    first_ = false;
  }

  OutputFile& out_;
  std::int64_t origin_;
  bool first_ = true;
};

std::int64_t origin_of(const TraceFile& trace) {
  std::int64_t origin = std::numeric_limits<std::int64_t>::max();
  for (const CommandPhase& phase : trace.phases) origin = std::min(origin, phase.begin_ns);
  for (const TraceEvent& event : trace.events) origin = std::min(origin, event.begin_ns);
  return origin;
}

}  // namespace

std::int64_t now_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

Status write_trace(const std::string& path, const TraceFile& trace) {
  OutputFile out(path);
  out.write(
      fmt::format(R"({{"displayTimeUnit": "ns", "otherData": {{"dropped_events": {}}}, "traceEvents": [)", trace.dropped));
  Writer writer(out, origin_of(trace));
  writer.name("process_name", 1, trace.title);
  std::set<std::int32_t> threads = {0};
  for (const TraceEvent& event : trace.events) threads.insert(event.thread);
  for (std::int32_t thread : threads)
    writer.name("thread_name", thread + 1, thread == 0 ? "caller" : fmt::format("worker {}", thread));
  for (const CommandPhase& phase : trace.phases)
    writer.complete(phase.name, "command", {.begin_ns = phase.begin_ns, .end_ns = phase.end_ns});
  for (const TraceEvent& event : trace.events) writer.complete(name_of(event.kind), category_of(event.kind), event);
  out.write("\n]}\n");
  return out.close();
}

}  // namespace flexjit::tools
