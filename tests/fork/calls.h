/* What the fork tests do in parents and children. Each returns 0, or the number of the first check that failed. */
#ifndef FLEXJIT_TESTS_FORK_CALLS_H
#define FLEXJIT_TESTS_FORK_CALLS_H

/* Everything with `threads`: compile, prefill and decode, a block mask made and used, states merged by decoding. Patterns of
 * different `seed` are compiled anew. */
int fork_calls_all(int threads, int seed);
/* A handle that is compiled once a process and used again by every later call, whatever process that is in. */
int fork_calls_kept(int threads);

#endif
