// Other engines on the same tensors, in the same run: one Python process (bench/peers, carried inside the command) serves all
// requests, a JSON object a line, so that what it compiles is compiled once.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "bench/row.h"
#include "command_line/progress.h"
#include "data/array.h"

namespace flexjit::tools::bench {

// What a peer computes with, and our results to compare its results with. The references must live during the call.
struct PeerTensors {
  const Array &q, &k, &v;
  std::vector<const Array*> results;  // the output; of a backward pass the gradients of q, k, v and the case's buffers
  const Array* grad_out;              // of a backward pass; else null
  std::map<std::string, const Array*> buffers;
};

class Peers {
 public:
  // Starts `python`. Error `no-python` where that cannot be done. A peer whose package Python cannot import is in skipped().
  static Result<std::unique_ptr<Peers>> start(const std::string& python, const Progress& progress);
  ~Peers();
  Peers(const Peers&) = delete;
  Peers& operator=(const Peers&) = delete;

  const std::map<std::string, std::string>& versions() const;  // peer -> its package and version
  const std::map<std::string, std::string>& skipped() const;   // peer -> why

  // Adds each peer's median of `repeat` runs (after one that is not counted) to row.peers, or to row.peer_notes why there is
  // none. A peer whose output is not ours, within what the dtype explains, computes something else and gets a note.
  void measure(const PeerTensors& tensors, int repeat, Row& row, const Progress& progress);

 private:
  struct Process;
  explicit Peers(std::unique_ptr<Process> process);
  std::unique_ptr<Process> process_;
};

}  // namespace flexjit::tools::bench
