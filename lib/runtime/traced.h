// Work -> the same work, and an event of how long it took where a trace listens. Without one it costs a null pointer test.
#pragma once

#include <chrono>
#include <cstdint>
#include <span>

#include "flexjit/trace.h"
#include "plan/kernel_abi.h"

namespace flexjit::runtime {

// Who does the work of a launch, and who is told.
struct Workers {
  int threads = 1;
  Trace* trace = nullptr;  // null: nobody
};

inline std::int64_t now_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// work(); describe() says which event it was, times left open.
template <typename Work, typename Describe>
void traced(Trace* trace, const Work& work, const Describe& describe) {
  if (trace == nullptr) return work();
  const std::int64_t begin = now_ns();
  work();
  const std::int64_t end = now_ns();
  TraceEvent event = describe();
  event.begin_ns = begin;
  event.end_ns = end;
  trace->add(event);
}

// A phase of the calling thread, from here to the end of the scope.
class TracedPhase {
 public:
  TracedPhase(Trace* trace, TraceKind kind) : trace_(trace), kind_(kind), begin_(trace != nullptr ? now_ns() : 0) {}
  ~TracedPhase() {
    if (trace_ != nullptr) trace_->add({.kind = kind_, .begin_ns = begin_, .end_ns = now_ns()});
  }
  TracedPhase(const TracedPhase&) = delete;
  TracedPhase& operator=(const TracedPhase&) = delete;

 private:
  Trace* trace_;
  TraceKind kind_;
  std::int64_t begin_;
};

// The fields of an event that follow from what `rows` query rows visit.
inline void describe_spans(std::span<const plan::SpanArg> spans, std::int64_t rows, TraceEvent& event) {
  if (!spans.empty()) event.kv = {spans.front().begin, spans.back().end};
  for (const plan::SpanArg& span : spans) {
    ++(span.kind != plan::SpanKind::kWhole ? event.masked_spans : event.full_spans);
    event.scores += rows * (std::int64_t{span.end} - span.begin);
  }
}

}  // namespace flexjit::runtime
