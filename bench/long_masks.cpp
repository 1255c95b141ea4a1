// Builds block masks of a million tokens and prints one JSON object a mask: how much CPU time the build took beside writing
// every list of the mask out into a plain vector, what it held at its peak beside the lists, and the CPU time of extending the
// mask by one token. bench/block-masks makes tables of it. Arguments: length (1048576), repetitions (5).
#include <flexjit/flexjit.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <ctime>
#include <string>
#include <vector>

#include "measure/heap_meter.h"

namespace {

struct Case {
  const char* name;
  const char* text;
};

constexpr Case kCases[] = {
    {"causal", "mask = q_idx >= kv_idx"},
    {"window 1024", "mask = q_idx >= kv_idx && q_idx - kv_idx <= 1024"},
    {"documents of 800", "buffer q_doc : i32[q_len]; buffer kv_doc : i32[kv_len]\nmask = q_doc[q_idx] == kv_doc[kv_idx]"},
};

// Of this process, whose one thread does all the work: what else runs on the machine counts less.
double cpu_ms() { return 1e3 * static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }

double median(std::vector<double> times) {
  std::ranges::nth_element(times, times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2));
  return times[times.size() / 2];
}

// Lengths between 400 and 1200, the same in every run.
std::vector<std::int32_t> document_ids(std::int64_t length) {
  std::vector<std::int32_t> ids;
  std::uint64_t state = 1, left = 0;
  std::int32_t document = -1;
  for (std::int64_t i = 0; i < length; ++i, --left) {
    if (left == 0) {
      state = state * 6364136223846793005U + 1442695040888963407U;
      left = 400 + (state >> 33) % 801;
      ++document;
    }
    ids.push_back(document);
  }
  return ids;
}

// Time to have every index of every row in one vector, and how many there are.
std::pair<double, std::size_t> write_lists(const flexjit::BlockMask& mask) {
  const double begin = cpu_ms();
  const flexjit::BlockCounts counts = mask.counts();
  std::vector<std::int32_t> written;
  written.reserve(static_cast<std::size_t>(counts.partial + counts.full));
  for (std::int32_t row = 0; row < mask.shape().q_blocks(); ++row) {
    for (const auto list : {mask.kv_indices(0, 0, row), mask.full_kv_indices(0, 0, row)})
      written.insert(written.end(), list.begin(), list.end());
  }
  return {cpu_ms() - begin, written.size()};
}

// CPU time of making the mask of `longer` from one that is a token shorter.
double extend_us(const flexjit::Attention& attention, const flexjit::BlockMask& mask, const flexjit::BlockMaskOptions& longer,
                 const flexjit::Bindings& bindings, int repeat) {
  constexpr int kCalls = 500;
  std::vector<double> times;
  for (int i = 0; i < repeat; ++i) {
    const double begin = cpu_ms();
    for (int call = 0; call < kCalls; ++call) (void)attention.extend_block_mask(mask, longer, &bindings).value();
    times.push_back((cpu_ms() - begin) * 1e3 / kCalls);
  }
  return median(times);
}

int fail(const flexjit::Diagnostics& errors) {
  fmt::print(stderr, "{}", flexjit::render(errors));
  return 1;
}

int measure(const Case& test, std::int32_t length, int repeat) {
  flexjit::AttentionSpec spec;
  spec.head_dim = 64;
  spec.program = test.text;
  flexjit::EngineOptions engine;
  engine.backend = flexjit::Backend::kReference;
  const auto attention = flexjit::Engine(engine).compile(spec);
  if (!attention) return fail(attention.diagnostics());
  const std::vector<std::int32_t> ids = document_ids(std::int64_t{length} + 1);
  const auto bind = [&](std::int32_t tokens) {
    flexjit::Bindings bindings;
    const flexjit::TensorView view(ids.data(), flexjit::DType::kI32, {tokens});
    if (std::string(test.text).starts_with("buffer")) bindings.buffers = {{"q_doc", view}, {"kv_doc", view}};
    return bindings;
  };
  const flexjit::Bindings bindings = bind(length), longer = bind(length + 1);
  const flexjit::BlockMaskOptions options{.q_len = length, .kv_len = length};
  std::vector<double> build, write;
  std::int64_t peak = 0;
  std::size_t lists = 0, indices = 0;
  double extend = 0;
  for (int i = 0; i < repeat; ++i) {
    const flexjit::tools::HeapMeter meter;
    const double begin = cpu_ms();
    const auto mask = attention->create_block_mask(options, &bindings);
    build.push_back(cpu_ms() - begin);
    peak = meter.peak_bytes();
    if (!mask) return fail(mask.diagnostics());
    lists = mask->bytes();
    const auto [ms, written] = write_lists(*mask);
    write.push_back(ms);
    indices = written;
    if (i == 0) extend = extend_us(*attention, *mask, {.q_len = length + 1, .kv_len = length + 1}, longer, repeat);
  }
  fmt::print(
      "{{\"mask\": \"{}\", \"length\": {}, \"build_ms\": {:.4f}, \"write_ms\": {:.4f}, \"indices\": {}, \"list_bytes\": {}, "
      "\"peak_bytes\": {}, \"extend_us\": {:.2f}}}\n",
      test.name, length, median(build), median(write), indices, lists, peak, extend);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const int length = argc > 1 ? std::atoi(argv[1]) : 1 << 20, repeat = argc > 2 ? std::atoi(argv[2]) : 5;
  if (length < 1 || length > 1 << 30 || repeat < 1) {
    fmt::print(stderr, "length must be in [1, 2^30] and repetitions at least 1, got {} and {}\n", length, repeat);
    return 2;
  }
  int failures = 0;
  for (const Case& test : kCases) failures += measure(test, length, repeat);
  return failures == 0 ? 0 : 1;
}
