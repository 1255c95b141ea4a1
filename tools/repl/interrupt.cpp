// The handler only sets a flag: nothing else is safe there.
#include "repl/interrupt.h"

#include <atomic>
#include <csignal>
#include <thread>

namespace flexjit::tools {
namespace {

volatile std::sig_atomic_t g_interrupted = 0;
std::atomic<int> g_background = 0;
struct sigaction g_before;

void note_interrupt(int) { g_interrupted = 1; }

}  // namespace

InterruptHandler::InterruptHandler() {
  struct sigaction action{};
  action.sa_handler = note_interrupt;  // without SA_RESTART: waiting for a line ends too
  sigaction(SIGINT, &action, &g_before);
}

InterruptHandler::~InterruptHandler() { sigaction(SIGINT, &g_before, nullptr); }

bool take_interrupt() { return std::exchange(g_interrupted, 0) != 0; }

void start_background(std::function<void()> work) {
  sigset_t interrupts, before;
  sigemptyset(&interrupts);
  sigaddset(&interrupts, SIGINT);
  pthread_sigmask(SIG_BLOCK, &interrupts, &before);
  ++g_background;
  std::thread([work = std::move(work)]() mutable {
    work();
    work = nullptr;  // what it holds ends before it counts as ended
    --g_background;
  }).detach();
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

bool has_background_work() { return g_background != 0; }

}  // namespace flexjit::tools
