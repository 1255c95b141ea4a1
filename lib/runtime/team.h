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

  // work(context, thread) once for each thread in [0, threads), 0 being the caller; returns when all are done. Where the system
  // has no more threads there are fewer calls.
  void run(int threads, Work work, void* context) noexcept;

  class Lease;

 private:
  struct alignas(64) Member {
    std::atomic<int> round = 0;  // goes up when there is work
    std::thread thread;
  };

  void serve(Member& member, int thread) noexcept;
  bool add_member() noexcept;

  std::vector<std::unique_ptr<Member>> members_;  // threads 1, 2, ...
  // Of the loop under way; written before the members' rounds are.
  Work work_ = nullptr;  // null: go home
  void* context_ = nullptr;
  std::atomic<int> looks_ = 0;
  std::atomic<int> busy_ = 0;  // members that have not finished it
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
