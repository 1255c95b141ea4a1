// A member that sees its round go up works and reports. It looks for a while before it sleeps, because loops follow each other
// closely and waking takes as long as a short one.
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

// Some tenths of a millisecond; with more threads than processors whoever looks keeps another from working.
constexpr int kLooks = 10000, kCrowdedLooks = 50;

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
void await_change(std::atomic<int>& value, int old, int looks) noexcept {
  for (; looks > 0; --looks) {
    if (value.load(std::memory_order_acquire) != old) return;
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
  for (int seen = 0;; ++seen) {
    await_change(member.round, seen, looks_.load(std::memory_order_relaxed));
    if (work_ == nullptr) return;
    work_(context_, thread);
    if (busy_.fetch_sub(1, std::memory_order_acq_rel) == 1) busy_.notify_one();
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
  busy_.store(static_cast<int>(helpers), std::memory_order_relaxed);
  for (std::size_t i = 0; i < helpers; ++i) {
    members_[i]->round.fetch_add(1, std::memory_order_acq_rel);
    members_[i]->round.notify_one();
  }
  work(context, 0);
  for (int left = busy_.load(std::memory_order_acquire); left > 0; left = busy_.load(std::memory_order_acquire)) {
    await_change(busy_, left, looks_.load(std::memory_order_relaxed));
  }
}

Team::~Team() {
  work_ = nullptr;
  for (const auto& member : members_) {
    member->round.fetch_add(1, std::memory_order_acq_rel);
    member->round.notify_one();
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
