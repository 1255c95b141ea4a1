// Tensors travel as .npy files in a temporary folder; times and the distance of the peer's output from ours come back.
#include "bench/peers.h"

#include <fmt/format.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <utility>

#include "bench/python_process.h"
#include "command_line/failure.h"
#include "data/embedded.h"
#include "data/npy.h"

namespace flexjit::tools::bench {
namespace {

using Json = nlohmann::json;

// Beyond what rounding explains between two correct engines on N(0, 1) inputs; a wrong mask or scale is off by tenths.
double allowed_difference(DType dtype) { return size_of(dtype) >= 4 ? 2e-3 : 6e-2; }

std::map<std::string, std::string> string_map(const Json& json) { return json.get<std::map<std::string, std::string>>(); }

}  // namespace

struct Peers::Process {
  WorkFolder folder;
  PythonProcess python{folder};
  std::map<std::string, std::string> versions, skipped;

  Result<Json> ask(const Json& request, const std::function<void(int)>& waiting) {
    const Result<std::string> answer = python.ask(request.dump(), waiting);
    if (!answer) return answer.diagnostics();
    Json json = Json::parse(*answer, nullptr, false);
    if (json.is_discarded()) return failure("peer-failed", "peers", fmt::format("answered `{}`", *answer));
    return json;
  }

  // The path of the written file.
  Result<std::string> write(const std::string& name, const Array& array) const {
    std::string path = folder.path(name + ".npy");
    if (const Status status = write_npy(path, array); !status) return status.diagnostics();
    return path;
  }

  Result<Json> request_of(const PeerTensors& tensors, int repeat, const Case& test) const {
    Json request = {{"pattern", test.pattern},
                    {"threads", test.threads},
                    {"repeat", repeat},
                    {"suite", test.suite},
                    {"pass", test.pass == Pass::kBackward ? "backward" : "forward"},
                    {"gradients", test.gradients},
                    {"dropout", test.dropout.has_value()},
                    {"results", Json::array()},
                    {"buffers", Json::object()}};
    const std::pair<const char*, const Array*> fixed[] = {
        {"q", &tensors.q}, {"k", &tensors.k}, {"v", &tensors.v}, {"grad_out", tensors.grad_out}};
    for (const auto& [name, array] : fixed) {
      if (array == nullptr) continue;
      const Result<std::string> path = write(name, *array);
      if (!path) return path.diagnostics();
      request[name] = *path;
    }
    for (const Array* result : tensors.results) {
      const Result<std::string> path = write(fmt::format("result_{}", request["results"].size()), *result);
      if (!path) return path.diagnostics();
      request["results"].push_back(*path);
    }
    for (const auto& [name, array] : tensors.buffers) {
      const Result<std::string> path = write("buffer_" + name, *array);
      if (!path) return path.diagnostics();
      request["buffers"][name] = *path;
    }
    return request;
  }
};

Peers::Peers(std::unique_ptr<Process> process) : process_(std::move(process)) {}
Peers::~Peers() = default;

const std::map<std::string, std::string>& Peers::versions() const { return process_->versions; }
const std::map<std::string, std::string>& Peers::skipped() const { return process_->skipped; }

Result<std::unique_ptr<Peers>> Peers::start(const std::string& python, const Progress& progress) {
  progress.show("starting the peers");
  auto process = std::make_unique<Process>();
  for (const EmbeddedFile& file : embedded_peers())
    std::ofstream(process->folder.path(std::string(file.name)), std::ios::binary) << file.text;
  if (const Status started = process->python.start(python, process->folder.path("serve.py")); !started)
    return started.diagnostics();
  const auto waiting = [&progress](int seconds) { progress.show(fmt::format("starting the peers: {} s", seconds)); };
  const Result<Json> hello = process->ask({{"hello", true}}, waiting);
  if (!hello) {
    Diagnostics errors = hello.diagnostics();
    errors[0].source_name = python;
    return errors;
  }
  process->versions = string_map(hello->at("versions"));
  process->skipped = string_map(hello->at("skipped"));
  return std::unique_ptr<Peers>(new Peers(std::move(process)));
}

void Peers::measure(const PeerTensors& tensors, int repeat, Row& row, const Progress& progress) {
  const Result<Json> shared = process_->request_of(tensors, repeat, row.test);
  for (const auto& [peer, version] : versions()) {
    Json request = shared ? *shared : Json();
    request["peer"] = peer;
    const auto waiting = [&, name = peer](int seconds) {
      progress.show(fmt::format("{} {} {}: {}, {} s", row.test.suite, row.test.name, dtype_text(row.test), name, seconds));
    };
    waiting(0);
    const Result<Json> answer = shared ? process_->ask(request, waiting) : Result<Json>(shared.diagnostics());
    if (!answer) {
      row.peer_notes[peer] = answer.diagnostics()[0].message;
    } else if (answer->contains("cannot")) {
      row.peer_notes[peer] = answer->at("cannot").get<std::string>();
    } else {
      PeerTime time{.peer = peer, .ms = answer->at("ms"), .difference = answer->at("difference")};
      if (answer->contains("extra_bytes")) time.extra_bytes = answer->at("extra_bytes").get<std::int64_t>();
      if (time.difference <= allowed_difference(row.test.dtypes.q))
        row.peers.push_back(time);
      else
        row.peer_notes[peer] = fmt::format("its output differs from ours by {:.2e}", time.difference);
    }
  }
}

}  // namespace flexjit::tools::bench
