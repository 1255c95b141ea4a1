// One array and one counter: an event takes the next place, whoever adds it.
#include "flexjit/trace.h"

#include <algorithm>
#include <tuple>

namespace flexjit {

std::string_view name_of(TraceKind kind) noexcept {
  switch (kind) {
    case TraceKind::kFrontEnd: return "front end";
    case TraceKind::kDiskLookUp: return "disk look-up";
    case TraceKind::kOpenCompiler: return "open compiler";
    case TraceKind::kCompile: return "compile";
    case TraceKind::kBlockMask: return "block mask";
    case TraceKind::kReference: return "reference";
    case TraceKind::kPlan: return "plan";
    case TraceKind::kPack: return "pack";
    case TraceKind::kTile: return "tile";
    case TraceKind::kSplit: return "split";
    case TraceKind::kMerge: return "merge";
    case TraceKind::kTake: return "take";
    case TraceKind::kGive: return "give";
  }
  return {};
}

Trace::Trace(std::size_t capacity) : events_(capacity) {}

void Trace::add(const TraceEvent& event) noexcept {
  const std::size_t place = next_.fetch_add(1, std::memory_order_relaxed);
  if (place < events_.size()) events_[place] = event;
}

std::vector<TraceEvent> Trace::events() const {
  const auto count = static_cast<std::ptrdiff_t>(std::min(next_.load(), events_.size()));
  std::vector<TraceEvent> events(events_.begin(), events_.begin() + count);
  std::ranges::sort(events, {}, [](const TraceEvent& event) { return std::tuple(event.begin_ns, -event.end_ns); });
  return events;
}

std::int64_t Trace::dropped() const noexcept {
  const std::size_t wanted = next_.load();
  return wanted > events_.size() ? static_cast<std::int64_t>(wanted - events_.size()) : 0;
}

}  // namespace flexjit
