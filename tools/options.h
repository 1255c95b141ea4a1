// What the command line said, before anything is read or made.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "flexjit/inspect.h"
#include "flexjit/tensor.h"

namespace flexjit::tools {

// A pattern is a *.flex file, or statements given with -e, one a line.
struct PatternOptions {
  std::string file;
  std::vector<std::string> statements;
};

enum class Layout : std::uint8_t { kBhsd, kBshd };
enum class Output : std::uint8_t { kTable, kJson };
enum class Execution : std::uint8_t { kKernel, kReference };

// Sizes that were not given follow from the files, then from each other, then from the defaults in problem.cpp.
struct SizeOptions {
  std::optional<std::int64_t> batch, heads, kv_heads, q_len, kv_len, head_dim, v_head_dim;
};

// As in AttentionSpec: of q, of k and v, and of the output.
struct DTypeOptions {
  DType q = DType::kF32;
  std::optional<DType> kv, out;  // absent: as q

  DType kv_dtype() const { return kv.value_or(q); }
  DType out_dtype() const { return out.value_or(q); }
};

// What is bound to the names of a pattern.
struct NameOptions {
  std::vector<std::string> params;   // name=value
  std::vector<std::string> buffers;  // NAME=FILE
  std::uint64_t seed = 0;            // of everything that is generated
};

struct FileOptions {
  std::string q, k, v, out, lse;
  Layout layout = Layout::kBhsd;
};

// What is written of the modified scores.
struct ScoreDumpOptions {
  std::string file;                               // empty: nothing
  std::string rows;                               // "A:B"; empty: the first rows
  std::optional<std::int32_t> batch_entry, head;  // absent: all
};

struct RunOptions {
  PatternOptions pattern;
  SizeOptions sizes;
  DTypeOptions dtypes;
  FileOptions files;
  NameOptions names;
  std::optional<double> scale;
  int threads = 0;
  std::string target = "host";
  int repeat = 5;
  std::optional<int> verify_rows;
  Execution execution = Execution::kKernel;
  ScoreDumpOptions scores;
  std::string trace;  // the file; empty: none
  Output output = Output::kTable;
};

struct ExplainOptions {
  RunOptions run;       // files to write, repeat, verification and reference are not used
  double seconds = 10;  // that measuring takes, where runs are short beside it
};

struct ReplOptions {
  SizeOptions sizes;
  DTypeOptions dtypes;
  int threads = 1;
  std::string target = "host";
  Output output = Output::kTable;
};

struct InspectOptions {
  PatternOptions pattern;
  std::vector<std::string> views{"simplified"};  // names of inspect_views(), or "all"
  InspectKernel kernel = InspectKernel::kOfCall;
  std::string target = "host";
  std::string html;                    // the report to write, with every view; empty: none
  std::string diff_file, diff_target;  // of what it is compared with; both empty: nothing
  SizeOptions sizes;
  NameOptions names;
  DTypeOptions dtypes;
  Output output = Output::kTable;
};

struct CheckOptions {
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
  std::string png, svg, save;              // files to write; empty: none
  TextPicture text = TextPicture::kUnlessFiles;
  Counting counting = Counting::kUnlessLong;
  Output output = Output::kTable;
};

struct BuildCommandOptions {
  std::vector<std::string> files, names;  // names: none, or one a file
  DTypeOptions dtypes;
  std::int64_t head_dim = 64;
  std::int64_t v_head_dim = 0;
  std::optional<double> scale;
  std::vector<std::string> targets = {"host"};
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

struct BenchOptions {
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
int bench_command(const BenchOptions& options);

}  // namespace flexjit::tools
