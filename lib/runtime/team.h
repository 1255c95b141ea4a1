// Threads that work together on one loop and wait for the next. Not OpenMP's: its runtime ends the process when it finds no
// memory for a team, and a forked child waits for ever for threads that it does not have.
#pragma once

#include <atomic>
#include <memory>
#include <thread>
#include <vector>

namespace flexjit::runtime {

class Team {
 public:
  using Work = void (*)(void* context, int thread) noexcept;

  Team() = default;
  ~Team();
  Team(const Team&) = delete;
  Team& operator=(const Team&) = delete;

  // work(context, thread) for thread 0, which is the caller, and once for each other one of [0, threads) that begins before the
  // caller's own call returns: `work` does all that there is to do however few come. Returns when all that began are done.
  void run(int threads, Work work, void* context) noexcept;

  class Lease;

 private:
  enum class State : int {
    kResting,
    kOffered,  // there is work: the member takes it, or the caller takes it back
    kWorking,
    kDismissed,
  };
  struct alignas(64) Member {
    std::atomic<State> state = State::kResting;
    std::thread thread;
  };

  void serve(Member& member, int thread) noexcept;
  bool add_member() noexcept;

  std::vector<std::unique_ptr<Member>> members_;  // threads 1, 2, ...
  // Of the loop under way; written before it is offered.
  Work work_ = nullptr;
  void* context_ = nullptr;
  std::atomic<int> looks_ = 0;
};

// A team that nobody else uses, for as long as this lives. Thread-safe.
class Team::Lease {
 public:
  Lease() noexcept;
  ~Lease();
  Lease(const Lease&) = delete;
  Lease& operator=(const Lease&) = delete;
  // Null: there is no memory for one.
  Team* get() const noexcept { return team_.get(); }

 private:
  std::unique_ptr<Team> team_;
};

}  // namespace flexjit::runtime
