// `flexjit run --dump-scores` and `--trace`: files as numpy and Perfetto read them.
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <limits>
#include <map>
#include <set>

#include "cli/subprocess.h"
#include "data/array.h"
#include "data/npy.h"

namespace flexjit::tests {
namespace {

using Json = nlohmann::json;
using tools::Array;
using Shape = std::vector<std::int64_t>;

CommandResult run_with(std::vector<std::string> line, const std::vector<std::string>& more) {
  line.insert(line.begin(), {"run", "--repeat", "1", "--threads", "2", "--json"});
  line.insert(line.end(), more.begin(), more.end());
  return run_flexjit(line);
}

// q is all ones and k counts, so that with scale 1 and head_dim 1 the score of key j is j.
struct Counting {
  Counting() {
    Array q(DType::kF32, {2, 2, 4, 1}), k(DType::kF32, {2, 2, 5, 1});
    for (std::int64_t i = 0; i < q.count(); ++i) q.as<float>()[i] = 1;
    for (std::int64_t i = 0; i < k.count(); ++i) k.as<float>()[i] = static_cast<float>(i % 5);
    EXPECT_TRUE(write_npy(folder.path("q.npy"), q));
    EXPECT_TRUE(write_npy(folder.path("k.npy"), k));
  }
  CommandResult run(const std::vector<std::string>& more) const {
    return run_with({"-e", "score = score * 10 + h * 100 + b * 1000", "-e", "mask = kv_idx <= q_idx", "--scale", "1", "--q",
                     folder.path("q.npy"), "--k", folder.path("k.npy"), "--v", folder.path("k.npy")},
                    more);
  }
  TemporaryFolder folder;
};

float expected(std::int64_t b, std::int64_t h, std::int64_t q, std::int64_t kv) {
  return kv <= q ? static_cast<float>(kv * 10 + h * 100 + b * 1000) : -std::numeric_limits<float>::infinity();
}

TEST(DumpScores, OfAllHeads) {
  const Counting counting;
  const std::string file = counting.folder.path("s.npy");
  const CommandResult result = counting.run({"--dump-scores", file});
  ASSERT_EQ(result.exit_code, 0) << result.out << result.err;
  const Json written = result.json()["scores"];
  EXPECT_EQ(written["file"], file);
  EXPECT_EQ(written["rows"], Json({0, 4}));
  EXPECT_EQ(written["shape"], Json({2, 2, 4, 5}));
  const Array scores = tools::read_npy(file).value();
  EXPECT_EQ(scores.dtype, DType::kF32);
  ASSERT_EQ(scores.shape, (Shape{2, 2, 4, 5}));
  for (std::int64_t i = 0; i < scores.count(); ++i)
    EXPECT_EQ(scores.as<float>()[i], expected(i / 40, i / 20 % 2, i / 5 % 4, i % 5)) << i;
}

TEST(DumpScores, OfSomeRowsOfOneHead) {
  const Counting counting;
  const std::string file = counting.folder.path("s.npy");
  const CommandResult result = counting.run({"--dump-scores", file, "--dump-rows", "1:3", "--batch-entry", "1", "--head", "0"});
  ASSERT_EQ(result.exit_code, 0) << result.out << result.err;
  const Array scores = tools::read_npy(file).value();
  ASSERT_EQ(scores.shape, (Shape{2, 5}));
  for (std::int64_t i = 0; i < 10; ++i) EXPECT_EQ(scores.as<float>()[i], expected(1, 0, 1 + i / 5, i % 5)) << i;
}

// Scores 0 to 30 of head 0 above a diagonal that is masked: the least and the largest are in the picture's texts.
TEST(HeatMap, DrawsTheScoresOfOneHead) {
  const Counting counting;
  const std::string file = counting.folder.path("s.png");
  const CommandResult result = counting.run({"--heat-map", file});
  ASSERT_EQ(result.exit_code, 0) << result.out << result.err;
  std::ifstream in(file, std::ios::binary);
  const std::string bytes((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  EXPECT_EQ(bytes.substr(0, 8), "\x89PNG\r\n\x1a\n");
  EXPECT_NE(bytes.find(std::string("least\0"
                                   "0",
                                   7)),
            std::string::npos);
  EXPECT_NE(bytes.find(std::string("largest\0"
                                   "30",
                                   10)),
            std::string::npos);
  EXPECT_EQ(counting.run({"--heat-map", "/nonexistent/s.png"}).exit_code, 1);
  EXPECT_EQ(counting.run({"--head", "1"}).exit_code, 2);
}

TEST(DumpScores, WrongOptions) {
  const Counting counting;
  const std::string file = counting.folder.path("s.npy");
  const auto wrong = [&](const std::vector<std::string>& more, int exit_code, const std::string& message) {
    const CommandResult result = counting.run(more);
    EXPECT_EQ(result.exit_code, exit_code) << testing::PrintToString(more) << result.out;
    const std::string said = result.json()["errors"][0]["message"];
    EXPECT_NE(said.find(message), std::string::npos) << said;
  };
  wrong({"--dump-scores", file, "--dump-rows", "1-3"}, 2, "`1-3` is no range of rows; write 0:8");
  wrong({"--dump-scores", file, "--dump-rows", "3:5"}, 2, "3:5 is not inside the 4 query rows, 0:4");
  wrong({"--dump-scores", file, "--dump-rows", "3:2"}, 2, "3:2 is not inside");
  wrong({"--dump-scores", file, "--dump-rows", "0:99999999999"}, 2, "is no range of rows");
  wrong({"--dump-scores", file, "--head", "2"}, 2, "is 2; there are 2, numbered from 0");
  wrong({"--dump-rows", "0:1"}, 2, "--dump-scores");
  wrong({"--dump-scores", "/nonexistent/s.npy"}, 1, "cannot be");
}

Json read_json(const std::string& path) {
  std::ifstream in(path);
  return Json::parse(in);
}

std::set<std::string> keys_of(const Json& object) {
  std::set<std::string> keys;
  for (const auto& [key, value] : object.items()) keys.insert(key);
  return keys;
}

// The trace event format's metadata and complete events, nothing else, every field of its type.
void expect_valid_event(const Json& event) {
  const bool is_metadata = event.at("ph") == "M";
  const std::set<std::string> metadata = {"name", "ph", "pid", "tid", "args"};
  const std::set<std::string> complete = {"name", "cat", "ph", "ts", "dur", "pid", "tid", "args"};
  EXPECT_EQ(keys_of(event), is_metadata ? metadata : complete) << event;
  EXPECT_TRUE(event["name"].is_string() && !event["name"].get<std::string>().empty());
  EXPECT_TRUE(event["pid"].is_number_integer() && event["tid"].is_number_integer() && event["args"].is_object()) << event;
  if (is_metadata) {
    EXPECT_TRUE(event["name"] == "process_name" || event["name"] == "thread_name") << event;
    EXPECT_TRUE(event["args"]["name"].is_string());
    return;
  }
  EXPECT_EQ(event["ph"], "X");
  EXPECT_TRUE(event["cat"].is_string());
  EXPECT_TRUE(event["ts"].is_number() && event["ts"] >= 0) << event;
  EXPECT_TRUE(event["dur"].is_number() && event["dur"] >= 0) << event;
}

// Complete events of a thread must enclose one another or lie apart: viewers cannot draw others.
void expect_nested(const std::vector<Json>& events) {
  std::map<int, std::vector<std::pair<double, double>>> by_thread;
  for (const Json& event : events)
    by_thread[event["tid"]].emplace_back(event["ts"], event["ts"].get<double>() + event["dur"].get<double>());
  constexpr double kRounding = 1e-3;  // of microseconds
  for (auto& [thread, spans] : by_thread) {
    std::ranges::sort(
        spans, [](const auto& a, const auto& b) { return a.first != b.first ? a.first < b.first : a.second > b.second; });
    std::vector<double> open;
    for (const auto& [begin, end] : spans) {
      while (!open.empty() && open.back() <= begin + kRounding) open.pop_back();
      if (!open.empty()) {
        EXPECT_LE(end, open.back() + kRounding) << "thread " << thread;
      }
      open.push_back(end);
    }
  }
}

std::vector<Json> named(const Json& events, const std::string& name) {
  std::vector<Json> found;
  for (const Json& event : events)
    if (event["name"] == name) found.push_back(event);
  return found;
}

TEST(TraceFile, IsValidAndTellsOfEveryTile) {
  const TemporaryFolder folder;
  const std::string file = folder.path("trace.json");
  const CommandResult result = run_with({"-e", "mask = kv_idx <= q_idx", "--batch", "2", "--heads", "4", "--kv-heads", "2",
                                         "--q-len", "300", "--kv-len", "300", "--head-dim", "8"},
                                        {"--trace", file});
  ASSERT_EQ(result.exit_code, 0) << result.out << result.err;
  const Json trace = read_json(file);
  EXPECT_EQ(keys_of(trace), (std::set<std::string>{"displayTimeUnit", "otherData", "traceEvents"}));
  EXPECT_EQ(trace["otherData"]["dropped_events"], 0);
  const Json& events = trace["traceEvents"];
  std::vector<Json> complete;
  std::set<int> named_threads, threads;
  for (const Json& event : events) {
    expect_valid_event(event);
    if (event["name"] == "thread_name") named_threads.insert(event["tid"].get<int>());
    if (event["ph"] == "X") complete.push_back(event), threads.insert(event["tid"].get<int>());
  }
  EXPECT_EQ(named_threads, threads);
  expect_nested(complete);
  for (const char* name : {"inputs", "runs", "first run", "traced run", "verify", "front end", "open compiler", "plan", "pack"})
    EXPECT_FALSE(named(events, name).empty()) << name;
  // Two runs were traced; each computes every row of 2 x 4 heads once.
  std::map<std::tuple<int, int, int>, int> rows;
  for (const Json& tile : named(events, "tile")) {
    const Json& args = tile["args"];
    EXPECT_EQ(keys_of(args), (std::set<std::string>{"b", "h", "q", "kv", "full_spans", "masked_spans", "scores"}));
    for (int q = args["q"][0]; q < args["q"][1]; ++q) ++rows[{args["b"], args["h"], q}];
  }
  EXPECT_EQ(rows.size(), 2U * 4 * 300);
  for (const auto& [row, times] : rows) EXPECT_EQ(times, 2);
  std::size_t of_engine = 0;
  for (const Json& event : complete) of_engine += event["cat"] != "command";
  EXPECT_EQ(result.json()["trace"], Json({{"file", file}, {"events", of_engine}, {"dropped_events", 0}}));
}

TEST(TraceFile, OfOneQueryAndOfTheReference) {
  const TemporaryFolder folder;
  const std::string file = folder.path("trace.json");
  const std::vector<std::string> one_query = {"-e", "score = score", "--q-len", "1", "--kv-len", "2000", "--trace", file};
  ASSERT_EQ(run_with(one_query, {}).exit_code, 0);
  Json events = read_json(file)["traceEvents"];
  EXPECT_GE(named(events, "split").size(), 2U * 4 * 2) << "two runs, four heads, more than one split";
  EXPECT_EQ(named(events, "merge").size(), 2U * 4);
  ASSERT_EQ(run_with(one_query, {"--reference"}).exit_code, 0);
  events = read_json(file)["traceEvents"];
  EXPECT_EQ(named(events, "reference").size(), 1U);
  EXPECT_TRUE(named(events, "split").empty());
}

TEST(TraceFile, OfABackwardPass) {
  const TemporaryFolder folder;
  const std::string file = folder.path("trace.json");
  ASSERT_EQ(run_with({"-e", "score = score", "--q-len", "100", "--backward", "--trace", file}, {}).exit_code, 0);
  const Json events = read_json(file)["traceEvents"];
  EXPECT_EQ(named(events, "give").size(), 2U * 4 * 3) << "two passes; q, k and v of four heads";
  for (const Json& give : named(events, "give")) {
    const bool of_queries = give["args"].contains("h");
    const std::set<std::string> queries{"b", "h", "q"}, keys{"b", "kv_head", "kv"};
    EXPECT_EQ(keys_of(give["args"]), of_queries ? queries : keys);
  }
  for (const Json& take : named(events, "take")) EXPECT_EQ(keys_of(take["args"]), (std::set<std::string>{"b", "h", "q"}));
  EXPECT_EQ(named(events, "backward").size(), 1U);
}

TEST(TraceFile, ThatCannotBeWritten) {
  const CommandResult result = run_with({"-e", "score = score", "--q-len", "8"}, {"--trace", "/nonexistent/trace.json"});
  EXPECT_EQ(result.exit_code, 1) << result.out;
  EXPECT_EQ(result.json()["errors"][0]["kind"], "unwritable-file");
}

TEST(RunCommand, WithoutDebuggingFilesBothAreNull) {
  const CommandResult result = run_with({"-e", "score = score", "--q-len", "8"}, {});
  ASSERT_EQ(result.exit_code, 0);
  EXPECT_TRUE(result.json()["scores"].is_null());
  EXPECT_TRUE(result.json()["trace"].is_null());
}

}  // namespace
}  // namespace flexjit::tests
