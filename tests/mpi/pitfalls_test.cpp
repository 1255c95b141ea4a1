// What others' attention over many processes got wrong, a test for each kind; C1 to C12 are rows of a list of public reports.
// MPI's own calls are replaced here by legal ones that a careless program does not survive.
#include <gtest/gtest.h>

#include "mpi/cases.h"
#include "mpi/collective.h"

namespace {

bool synchronous = false;  // sends end only when they are received
bool polls_move = true;    // else nothing travels but in waits
int sends = 0, polls = 0;

}  // namespace

// In the place of the library's, which has its own under other names.
extern "C" int MPI_Isend(const void* data, int count, MPI_Datatype type, int to, int tag, MPI_Comm comm, MPI_Request* request) {
  ++sends;
  return synchronous ? PMPI_Issend(data, count, type, to, tag, comm, request)
                     : PMPI_Isend(data, count, type, to, tag, comm, request);
}
extern "C" int MPI_Testall(int count, MPI_Request* requests, int* done, MPI_Status* statuses) {
  ++polls;
  if (polls_move) return PMPI_Testall(count, requests, done, statuses);
  *done = 0;
  return MPI_SUCCESS;
}

namespace flexjit::mpi {
namespace {

testing::AssertionResult all_of(const std::string& pitfall) {
  int found = 0;
  for (const Case& of : cases()) {
    if (of.pitfall != pitfall) continue;
    ++found;
    if (auto result = is_whole(of); !result) return result;
  }
  return found > 0 ? testing::AssertionSuccess() : testing::AssertionFailure() << "no case";
}

TEST(Pitfall, C1StatesOfLargeScores) { EXPECT_TRUE(all_of("C1")); }
TEST(Pitfall, C2PartialResultsAreFp32) { EXPECT_TRUE(all_of("C2")); }
TEST(Pitfall, C3PositionsAreThoseOfTheWhole) { EXPECT_TRUE(all_of("C3")); }
TEST(Pitfall, C5EachStepHasItsKeysInBackward) { EXPECT_TRUE(all_of("C5")); }
TEST(Pitfall, C6RanksWithNothingToDo) { EXPECT_TRUE(all_of("C6")); }
TEST(Pitfall, C9MessagesAreCut) { EXPECT_TRUE(all_of("C9")); }
TEST(Pitfall, C11RanksWithoutTokens) { EXPECT_TRUE(all_of("C11")); }

// Heads are split by the sizes of a handle; which it was before says nothing. Who cannot split refuses on all ranks alike.
TEST(Pitfall, C7HeadsOfSeveralModels) {
  for (const auto& [q_heads, kv_heads] : {std::pair{3, 3}, std::pair{12, 12}, std::pair{6, 3}, std::pair{3, 3}}) {
    Case of{.name = std::to_string(q_heads) + " heads",
            .spec = spec_of("mask = q_idx >= kv_idx && (q_idx + h) % 5 != 0"),
            .sizes = {.q_heads = q_heads, .kv_heads = kv_heads, .length = 90, .block = 16},
            .options = {.head_ranks = world_size()}};
    if (kv_heads % world_size() == 0) {
      EXPECT_TRUE(is_whole(of));
      continue;
    }
    const auto made = ShardedAttention::make(default_engine(), of.spec, of.sizes, of.options);
    EXPECT_TRUE(everywhere(!made && made.diagnostics().front().kind == "bad-option" ? testing::AssertionSuccess()
                                                                                    : testing::AssertionFailure()));
  }
}

// Keys of a rank of two are a MiB; all of them travel.
Case large() {
  return {.name = "large messages",
          .spec = spec_of("mask = (q_idx + kv_idx) % 64 == 0"),
          .sizes = {.q_heads = 32, .kv_heads = 32, .length = 1024}};
}

// Both passes; nothing is compared.
Part run_once(const Case& of) {
  const ShardedAttention attention = ShardedAttention::make(default_engine(), of.spec, of.sizes, of.options).value();
  const SequenceSizes& s = of.sizes;
  const auto rows = static_cast<std::size_t>(s.q_heads) * attention.positions().size();
  Part part{.tokens = static_cast<std::int64_t>(attention.positions().size())};
  for (auto* values : {&part.q, &part.k}) values->resize(rows * 16 * sizeof(float));
  for (auto* values : {&part.v, &part.out}) values->resize(rows * 8 * sizeof(float));
  for (std::size_t i = 0; i < part.q.size(); i += 5) part.q[i] = part.k[i] = static_cast<unsigned char>(i % 64);
  for (std::size_t i = 0; i < part.v.size(); i += 7) part.v[i] = static_cast<unsigned char>(i % 64);
  part.lse.resize(rows);
  part.d_out.assign(rows * 8, 0.5F);
  part.d_lse.assign(rows, 0.25F);
  part.dq.resize(rows * 16);
  part.dk.resize(rows * 16);
  part.dv.resize(rows * 8);
  static_cast<void>(attention.run(args_of(of, part)).value());
  static_cast<void>(attention.run_backward(args_of(of, part), gradients_of(of, part)).value());
  return part;
}

const Part& of_large() {
  static const Part part = run_once(large());
  return part;
}

testing::AssertionResult is_same(const Part& one, const Part& other) {
  return everywhere(one == other ? testing::AssertionSuccess() : testing::AssertionFailure() << "other bits");
}

TEST(Pitfall, C8SendsThatWaitForTheirReceivers) {
  const Case small{.name = "small messages", .spec = spec_of("mask = q_idx >= kv_idx"), .sizes = {.length = 16, .block = 1}};
  const Part of_small = run_once(small);
  static_cast<void>(of_large());
  synchronous = true;
  sends = 0;
  const Part small_again = run_once(small), large_again = run_once(large());
  synchronous = false;
  EXPECT_TRUE(is_same(of_small, small_again));
  EXPECT_TRUE(is_same(of_large(), large_again));
  EXPECT_TRUE(
      everywhere(world_size() == 1 || sends > 0 ? testing::AssertionSuccess() : testing::AssertionFailure() << "no sends"));
}

TEST(Pitfall, C10NothingTravelsBetweenCalls) {
  polls_move = false;
  polls = 0;
  const Part part = run_once(large());
  const int found = polls;
  polls_move = true;
  EXPECT_TRUE(is_same(of_large(), part));
  // Between parts of each step of both passes, of which there are as many as ranks.
  EXPECT_TRUE(
      everywhere(found >= 2 * world_size() ? testing::AssertionSuccess() : testing::AssertionFailure() << found << " polls"));
}

}  // namespace
}  // namespace flexjit::mpi
