// One sequence on several ranks: each makes the rows that it has, attends, and pulls a gradient back. Every rank compares some
// of its rows with attention by its definition; rank 0 prints the time of the slowest rank and the bytes that travelled. With
// `--beside-one 1` it computes the whole alone as well, by turns, and prints how many times faster all ranks are.
#include <flexjit/mpi/sequence.h>
#include <mpi.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <memory>
#include <span>
#include <string>
#include <thread>
#include <vector>

namespace {

constexpr std::int32_t kHeads = 4, kDim = 64;

struct Options {
  std::string mask = "causal";
  std::int32_t length = 4096;
  int repeat = 3;
  bool beside_one = false;
  flexjit::mpi::SequenceOptions sequence{};
};

Options parse(int argc, char** argv) {
  Options options;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string name = argv[i], value = argv[i + 1];
    if (name == "--mask") options.mask = value;
    if (name == "--length") options.length = std::atoi(value.c_str());
    if (name == "--repeat") options.repeat = std::max(1, std::atoi(value.c_str()));
    if (name == "--beside-one") options.beside_one = value == "1";
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

// The rows that this rank has of a sequence that lies on the ranks of a communicator, and the two passes.
class Shard {
 public:
  Shard(const Options& options, const flexjit::Bindings& bindings, MPI_Comm comm) : attention_(make(options, bindings, comm)) {
    const std::span<const std::int32_t> at = attention_.positions();
    q_ = rows(0, at), k_ = rows(1, at), v_ = rows(2, at), d_out_ = rows(3, at);
    for (std::vector<float>* written : {&out_, &dq_, &dk_, &dv_}) written->resize(q_.size());
    lse_.resize(q_.size() / kDim);
    args_ = {.q = given(q_), .k = given(k_), .v = given(v_), .out = wanted(out_), .bindings = &bindings};
    args_.lse = flexjit::MutableTensorView(lse_.data(), flexjit::DType::kF32, {1, kHeads, tokens()});
  }

  std::int64_t forward() { return attention_.run(args_).value().bytes_sent; }
  void backward() {
    attention_.run_backward(args_, {.out = given(d_out_), .q = wanted(dq_), .k = wanted(dk_), .v = wanted(dv_)}).value();
  }
  // Of eight rows.
  double error(const Options& options) const {
    const std::span<const std::int32_t> at = attention_.positions();
    double most = 0;
    for (std::size_t row = 0; row < at.size(); row += std::max<std::size_t>(1, at.size() / 8))
      most = std::max(most, largest_error(options, 1, at[row], out_.data() + (at.size() + row) * kDim));
    return most;
  }
  std::string dealing() const { return std::string(flexjit::mpi::name_of(attention_.layout().dealing)); }

 private:
  static flexjit::mpi::ShardedAttention make(const Options& options, const flexjit::Bindings& bindings, MPI_Comm comm) {
    flexjit::mpi::SequenceOptions sequence = options.sequence;
    sequence.comm = comm;
    if (comm == MPI_COMM_SELF) sequence.head_ranks = 1;
    return flexjit::mpi::ShardedAttention::make(flexjit::default_engine(), spec_of(options),
                                                {.q_heads = kHeads, .kv_heads = kHeads, .length = options.length}, sequence,
                                                &bindings)
        .value();
  }
  std::int64_t tokens() const { return static_cast<std::int64_t>(attention_.positions().size()); }
  flexjit::TensorView given(const std::vector<float>& values) const {
    return flexjit::TensorView(values.data(), flexjit::DType::kF32, {1, kHeads, tokens(), kDim});
  }
  flexjit::MutableTensorView wanted(std::vector<float>& values) const {
    return flexjit::MutableTensorView(values.data(), flexjit::DType::kF32, {1, kHeads, tokens(), kDim});
  }

  flexjit::mpi::ShardedAttention attention_;
  std::vector<float> q_, k_, v_, d_out_, out_, lse_, dq_, dk_, dv_;
  flexjit::mpi::ShardArgs args_{};
};

// Milliseconds of each run.
struct Times {
  std::vector<double> forward{}, backward{}, both{};
  void add(double forward_ms, double backward_ms) {
    forward.push_back(forward_ms);
    backward.push_back(backward_ms);
    both.push_back(forward_ms + backward_ms);
  }
};

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

// Milliseconds, of the slowest rank where all of them compute.
template <typename Run>
double milliseconds(MPI_Comm comm, const Run& run) {
  MPI_Barrier(comm);
  const double begin = MPI_Wtime();
  run();
  double passed = (MPI_Wtime() - begin) * 1e3;
  MPI_Allreduce(MPI_IN_PLACE, &passed, 1, MPI_DOUBLE, MPI_MAX, comm);
  return passed;
}

void run_once(Shard& shard, MPI_Comm comm, Times& times) {
  const double forward = milliseconds(comm, [&] { shard.forward(); });
  times.add(forward, milliseconds(comm, [&] { shard.backward(); }));
}

// Until all ranks are here, asleep: who computes meanwhile has the machine.
void sleep_until_all_are_here() {
  MPI_Request request = MPI_REQUEST_NULL;
  MPI_Ibarrier(MPI_COMM_WORLD, &request);
  for (int here = 0; here == 0; MPI_Test(&request, &here, MPI_STATUS_IGNORE))
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
}

int run(const Options& options, int rank, int ranks) {
  flexjit::Bindings bindings;
  std::vector<std::int32_t> documents;
  for (std::int32_t i = 0; i < options.length; ++i) documents.push_back(document_of(i, options.length));
  if (options.mask == "documents")
    bindings.buffers["doc"] = flexjit::TensorView(documents.data(), flexjit::DType::kI32, {options.length});
  Shard shard(options, bindings, MPI_COMM_WORLD);
  std::unique_ptr<Shard> alone;
  if (options.beside_one && rank == 0) alone = std::make_unique<Shard>(options, bindings, MPI_COMM_SELF);

  std::int64_t bytes = shard.forward();  // compiles; does not count
  shard.backward();
  if (alone) alone->forward(), alone->backward();
  Times all, one;
  for (int i = 0; i < options.repeat; ++i) {
    if (alone) run_once(*alone, MPI_COMM_SELF, one);
    sleep_until_all_are_here();
    run_once(shard, MPI_COMM_WORLD, all);
  }
  MPI_Allreduce(MPI_IN_PLACE, &bytes, 1, MPI_INT64_T, MPI_SUM, MPI_COMM_WORLD);
  double error = shard.error(options);
  MPI_Allreduce(MPI_IN_PLACE, &error, 1, MPI_DOUBLE, MPI_MAX, MPI_COMM_WORLD);
  if (rank != 0) return error < 1e-5 ? 0 : 1;
  std::printf(
      "%s, %d tokens, %d ranks, %s: %.1f ms forward and backward, %.2f MiB of keys and values sent, largest error %.1e\n",
      options.mask.c_str(), options.length, ranks, shard.dealing().c_str(), median(all.both),
      static_cast<double>(bytes) / 0x1p20, error);
  if (alone)
    std::printf("  one rank: forward %.1f ms, backward %.1f, both %.1f; %d ranks are %.2f, %.2f and %.2f times as fast\n",
                median(one.forward), median(one.backward), median(one.both), ranks, median(one.forward) / median(all.forward),
                median(one.backward) / median(all.backward), median(one.both) / median(all.both));
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
