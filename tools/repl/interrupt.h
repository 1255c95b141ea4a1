// Ctrl-C at a terminal: what runs ends, the session does not.
#pragma once

#include <chrono>
#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <stop_token>
#include <utility>

namespace flexjit::tools {

// While it lives, SIGINT does not end the process but is noted.
class InterruptHandler {
 public:
  InterruptHandler();
  ~InterruptHandler();
  InterruptHandler(const InterruptHandler&) = delete;
  InterruptHandler& operator=(const InterruptHandler&) = delete;
};

// Whether SIGINT came since the last question.
bool take_interrupt();

// Starts a thread that gets no SIGINT, so that it reaches the one that waits for input; nobody joins it.
void start_background(std::function<void()> work);
// Some of it still runs. Then the process must end by std::_Exit, as what that thread uses must stay.
bool has_background_work();

// work(stop) on a thread of its own, with copies of all that it uses; its result, or none after an interrupt. The work should
// look at `stop` between its steps: a step that was begun, as a run of a kernel, goes on behind the session until it ends.
template <typename R>
std::optional<R> until_interrupted(std::function<R(std::stop_token)> work) {
  constexpr auto kLook = std::chrono::milliseconds(20), kGrace = std::chrono::milliseconds(200);
  std::stop_source stop;
  auto task = std::make_shared<std::packaged_task<R(std::stop_token)>>(std::move(work));
  std::future<R> result = task->get_future();
  start_background([task, token = stop.get_token()] { (*task)(token); });
  while (result.wait_for(kLook) != std::future_status::ready) {
    if (!take_interrupt()) continue;
    stop.request_stop();
    result.wait_for(kGrace);
    return std::nullopt;
  }
  return result.get();
}

}  // namespace flexjit::tools
