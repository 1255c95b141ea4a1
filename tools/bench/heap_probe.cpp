// The server has one thread and only forks: each of its children is as fresh as the server was.
#include "bench/heap_probe.h"

#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/subject.h"
#include "measure/heap_meter.h"

namespace flexjit::tools::bench {
namespace {

constexpr std::int64_t kNone = -1;

bool send_number(int socket, std::int64_t number) {
  return send(socket, &number, sizeof number, MSG_NOSIGNAL) == ssize_t{sizeof number};
}

bool receive_number(int socket, std::int64_t& number) {
  return recv(socket, &number, sizeof number, MSG_WAITALL) == ssize_t{sizeof number};
}

}  // namespace

HeapProbe::HeapProbe(std::span<const Case> cases, const BenchOptions& options) : cases_(cases), options_(options) {
  int ends[2] = {-1, -1};
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) return;
  server_ = fork();
  if (server_ == 0) {
    close(ends[0]);
    serve(ends[1]);
  }
  close(ends[1]);
  socket_ = ends[0];
}

HeapProbe::~HeapProbe() {
  if (socket_ >= 0) close(socket_);  // upon which the server ends
  if (server_ > 0) waitpid(server_, nullptr, 0);
}

std::optional<std::int64_t> HeapProbe::extra_bytes(std::size_t index) {
  std::int64_t bytes = kNone;
  if (!send_number(socket_, static_cast<std::int64_t>(index)) || !receive_number(socket_, bytes) || bytes < 0)
    return std::nullopt;
  return bytes;
}

// A child that dies instead of answering is answered for.
void HeapProbe::serve(int socket) const {
  for (std::int64_t index = 0; receive_number(socket, index);) {
    const pid_t child = fork();
    if (child == 0) _exit(send_number(socket, probe(cases_[static_cast<std::size_t>(index)])) ? 0 : 1);
    int status = 1;
    if (child < 0 || waitpid(child, &status, 0) != child || status != 0) send_number(socket, kNone);
  }
  _exit(0);
}

std::int64_t HeapProbe::probe(const Case& test) const try {
  const Result<Problem> problem = make_zero_problem(run_options_of(test));
  if (!problem) return kNone;
  const auto subject = make_subject({test, *problem, options_.target, test.threads});
  if (!subject) return kNone;
  const HeapMeter meter;
  return (*subject)->run(*problem) ? meter.peak_bytes() : kNone;
} catch (const std::bad_alloc&) {
  return kNone;
}

}  // namespace flexjit::tools::bench
