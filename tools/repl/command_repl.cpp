// `flexjit repl`: lines in, replies out. From a pipe the process ends with what was wrong first; a person has seen it.
#include <fmt/format.h>

#include <cstdio>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "command_line/colour.h"
#include "commands/report.h"
#include "repl/interrupt.h"
#include "repl/line_editor.h"
#include "repl/session.h"

namespace flexjit::tools {
namespace {

using Json = nlohmann::ordered_json;

Json speed_json(const Speed& speed) {
  const double gflops = speed.run_ms > 0 ? speed.work.operations / (speed.run_ms * 1e6) : 0;
  Json json = {{"compile_ms", speed.compile_ms},
               {"run_ms", speed.run_ms},
               {"useful_gflops", gflops},
               {"percent_of_peak", speed.limit.gflops > 0 ? 100 * gflops / speed.limit.gflops : 0},
               {"gbps", nullptr},
               {"limit_kind", speed.limit.kind()},
               {"limit", speed.limit.rate()},
               {"percent_of_limit", speed.limit.percent_of(speed.work, speed.run_ms)}};
  if (speed.limit.read_gbps) json["gbps"] = speed.limit.rate_of(speed.work, speed.run_ms);
  return json;
}

// One line an input, so that a program reads reply by reply.
void print_json_line(const std::string& input, const Reply& reply) {
  Json json = {{"input", input}, {"errors", nullptr}, {"warnings", nullptr}, {"text", reply.text}, {"speed", nullptr}};
  json["errors"] = diagnostics_json(reply.errors);
  json["warnings"] = diagnostics_json(reply.warnings);
  if (reply.speed) json["speed"] = speed_json(*reply.speed);
  fmt::print("{}\n", json.dump(-1, ' ', false, Json::error_handler_t::replace));
}

void print(const std::string& input, const Reply& reply, Output output) {
  if (output == Output::kJson)
    print_json_line(input, reply);
  else
    fmt::print("{}{}{}", coloured_diagnostics(render(reply.warnings), stdout), reply.text,
               coloured_diagnostics(render(reply.errors), stdout));
  std::fflush(stdout);
}

// What still runs uses what the end of main() would take away.
void leave_if_work_runs(int exit_code) {
  if (has_background_work()) std::_Exit(with_stdout_flushed(exit_code));
}

}  // namespace

int repl_command(const ReplOptions& options) {
  Session session(options);
  LineEditor editor([&session](const std::string& line) { return session.completions(line); });
  const bool talks = editor.is_interactive() && options.output == Output::kTable;
  if (talks) fmt::print("Type a score or a mask; :help lists the commands, Tab completes.\n");
  std::optional<InterruptHandler> interrupts;
  if (editor.is_interactive()) interrupts.emplace();
  int exit_code = static_cast<int>(ExitCode::kFine);
  const auto show = [&](const std::string& line, const Reply& reply) {
    if (!reply.errors.empty() && exit_code == 0 && !editor.is_interactive()) exit_code = exit_code_of(reply.errors);
    print(line, reply, options.output);
  };
  if (const Reply first = session.begin(options.pattern); !first.text.empty() || !first.errors.empty()) show("", first);
  while (const std::optional<std::string> line = editor.read()) {
    const Reply reply = session.enter(*line);
    show(*line, reply);
    if (reply.ends_session || std::ferror(stdout) != 0) break;
  }
  leave_if_work_runs(exit_code);
  return exit_code;
}

}  // namespace flexjit::tools
