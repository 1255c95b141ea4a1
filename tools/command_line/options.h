// What the command line said, before anything is read or made.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "flexjit/attention.h"
#include "flexjit/build.h"
#include "flexjit/inspect.h"
#include "flexjit/tensor.h"

namespace flexjit::tools {

// A flag that has a tensor, from a file or as other inputs that no file gives.
struct TensorFlag {
  static constexpr std::string_view kWithoutFile = "true";
  std::string value{};  // "": not given; kWithoutFile; else the file

  bool given() const { return !value.empty(); }
  std::string file() const { return value == kWithoutFile ? "" : value; }  // empty: none
};

// The flags of AttentionSpec.
struct FlagOptions {
  bool causal = false;
  std::vector<std::int32_t> window{};  // left, right; empty: none
  std::optional<double> softcap{};
  TensorFlag alibi{}, key_lengths{}, key_mask{}, sinks{};
  std::string attention_mask{};  // the file, whose element type and rank say what it is; empty: none
  Weights weights = Weights::kSoftmax;
  LinearWeights linear{};           // of linear ones
  std::optional<double> dropout{};  // the probability
  DropoutGenerator generator = DropoutGenerator::kPhilox;
  std::optional<std::int32_t> dropout_seed{}, dropout_offset{};

  // Enough for a pattern without a text.
  bool any() const {
    return causal || !window.empty() || softcap || alibi.given() || key_lengths.given() || key_mask.given() || sinks.given() ||
           !attention_mask.empty() || weights != Weights::kSoftmax || dropout;
  }
};

// A pattern is a file of the language or of C++, statements given with -e, one a line, the text of a preset, or nothing but
// flags; flags are composed with the text.
struct PatternOptions {
  std::string file{};                      // "-": stdin
  std::optional<TextLanguage> language{};  // absent: by the file's name
  std::vector<std::string> statements{};
  std::string preset{};
  FlagOptions flags{};
};

enum class Layout : std::uint8_t { kBhsd, kBshd };
enum class Output : std::uint8_t { kTable, kJson };
enum class Execution : std::uint8_t { kKernel, kReference };

// Sizes that were not given follow from the files, then from each other, then from the defaults in data/problem.cpp.
struct SizeOptions {
  std::optional<std::int64_t> batch, heads, kv_heads, q_len, kv_len, head_dim, v_head_dim;
};

// As in AttentionSpec: of q, of k and v, and of the output.
struct DTypeOptions {
  DType q = DType::kF32;
  std::optional<DType> kv, out;  // absent: as q
  std::int32_t scale_dims = 0;   // AttentionSpec::kv_scale_dims
  bool given = false;            // q, by the user: else it may follow from a file, see make_problem

  DType kv_dtype() const { return kv.value_or(q); }
  DType out_dtype() const { return out.value_or(q); }
};

// What becomes of an input that no file gives. A result of files mixed with made-up numbers is neither theirs nor a measurement
// of anything, so by default it is made up only where all is.
enum class Unbound : std::uint8_t { kGeneratedWithoutFiles, kGenerated };

// Where what is not bound by name comes from: q, k, v and the sinks.
enum class Inputs : std::uint8_t { kGenerated, kFromFiles };

// What is bound to the names of a pattern.
struct NameOptions {
  std::vector<std::string> params;   // name=value
  std::vector<std::string> buffers;  // NAME=FILE
  std::vector<std::string> unread;   // buffers whose values nobody will see: made up, whatever else is given
  std::uint64_t seed = 0;            // of everything that is generated
  Unbound unbound = Unbound::kGeneratedWithoutFiles;
};

struct FileOptions {
  std::string q, k, v, out, lse;
  std::string k_scales, v_scales;
  Layout layout = Layout::kBhsd;

  bool gives_inputs() const { return !q.empty() || !k.empty() || !v.empty(); }
};

// Sequences with lengths of their own: files of i32, as flexjit/sequences.h has them, or lengths for which all is made up.
struct SequenceOptions {
  std::string cu_seqlens_q, seqused_q, cu_seqlens_k, total_len, cache_batch_idx, cache_leftpad, block_table, page_indptr,
      page_indices;
  std::vector<std::string> lengths;  // "1x4096": queries and keys
  std::int64_t page_size = 0;        // of lengths: their keys lie in pages of so many; 0: they do not
  std::int64_t cache_rows = 0;       // of lengths: in caches of so many rows, a batch entry each; 0: packed

  // Each file and its option; paths may be empty.
  std::vector<std::pair<std::string, std::string>> files() const {
    return {{"--cu-seqlens-q", cu_seqlens_q},       {"--seqused-q", seqused_q},
            {"--cu-seqlens-k", cu_seqlens_k},       {"--total-len", total_len},
            {"--cache-batch-idx", cache_batch_idx}, {"--cache-leftpad", cache_leftpad},
            {"--block-table", block_table},         {"--page-indptr", page_indptr},
            {"--page-indices", page_indices}};
  }
  bool has_files() const {
    const auto all = files();
    return std::any_of(all.begin(), all.end(), [](const auto& file) { return !file.second.empty(); });
  }
  bool any() const { return has_files() || !lengths.empty(); }
};

// What is written of the modified scores.
struct ScoreDumpOptions {
  std::string heat_map;                           // a PNG of one head; empty: none
  std::string file;                               // empty: nothing
  std::string rows;                               // "A:B"; empty: the first rows
  std::optional<std::int32_t> batch_entry, head;  // absent: all
};

// Of `run`, behind the forward pass.
struct BackwardOptions {
  bool wanted = false;
  std::string grad_out, dq, dk, dv;  // files; empty: none
  std::vector<std::string> buffers;  // NAME=FILE, or NAME: computed, not written
};

struct RunOptions {
  PatternOptions pattern;
  SizeOptions sizes;
  DTypeOptions dtypes;
  FileOptions files;
  SequenceOptions sequences;
  NameOptions names;
  std::optional<double> scale;
  int threads = 0;
  std::string target = "host";
  int repeat = 5;
  std::optional<int> verify_rows;
  Execution execution = Execution::kKernel;
  ScoreDumpOptions scores;
  BackwardOptions backward;
  std::string trace;  // the file; empty: none
  Output output = Output::kTable;
};

enum class ExplainedPass : std::uint8_t { kForward, kBackward };

struct ExplainOptions {
  RunOptions run;       // files to write, repeat, verification and reference are not used
  double seconds = 10;  // that measuring takes, where runs are short beside it
  ExplainedPass pass = ExplainedPass::kForward;
};

struct ReplOptions {
  PatternOptions pattern;  // to begin with
  SizeOptions sizes;
  NameOptions names;
  DTypeOptions dtypes;
  int threads = 1;
  std::string target = "host";
  Output output = Output::kTable;
};

struct InspectOptions {
  PatternOptions pattern;
  std::vector<std::string> views{"simplified"};  // names of inspect_views(), or "all"
  InspectKernel kernel = InspectKernel::kOfCall;
  std::vector<std::string> gradients{"all"};  // of kBackward: names of buffers, "all" or "none"
  AsmSyntax asm_syntax = AsmSyntax::kAtt;
  std::string target = "host";
  std::string html;                    // the report to write, with every view; empty: none
  std::string diff_file, diff_target;  // of what it is compared with; both empty: nothing
  SizeOptions sizes;
  SequenceOptions sequences;  // no files
  NameOptions names;
  DTypeOptions dtypes;
  Output output = Output::kTable;
};

struct CheckOptions {
  std::vector<std::string> files;  // more than one: each with the pattern's flags
  PatternOptions pattern;
  Output output = Output::kTable;
};

enum class TextPicture : std::uint8_t { kUnlessFiles, kAlways };  // a picture in a file replaces that on the terminal

enum class Counting : std::uint8_t { kUnlessLong, kAlways };  // of the allowed pairs

struct MaskOptions {
  PatternOptions pattern;
  SizeOptions sizes;
  NameOptions names;
  std::int32_t q_block = 128, kv_block = 128;
  std::int32_t batch_entry = 0, head = 0;  // of the plane that is shown
  std::string rows, keys;                  // A:B, of the pairs that are shown; empty: where something is to be seen
  std::string png, svg, save;              // files to write; empty: none
  TextPicture text = TextPicture::kUnlessFiles;
  Counting counting = Counting::kUnlessLong;
  Output output = Output::kTable;
};

struct PlanOptions {
  PatternOptions pattern;
  SizeOptions sizes;
  NameOptions names;
  std::int32_t ranks = 2;
  std::int32_t block = 128;      // tokens that stay together
  std::string dealing = "auto";  // name_of(mpi::Dealing)
  DType dtype = DType::kF32;     // of keys and values as they travel
  Output output = Output::kTable;
};

struct BuildCommandOptions {
  std::vector<std::string> files, presets;
  std::vector<std::string> statements;  // of one pattern; empty: none
  std::optional<TextLanguage> language;
  std::vector<std::string> names;  // none, or one a file, then one a preset, then one for the statements
  FlagOptions flags;               // of each
  DTypeOptions dtypes;
  std::int64_t head_dim = 64;
  std::int64_t v_head_dim = 0;
  std::optional<double> scale;
  std::vector<std::string> targets = {"host"};
  BuildPasses passes = BuildPasses::kForward;
  std::string library;  // its kind follows from how it ends
  std::string header;   // empty: the library's name with .h
  Output output = Output::kTable;
};

enum class CacheAction : std::uint8_t { kList, kShow, kVerify, kPrune, kClear };

struct CacheOptions {
  CacheAction action = CacheAction::kList;
  std::string directory;      // empty: EngineOptions::default_cache_dir()
  std::string name;           // of kShow: how the kernel's file name begins
  std::int64_t keep_mib = 0;  // of kPrune
  Output output = Output::kTable;
};

struct DoctorOptions {
  Output output = Output::kTable;
};

enum class Effort : std::uint8_t { kFull, kQuick };  // quick: small sizes, to see that everything works

// Of `bench --kv-bench` and `--varlen-bench`: a row for each combination.
struct CacheBenchOptions {
  bool pages = false;   // --kv-bench
  bool varlen = false;  // --varlen-bench
  std::vector<std::int64_t> batch_sizes{1, 2}, live_lengths{64, 256}, cache_lengths{512, 2048}, page_sizes{128, 256},
      head_counts{8}, head_dims{64};
  std::int64_t seqlen_q = 16;
  int warmup = 5, iterations = 20;
  std::vector<std::int64_t> varlen_batch_sizes{1, 4}, varlen_lengths{128, 512}, varlen_head_counts{8}, varlen_head_dims{64};
  DType dtype = DType::kF16;
  bool causal = true, compared = false;  // compared: with fp64 attention
};

struct BenchOptions {
  CacheBenchOptions caches;
  std::vector<std::string> suites;  // empty: all
  std::string filter;               // a part of "suite/case/dtype"
  int repeat = 9;
  int threads = 1;
  std::string target = "host";
  Effort effort = Effort::kFull;
  std::string python;          // of the peers; empty: none are asked
  std::string markdown, plot;  // files to write; empty: none
  Output output = Output::kTable;
};

// Each returns the process's exit code.
int repl_command(const ReplOptions& options);
int run_command(const RunOptions& options);
int explain_command(const ExplainOptions& options);
int inspect_command(const InspectOptions& options);
int build_command(const BuildCommandOptions& options);
int cache_command(const CacheOptions& options);
int doctor_command(const DoctorOptions& options);
int check_command(const CheckOptions& options);
int mask_command(const MaskOptions& options);
int plan_command(const PlanOptions& options);
int bench_command(const BenchOptions& options);
int cache_bench_command(const BenchOptions& options);

}  // namespace flexjit::tools
