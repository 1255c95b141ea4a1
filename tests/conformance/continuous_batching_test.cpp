// A server in small: requests that arrive, share prefixes, are prefilled in chunks, generate and end, all from one pool of
// pages, one ragged call a step. Every output row is compared with attention written down naively over the whole history of its
// request. By default some hundred requests; FLEXJIT_SERVING_REQUESTS sets another count and FLEXJIT_SERVING_SEED another seed.
#include <cmath>
#include <cstdlib>
#include <deque>
#include <fstream>
#include <list>

#include "flexjit/kv_cache.h"
#include "flexjit/page_pool.h"
#include "on_backends.h"
#include "support/checklist.h"

namespace flexjit::conformance {
namespace {

constexpr int kQHeads = 4, kKvHeads = 2, kDim = 16, kPageSize = 8, kPages = 220, kPositions = 512;

std::int64_t setting(const char* name, std::int64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr || *text == '\0' ? otherwise : std::strtoll(text, nullptr, 10);
}

// A number in (-1, 1) that depends on nothing else.
float element(std::uint32_t token, std::uint32_t what, int head, int d) {
  std::uint64_t x = (std::uint64_t{token} << 32) ^ (std::uint64_t{what} << 20) ^ static_cast<std::uint64_t>(head * 64 + d);
  x = (x ^ (x >> 31)) * 0x9e3779b97f4a7c15ULL;
  x = (x ^ (x >> 29)) * 0xbf58476d1ce4e5b9ULL;
  return static_cast<float>(static_cast<double>(x >> 11) * 0x1p-52 - 1);
}
enum What : std::uint32_t { kQuery, kKey, kValue };

// The row of a token at a position, halves rotated; values are not.
std::array<double, kDim> row_of(std::uint32_t token, What what, int head, int position) {
  std::array<double, kDim> row{};
  for (int d = 0; d < kDim; ++d) row[at(d)] = static_cast<double>(element(token, what, head, d));
  if (what == kValue) return row;
  for (int j = 0; j < kDim / 2; ++j) {
    const double angle = position * std::pow(1e4, -2.0 * j / kDim), x = row[at(j)], y = row[at(j + kDim / 2)];
    row[at(j)] = x * std::cos(angle) - y * std::sin(angle);
    row[at(j + kDim / 2)] = y * std::cos(angle) + x * std::sin(angle);
  }
  return row;
}

struct Request {
  std::vector<std::uint32_t> tokens;  // the prompt, then what is generated
  std::size_t last = 0;               // tokens it will have
  std::int32_t done = 0;              // in the cache
  std::int32_t now = 0;               // that this step adds
  PageList pages;
};

class Server {
 public:
  Server(const Attention& attention, std::uint64_t seed)
      : attention_(attention),
        random_(seed),
        pool_(PagePool::create({.pages = kPages, .kv_heads = kKvHeads, .head_dim = kDim, .page_size = kPageSize}).value()) {
    for (int p = 0; p < kPositions; ++p) {
      for (int j = 0; j < kDim / 2; ++j) {
        const double angle = p * std::pow(1e4, -2.0 * j / kDim);
        cos_.push_back(static_cast<float>(std::cos(angle)));
        sin_.push_back(static_cast<float>(std::sin(angle)));
      }
    }
    rotary_ = {TensorView(cos_.data(), DType::kF32, {kPositions, kDim / 2}),
               TensorView(sin_.data(), DType::kF32, {kPositions, kDim / 2}), RotaryPairing::kHalves};
  }

  // False once there is nothing left to do.
  bool step(std::int64_t& to_come) {
    while (to_come > 0 && running_.size() < 12 && random_.chance(0.6)) {
      arrive();
      --to_come;
    }
    std::vector<Request*> batch = choose();
    if (!batch.empty()) serve(batch);
    finish();
    return to_come > 0 || !running_.empty();
  }
  std::int32_t free_pages() const { return pool_.free_pages(); }
  std::int64_t rows() const { return rows_; }
  double worst() const { return worst_; }

 private:
  void arrive() {
    Request& request = running_.emplace_back();
    std::size_t shared = 0;
    if (running_.size() > 1 && random_.chance(0.5)) {  // continues what another one has in the cache
      const Request& other = *std::next(running_.begin(), random_.integer(0, static_cast<std::int32_t>(running_.size()) - 2));
      shared = static_cast<std::size_t>(random_.integer(0, other.done));
      request.tokens.assign(other.tokens.begin(), other.tokens.begin() + static_cast<std::ptrdiff_t>(shared));
      request.pages = pool_.share(other.pages, static_cast<std::int64_t>(shared)).value();
      request.done = static_cast<std::int32_t>(shared);
    }
    const int prompt = random_.integer(1, 90);
    for (int i = 0; i < prompt; ++i) request.tokens.push_back(next_token_++);
    request.last = request.tokens.size() + static_cast<std::size_t>(random_.integer(1, 30));
  }

  // Those that find pages: a chunk of the prompt, or one token.
  std::vector<Request*> choose() {
    std::vector<Request*> batch;
    for (Request& request : running_) {
      request.now = 0;
      const auto left = static_cast<std::int32_t>(request.tokens.size()) - request.done;
      const std::int32_t wanted = std::min(left, random_.integer(1, 64));
      if (wanted == 0 || !pool_.make_room(request.pages, request.done, wanted)) continue;
      request.now = wanted;
      batch.push_back(&request);
    }
    if (batch.empty() && !running_.empty()) {  // all wait for pages: the youngest gives its own back and begins anew
      Request& youngest = running_.back();
      EXPECT_TRUE(pool_.release(youngest.pages));
      youngest.done = 0;
    }
    return batch;
  }

  // What a step adds, laid out as calls take it.
  struct Step {
    std::vector<std::int32_t> begins{0}, past, total, table;
    std::vector<float> q, k, v, out;
    std::int64_t max_pages = 1;

    static TensorView ints(const std::vector<std::int32_t>& x) {
      return {x.data(), DType::kI32, {static_cast<std::int64_t>(x.size())}};
    }
    static TensorView rows(const std::vector<float>& x, int heads) {
      const std::int64_t count = static_cast<std::int64_t>(x.size()) / (heads * kDim);
      return thd(static_cast<const void*>(x.data()), DType::kF32, {count, heads, kDim});
    }
    TensorView pages() const { return {table.data(), DType::kI32, {static_cast<std::int64_t>(past.size()), max_pages}}; }
  };

  Step lay_out(const std::vector<Request*>& batch) const {
    Step step;
    for (const Request* request : batch) step.max_pages = std::max<std::int64_t>(step.max_pages, std::ssize(request->pages));
    step.table.resize(batch.size() * at(step.max_pages));
    for (std::size_t i = 0; i < batch.size(); ++i) {
      const Request& request = *batch[i];
      step.begins.push_back(step.begins.back() + request.now);
      step.past.push_back(request.done);
      step.total.push_back(request.done + request.now);
      const auto row = std::span(step.table).subspan(i * at(step.max_pages), at(step.max_pages));
      EXPECT_TRUE(pool_.write_row(request.pages, row));
      for (std::int32_t n = 0; n < request.now; ++n) {
        const std::uint32_t token = request.tokens[at(request.done + n)];
        for (const auto& [rows, what, heads] :
             {std::tuple{&step.q, kQuery, kQHeads}, {&step.k, kKey, kKvHeads}, {&step.v, kValue, kKvHeads}}) {
          for (int h = 0; h < heads; ++h)
            for (int d = 0; d < kDim; ++d) rows->push_back(element(token, what, h, d));
        }
      }
    }
    step.out.resize(step.q.size());
    return step;
  }

  void serve(const std::vector<Request*>& batch) {
    Step step = lay_out(batch);
    const Result<AppendStats> appended =
        append_kv({.k = pool_.k(), .v = pool_.v(), .past_len = Step::ints(step.past), .block_table = step.pages()},
                  {.k = Step::rows(step.k, kKvHeads),
                   .v = Step::rows(step.v, kKvHeads),
                   .cu_seqlens_k_new = Step::ints(step.begins),
                   .rotary = &rotary_});
    ASSERT_TRUE(appended) << render(appended.diagnostics());
    ASSERT_EQ(appended->total_len, step.total);
    Sequences sequences;
    sequences.cu_seqlens_q = Step::ints(step.begins);
    sequences.total_len = Step::ints(step.total);
    sequences.block_table = step.pages();
    RunArgs args{.q = Step::rows(step.q, kQHeads),
                 .k = pool_.k(),
                 .v = pool_.v(),
                 .out = thd(static_cast<void*>(step.out.data()), DType::kF32, {step.begins.back(), kQHeads, kDim})};
    args.sequences = &sequences;
    args.rotary = &rotary_;
    const Result<RunStats> ran = attention_.run(args);
    ASSERT_TRUE(ran) << render(ran.diagnostics());
    for (std::size_t i = 0; i < batch.size(); ++i) {
      Request& request = *batch[i];
      for (std::int32_t n = 0; n < request.now; ++n)
        check(request, request.done + n, std::span(step.out).subspan(at(step.begins[i] + n) * kQHeads * kDim, kQHeads * kDim));
      request.done += request.now;
      if (request.done == std::ssize(request.tokens) && request.tokens.size() < request.last)
        request.tokens.push_back(next_token_++);
    }
    rows_ += step.begins.back();
  }

  void check(const Request& request, std::int32_t position, std::span<const float> out) {
    for (int h = 0; h < kQHeads; ++h) {
      const int kv_head = h / (kQHeads / kKvHeads);
      const auto query = row_of(request.tokens[at(position)], kQuery, h, position);
      std::vector<double> scores;
      double highest = -1e300, sum = 0;
      for (std::int32_t i = 0; i <= position; ++i) {
        const auto key = row_of(request.tokens[at(i)], kKey, kv_head, i);
        double score = 0;
        for (int d = 0; d < kDim; ++d) score += query[at(d)] * key[at(d)];
        scores.push_back(score / std::sqrt(double{kDim}));
        highest = std::max(highest, scores.back());
      }
      std::array<double, kDim> expected{};
      for (std::int32_t i = 0; i <= position; ++i) {
        const double weight = std::exp(scores[at(i)] - highest);
        const auto value = row_of(request.tokens[at(i)], kValue, kv_head, i);
        sum += weight;
        for (int d = 0; d < kDim; ++d) expected[at(d)] += weight * value[at(d)];
      }
      for (int d = 0; d < kDim; ++d)
        worst_ = std::max(worst_, std::abs(expected[at(d)] / sum - static_cast<double>(out[at(h * kDim + d)])));
    }
  }

  void finish() {
    for (auto request = running_.begin(); request != running_.end();) {
      const bool ends = request->done == static_cast<std::int32_t>(request->last) || request->done + 64 > kPositions;
      if (ends) {
        EXPECT_TRUE(pool_.release(request->pages));
      }
      request = ends ? running_.erase(request) : std::next(request);
    }
  }

  const Attention& attention_;
  Random random_;
  PagePool pool_;
  std::vector<float> cos_, sin_;
  Rotary rotary_;
  std::list<Request> running_;
  std::uint32_t next_token_ = 1;
  std::int64_t rows_ = 0;
  double worst_ = 0;
};

#ifdef __SANITIZE_ADDRESS__
constexpr bool kFreedIsKept = true;  // for a while
#else
constexpr bool kFreedIsKept = false;
#endif

std::int64_t resident_pages() {
  std::ifstream file("/proc/self/statm");
  std::int64_t size = 0, resident = 0;
  file >> size >> resident;
  return resident;
}

TEST(ContinuousBatching, EveryRowIsThatOfItsWholeHistory) {
  covers("P27 P28 P30 P33 D22 E13");
  const std::int64_t requests = setting("FLEXJIT_SERVING_REQUESTS", 250);
  const auto seed = static_cast<std::uint64_t>(setting("FLEXJIT_SERVING_SEED", 1));
  AttentionSpec spec;
  spec.head_dim = kDim;
  spec.causal = true;
  const Attention attention = compile_or_throw(engine_for("host"), spec);
  Server server(attention, seed);
  std::int64_t to_come = requests, warm = 0, resident = 0, steps = 0;
  std::int64_t compiled = 0;
  while (server.step(to_come) && !HasFatalFailure()) {
    ASSERT_LT(server.worst(), 2e-5) << "FLEXJIT_SERVING_SEED=" << seed << ", step " << steps;
    if (++steps == 100) compiled = engine_for("host").stats().compiles;
    if (to_come == requests / 2 && warm == 0) warm = 1, resident = resident_pages();
  }
  ASSERT_LT(server.worst(), 2e-5) << "FLEXJIT_SERVING_SEED=" << seed;
  EXPECT_EQ(server.free_pages(), kPages) << "every page came back";
  if (steps > 100) {
    EXPECT_EQ(engine_for("host").stats().compiles, compiled) << "something was compiled after the beginning";
  }
  if (resident > 0 && !kFreedIsKept) {
    EXPECT_LT(resident_pages() - resident, 2048) << "memory grew by more than 8 MiB over half of the requests";
  }
  RecordProperty("rows", static_cast<int>(server.rows()));
}

}  // namespace
}  // namespace flexjit::conformance
