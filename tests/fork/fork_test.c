/* Children of parents that have and have not run parallel regions before, several at once and nested. A child that hangs is
 * ended by its alarm. */
#define _POSIX_C_SOURCE 200809L
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "calls.h"

static int failures = 0;

/* What the child of a fork returns from `body`, or 255 if it hangs or is killed. */
static void expect_child(const char* what, int (*body)(int), int argument) {
  int status = 0;
  pid_t child;
  fflush(NULL);
  child = fork();
  if (child == 0) {
    alarm(20);
    _exit(body(argument));
  }
  waitpid(child, &status, 0);
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
    fprintf(stderr, "%s(%d): %s %d\n", what, argument, WIFEXITED(status) ? "check" : "signal",
            WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
    ++failures;
  }
}

static int everything(int threads) { return fork_calls_all(threads, 3); }

static int nested(int threads) {
  int before = failures;
  if (fork_calls_kept(threads) != 0) return 21;
  expect_child("grandchild", everything, threads);
  if (fork_calls_kept(threads) != 0) return 22;
  expect_child("second grandchild, again", fork_calls_kept, threads);
  return failures != before ? 23 : 0;
}

int main(void) {
  static const int kThreads[] = {1, 2, 8};
  int i, round;
  for (i = 0; i < 3; ++i) expect_child("before any call", everything, kThreads[i]);
  for (round = 0; round < 3; ++round) {
    for (i = 0; i < 3; ++i) {
      const int threads = kThreads[i];
      int failed = fork_calls_kept(threads);
      if (failed == 0) failed = fork_calls_all(threads, round);
      if (failed != 0) {
        fprintf(stderr, "parent, %d threads: check %d\n", threads, failed);
        ++failures;
      }
      expect_child("a kept handle", fork_calls_kept, threads);
      expect_child("everything", everything, threads);
      expect_child("nested", nested, threads);
    }
  }
  return failures == 0 ? 0 : 1;
}
