// A member takes the work that it is offered, unless the caller has finished it alone and takes the offer back: a member whose
// processor is busy elsewhere costs nothing. It looks for a while before it sleeps, because loops follow each other closely and
// waking takes as long as a short one.
#include "runtime/team.h"

#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <functional>
#include <mutex>
#include <new>
#include <utility>

namespace flexjit::runtime {

namespace {

// Half a millisecond, with the processor offered to others in between; with more threads than processors whoever looks keeps
// another from working.
constexpr int kLooks = 20000, kCrowdedLooks = 50, kLooksToYield = 256;

int looks_of(int threads) noexcept {
  static const unsigned processors = std::thread::hardware_concurrency();
  return static_cast<unsigned>(threads) > processors ? kCrowdedLooks : kLooks;
}

void pause() noexcept {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Until `value` is another one than `old`.
template <typename T>
void await_change(std::atomic<T>& value, T old, int looks) noexcept {
  for (; looks > 0; --looks) {
    if (value.load(std::memory_order_acquire) != old) return;
    if (looks % kLooksToYield == 0)
      std::this_thread::yield();
    else
      pause();
  }
  value.wait(old, std::memory_order_acquire);
}

// Teams that nobody uses, the one that came back last on top.
struct Idle {
  static constexpr std::size_t kMost = 8;
  const pid_t owner = ::getpid();
  std::mutex mutex;
  std::vector<std::unique_ptr<Team>> teams;
};

// A forked child has none of its parent's threads, and perhaps a lock that nobody will release: it starts anew and leaves all
// of that alone. Null: there is no memory.
Idle* idle_teams() noexcept {
  static std::atomic<Idle*> current = nullptr;
  Idle* idle = current.load(std::memory_order_acquire);
  if (idle != nullptr && idle->owner == ::getpid()) return idle;
  try {
    auto made = std::make_unique<Idle>();
    made->teams.reserve(Idle::kMost);  // so that giving one back cannot fail
    if (!current.compare_exchange_strong(idle, made.get(), std::memory_order_acq_rel)) return idle;
    return made.release();
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}

}  // namespace

void Team::serve(Member& member, int thread) noexcept {
  for (;;) {
    await_change(member.state, State::kResting, looks_.load(std::memory_order_relaxed));
    State seen = State::kOffered;
    if (member.state.compare_exchange_strong(seen, State::kWorking, std::memory_order_acq_rel)) {
      work_(context_, thread);
      member.state.store(State::kResting, std::memory_order_release);
      member.state.notify_one();
    } else if (seen == State::kDismissed) {
      return;
    }
  }
}

bool Team::add_member() noexcept {
  try {
    members_.reserve(members_.size() + 1);
    auto member = std::make_unique<Member>();
    member->thread = std::thread(&Team::serve, this, std::ref(*member), static_cast<int>(members_.size()) + 1);
    members_.push_back(std::move(member));
    return true;
  } catch (...) {
    return false;  // no memory, or no more threads
  }
}

void Team::run(int threads, Work work, void* context) noexcept {
  auto helpers = static_cast<std::size_t>(threads - 1);
  looks_.store(looks_of(threads), std::memory_order_relaxed);
  while (members_.size() < helpers && add_member()) {
  }
  helpers = std::min(helpers, members_.size());
  work_ = work;
  context_ = context;
  for (std::size_t i = 0; i < helpers; ++i) {
    members_[i]->state.store(State::kOffered, std::memory_order_release);
    members_[i]->state.notify_one();
  }
  work(context, 0);
  for (std::size_t i = 0; i < helpers; ++i) {
    std::atomic<State>& state = members_[i]->state;
    State seen = State::kOffered;
    state.compare_exchange_strong(seen, State::kResting, std::memory_order_acq_rel);
    if (seen == State::kWorking) await_change(state, State::kWorking, looks_.load(std::memory_order_relaxed));
  }
}

Team::~Team() {
  for (const auto& member : members_) {
    member->state.store(State::kDismissed, std::memory_order_release);
    member->state.notify_one();
    member->thread.join();
  }
}

Team::Lease::Lease() noexcept {
  Idle* idle = idle_teams();
  if (idle == nullptr) return;
  const std::lock_guard lock(idle->mutex);
  if (idle->teams.empty()) {
    team_.reset(new (std::nothrow) Team);
    return;
  }
  team_ = std::move(idle->teams.back());
  idle->teams.pop_back();
}

Team::Lease::~Lease() {
  Idle* idle = team_ != nullptr ? idle_teams() : nullptr;
  if (idle == nullptr) return;
  const std::lock_guard lock(idle->mutex);
  if (idle->teams.size() < Idle::kMost) idle->teams.push_back(std::move(team_));
}

}  // namespace flexjit::runtime
