// One sequence on several ranks: each makes the rows that it has, attends, and pulls a gradient back. Rank 0 compares some of
// its rows with attention by its definition, and prints the time of the slowest rank, the balance and the bytes that travelled.
#include <flexjit/mpi/sequence.h>
#include <mpi.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <span>
#include <string>
#include <vector>

namespace {

constexpr std::int32_t kHeads = 4, kDim = 64;

struct Options {
  std::string mask = "causal";
  std::int32_t length = 4096;
  int repeat = 3;
  flexjit::mpi::SequenceOptions sequence{};
};

Options parse(int argc, char** argv) {
  Options options;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string name = argv[i], value = argv[i + 1];
    if (name == "--mask") options.mask = value;
    if (name == "--length") options.length = std::atoi(value.c_str());
    if (name == "--repeat") options.repeat = std::max(1, std::atoi(value.c_str()));
    if (name == "--head-ranks") options.sequence.head_ranks = std::atoi(value.c_str());
    if (name == "--exchange" && value == "gather") options.sequence.exchange = flexjit::mpi::Exchange::kAllGather;
  }
  return options;
}

// Documents of 1, 2, 3 and 4 parts of a tenth.
std::int32_t document_of(std::int32_t position, std::int32_t length) {
  const std::int64_t tenth = std::int64_t{position} * 10 / length;
  return tenth < 1 ? 0 : tenth < 3 ? 1 : tenth < 6 ? 2 : 3;
}

bool allows(const Options& options, std::int32_t q, std::int32_t kv) {
  if (options.mask == "documents") return q >= kv && document_of(q, options.length) == document_of(kv, options.length);
  if (options.mask == "window") return q >= kv && q - kv < 1024;
  return q >= kv;
}

// The same number on every rank, wherever a row lies: about N(0, 1).
float element(std::uint32_t tensor, std::int32_t head, std::int32_t position, std::int32_t dim) {
  std::uint64_t x = (std::uint64_t{tensor} << 56) ^ (static_cast<std::uint64_t>(head) << 48) ^
                    (static_cast<std::uint64_t>(position) << 12) ^ static_cast<std::uint64_t>(dim);
  float sum = 0;
  for (int i = 0; i < 4; ++i) {
    x = (x ^ (x >> 31)) * 0x9e3779b97f4a7c15 + 0x632be59bd9b4e019;
    sum += static_cast<float>(x >> 40) * 0x1p-24F - 0.5F;
  }
  return sum * 1.73F;
}

// (1, heads, tokens, dim) of this rank's positions.
std::vector<float> rows(std::uint32_t tensor, std::span<const std::int32_t> positions) {
  std::vector<float> values;
  for (std::int32_t h = 0; h < kHeads; ++h)
    for (const std::int32_t position : positions)
      for (std::int32_t d = 0; d < kDim; ++d) values.push_back(element(tensor, h, position, d));
  return values;
}

// A row of the output by the definition.
double largest_error(const Options& options, std::int32_t head, std::int32_t position, const float* out) {
  std::vector<double> scores(static_cast<std::size_t>(options.length));
  double most = -HUGE_VAL;
  for (std::int32_t kv = 0; kv < options.length; ++kv) {
    double score = 0;
    for (std::int32_t d = 0; d < kDim; ++d) score += double{element(0, head, position, d)} * double{element(1, head, kv, d)};
    scores[static_cast<std::size_t>(kv)] = allows(options, position, kv) ? score / std::sqrt(double{kDim}) : -HUGE_VAL;
    most = std::max(most, scores[static_cast<std::size_t>(kv)]);
  }
  std::vector<double> row(kDim, 0);
  double sum = 0;
  for (std::int32_t kv = 0; kv < options.length; ++kv) {
    const double weight = std::exp(scores[static_cast<std::size_t>(kv)] - most);
    sum += weight;
    for (std::int32_t d = 0; d < kDim; ++d) row[static_cast<std::size_t>(d)] += weight * double{element(2, head, kv, d)};
  }
  double error = 0;
  for (std::size_t d = 0; d < row.size(); ++d) error = std::max(error, std::abs(row[d] / sum - double{out[d]}));
  return error;
}

flexjit::AttentionSpec spec_of(const Options& options) {
  flexjit::AttentionSpec spec;
  spec.head_dim = kDim;
  spec.program = "mask = q_idx >= kv_idx";
  if (options.mask == "window") spec.program += " && q_idx - kv_idx < 1024";
  if (options.mask == "documents") spec.program = "buffer doc : i32[q_len]\n" + spec.program + " && doc[q_idx] == doc[kv_idx]";
  return spec;
}

// Of the slowest rank. The first run compiles and does not count.
template <typename Run>
double median_milliseconds(int repeat, const Run& run) {
  std::vector<double> seconds;
  for (int i = 0; i <= repeat; ++i) {
    MPI_Barrier(MPI_COMM_WORLD);
    const double begin = MPI_Wtime();
    run();
    double passed = MPI_Wtime() - begin;
    MPI_Allreduce(MPI_IN_PLACE, &passed, 1, MPI_DOUBLE, MPI_MAX, MPI_COMM_WORLD);
    if (i > 0) seconds.push_back(passed);
  }
  std::sort(seconds.begin(), seconds.end());
  return seconds[seconds.size() / 2] * 1e3;
}

// One that has the rows of some positions.
flexjit::mpi::ShardedAttention attention_of(const Options& options, const flexjit::Bindings& bindings) {
  return flexjit::mpi::ShardedAttention::make(flexjit::default_engine(), spec_of(options),
                                              {.q_heads = kHeads, .kv_heads = kHeads, .length = options.length},
                                              options.sequence, &bindings)
      .value();
}

int run(const Options& options, int rank, int ranks) {
  flexjit::Bindings bindings;
  std::vector<std::int32_t> documents;
  for (std::int32_t i = 0; i < options.length; ++i) documents.push_back(document_of(i, options.length));
  if (options.mask == "documents")
    bindings.buffers["doc"] = flexjit::TensorView(documents.data(), flexjit::DType::kI32, {options.length});
  const auto attention = attention_of(options, bindings);
  const auto positions = attention.positions();
  const auto tokens = static_cast<std::int64_t>(positions.size());
  const std::vector<float> q = rows(0, positions), k = rows(1, positions), v = rows(2, positions), d_out = rows(3, positions);
  std::vector<float> out(q.size()), lse(q.size() / kDim), dq(q.size()), dk(q.size()), dv(q.size());
  const auto given = [&](const std::vector<float>& values) {
    return flexjit::TensorView(values.data(), flexjit::DType::kF32, {1, kHeads, tokens, kDim});
  };
  const auto wanted = [&](std::vector<float>& values) {
    return flexjit::MutableTensorView(values.data(), flexjit::DType::kF32, {1, kHeads, tokens, kDim});
  };
  const flexjit::mpi::ShardArgs args{.q = given(q),
                                     .k = given(k),
                                     .v = given(v),
                                     .out = wanted(out),
                                     .lse = flexjit::MutableTensorView(lse.data(), flexjit::DType::kF32, {1, kHeads, tokens}),
                                     .bindings = &bindings};
  const flexjit::mpi::ShardGradients gradients{.out = given(d_out), .q = wanted(dq), .k = wanted(dk), .v = wanted(dv)};

  std::int64_t bytes = 0;
  const double milliseconds = median_milliseconds(options.repeat, [&] {
    bytes = attention.run(args).value().bytes_sent;
    attention.run_backward(args, gradients).value();
  });
  MPI_Allreduce(MPI_IN_PLACE, &bytes, 1, MPI_INT64_T, MPI_SUM, MPI_COMM_WORLD);
  double error = 0;
  for (std::size_t row = 0; row < positions.size(); row += std::max<std::size_t>(1, positions.size() / 8))
    error = std::max(error, largest_error(options, 1, positions[row], out.data() + (positions.size() + row) * kDim));
  MPI_Allreduce(MPI_IN_PLACE, &error, 1, MPI_DOUBLE, MPI_MAX, MPI_COMM_WORLD);
  if (rank == 0)
    std::printf(
        "%s, %d tokens, %d ranks, %s: %.1f ms forward and backward, %.2f MiB of keys and values sent, largest error %.1e\n",
        options.mask.c_str(), options.length, ranks, std::string(flexjit::mpi::name_of(attention.layout().dealing)).c_str(),
        milliseconds, static_cast<double>(bytes) / 0x1p20, error);
  return error < 1e-5 ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  MPI_Init(&argc, &argv);
  int rank = 0, ranks = 1, failed = 1;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &ranks);
  try {
    failed = run(parse(argc, argv), rank, ranks);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "rank %d: %s\n", rank, error.what());
  }
  MPI_Finalize();
  return failed;
}
