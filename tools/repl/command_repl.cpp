// `flexjit repl`: lines in, replies out. From a pipe the process ends with what was wrong first; a person has seen it.
#include <fmt/format.h>

#include <cstdio>
#include <nlohmann/json.hpp>

#include "repl/line_editor.h"
#include "repl/session.h"
#include "report.h"

namespace flexjit::tools {
namespace {

using Json = nlohmann::ordered_json;

// One line an input, so that a program reads reply by reply.
void print_json_line(const std::string& input, const Reply& reply) {
  Json json = {{"input", input}, {"errors", nullptr}, {"warnings", nullptr}, {"text", reply.text}, {"speed", nullptr}};
  json["errors"] = diagnostics_json(reply.errors);
  json["warnings"] = diagnostics_json(reply.warnings);
  if (reply.speed)
    json["speed"] = {{"compile_ms", reply.speed->compile_ms},
                     {"run_ms", reply.speed->run_ms},
                     {"useful_gflops", reply.speed->useful_gflops},
                     {"percent_of_peak", reply.speed->percent_of_peak}};
  fmt::print("{}\n", json.dump(-1, ' ', false, Json::error_handler_t::replace));
}

}  // namespace

int repl_command(const ReplOptions& options) {
  Session session(options);
  LineEditor editor([&session](const std::string& line) { return session.completions(line); });
  const bool talks = editor.is_interactive() && options.output == Output::kTable;
  if (talks) fmt::print("Type a score or a mask; :help lists the commands, Tab completes.\n");
  int exit_code = static_cast<int>(ExitCode::kFine);
  while (const std::optional<std::string> line = editor.read()) {
    const Reply reply = session.enter(*line);
    if (!reply.errors.empty() && exit_code == 0) exit_code = exit_code_of(reply.errors);
    if (options.output == Output::kJson)
      print_json_line(*line, reply);
    else
      fmt::print("{}{}{}", render(reply.warnings), reply.text, render(reply.errors));
    std::fflush(stdout);
    if (reply.ends_session) break;
  }
  return editor.is_interactive() ? static_cast<int>(ExitCode::kFine) : exit_code;
}

}  // namespace flexjit::tools
