// The flexjit command: options -> one of the commands. Every way out goes through ExitCode: CLI11's own codes and exceptions
// are mapped, and with --json even a misspelt option is reported as JSON.
#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <new>
#include <string_view>

#include "bench/case.h"
#include "command_line/describe.h"
#include "command_line/failure.h"
#include "command_line/option_groups.h"
#include "command_line/options.h"
#include "command_line/suggest.h"
#include "commands/report.h"

namespace flexjit::tools {
namespace {

constexpr const char* kRunFooter =
    R"(Inputs that no file gives are generated from --seed: q, k and v from N(0, 1); float buffers uniform in [0, 0.25); bool buffers one in
eight true; int buffers by their last declared extent: q_len or kv_len gives segment ids 0..7 in equal runs, batch_size, num_heads or
num_kv_heads gives values spread over (0, kv_len), anything else runs evenly from 0 to kv_len, row by row. An extent of ? becomes q_len + kv_len.

Verification computes rows in fp64 by an interpreter that shares no code with the kernel. A row is correct when
|out - ref| <= 1e-5 (1 + |ref|) + 2.4e-7 |lse| max|V| and |lse - ref| <= 1e-5 + 1e-6 |lse|; with bf16 or fp16 queries (unit of rounding u =
2^-8, 2^-11) weights may be rounded too: u max|V| more, and u for lse; and twice the unit of the output's own type times |ref|.

Files hold any float type and are converted to --dtype; numpy has no bf16, its bits are <u2. Useful GFLOP/s count 2 (head_dim + v_head_dim) operations for each pair that the mask allows. The peak is measured in the same run, with the
same instruction set and thread count: fp32 or fp64 multiply-adds, for bf16 the bf16 dot where there is one. Those of the backward
pass count 2 (3 head_dim + 2 v_head_dim) a pair. Gradients are verified whole where that is quick or --verify-rows is given; a tensor of
them is correct within 350 + 8 |lse| units of rounding (2^-24) of its largest number, with bf16 or fp16 within 4 of theirs more.

Sequences with lengths of their own are packed one behind the other in one batch entry. With --lengths all is made up, keys also in caches
or in pages of which each sequence has its own in random order; with files, --q, --k and --v say where the rows are. Such a call is compared
with what it reads of the keys that there are, whatever room k and v have.

Exit codes: 0 fine; 1 the result is wrong or the run failed; 2 the input is at fault.

Examples:
  flexjit run causal.flex --q-len 4096 --heads 8 --threads 1
  flexjit run alibi.flex --q q.npy --k k.npy --v v.npy --buffer slope=slope.npy --out out.npy --lse lse.npy
  flexjit run --causal --lengths '1x4096,512x512,3*1x900' --page-size 64 --heads 32 --kv-heads 8 --head-dim 128
  flexjit run -e 'param w : int = 256' -e 'mask = q_idx >= kv_idx && q_idx - kv_idx < w' --param w=64 --json)";

std::string environment_or(const char* name, const char* otherwise) {
  const char* value = std::getenv(name);
  return value != nullptr && *value != '\0' ? value : otherwise;
}

void add_debugging(CLI::App& app, RunOptions& run) {
  const CLI::Range index(std::int32_t{0}, std::numeric_limits<std::int32_t>::max());
  app.add_option("--dump-scores", run.scores.file,
                 "Write the modified scores here, -inf where masked: a .npy file, f32 (batch, heads, rows, kv_len)");
  app.add_option("--heat-map", run.scores.heat_map, "Draw the modified scores of one head here, a PNG");
  app.add_option("--dump-rows", run.scores.rows, "Query rows A:B of both, B not among them (0:8; of the picture alone, all)");
  app.add_option("--batch-entry", run.scores.batch_entry, "Of both; the array then has no batch dimension (all; drawn: 0)")
      ->check(index);
  app.add_option("--head", run.scores.head, "Of both; the array then has no heads dimension (all; drawn: 0)")->check(index);
  app.add_option("--trace", run.trace, "Write what each thread did here, for ui.perfetto.dev");
  for (const char* name : {"--dump-scores", "--heat-map", "--dump-rows", "--batch-entry", "--head", "--trace"})
    app.get_option(name)->group("Debugging");
}

void add_backward(CLI::App& app, BackwardOptions& backward) {
  CLI::Option* flag =
      app.add_flag("--backward", backward.wanted, "Then compute the gradients of q, k and v, and measure that too");
  flag->group("Gradients");
  const auto add = [&](CLI::Option* option) { option->needs(flag)->group("Gradients"); };
  add(app.add_option("--grad-out", backward.grad_out, "The gradient of the output, a .npy file (N(0, 1))"));
  add(app.add_option("--dq", backward.dq, "Write the gradient of q here"));
  add(app.add_option("--dk", backward.dk, "Write that of k here"));
  add(app.add_option("--dv", backward.dv, "Write that of v here"));
  add(app.add_option("--dbuffer", backward.buffers, "NAME[=FILE]: that of a captured buffer, too; repeatable")
          ->allow_extra_args(false));
}

void add_run(CLI::App& app, RunOptions& run, int& exit_code) {
  CLI::App* command = app.add_subcommand("run", "Compile a pattern, run it, verify it against fp64 and measure it");
  add_pattern(*command, run.pattern);
  add_sizes(*command, run.sizes);
  add_dtypes(*command, run.dtypes);
  add_inputs(*command, run.files);
  add_sequence_files(*command, run.sequences);
  add_outputs(*command, run.files);
  add_names(*command, run.names);
  add_execution(*command, run);
  command->add_option("--repeat", run.repeat, "Timed runs after one warm-up; the median counts")
      ->check(CLI::Range(1, 1000000))
      ->capture_default_str();
  command->add_option("--verify-rows", run.verify_rows, "Query rows of each head to verify; 0: none (all when quick, else 64)")
      ->check(CLI::Range(0, std::numeric_limits<int>::max()));
  command->add_flag_callback(
      "--reference", [&run] { run.execution = Execution::kReference; }, "Run the naive fp64 reference instead of a kernel");
  add_backward(*command, run.backward);
  add_debugging(*command, run);
  add_json(*command, run.output);
  command->footer(kRunFooter);
  command->callback([&run, &exit_code] { exit_code = run_command(run); });
}

void add_check(CLI::App& app, CheckOptions& check, int& exit_code) {
  CLI::App* command = app.add_subcommand("check", "Report everything that is wrong with the texts of patterns");
  command->add_option("FILE", check.files, "The patterns, *.flex or C++ files; - is stdin")->allow_extra_args(true);
  add_statements(*command, check.pattern);
  add_flags(*command, check.pattern.flags);
  add_json(*command, check.output);
  command->callback([&check, &exit_code] { exit_code = check_command(check); });
}

constexpr const char* kBuildFooter =
    R"(Compiles each FILE for each target and writes one library with C functions, NAME_args_init, NAME_run and NAME_attention, and a header that
says how to call them. A program links the library and libflexjit; neither LLVM nor the compiler is needed where it runs. The first call takes the
code of the best target that the processor executes. NAME is how the file is called without its ending, or what --name says; stdin, -e and flags alone need --name.

LIBRARY ends in .o (one object), .a (an object a pattern) or .so. All targets are of one architecture; tiles are sized for the caches of this
machine where it can execute the target.

Exit codes: 0 fine; 1 a file cannot be written or the compiler is missing; 2 the input is at fault.

Examples:
  flexjit build causal.flex -o libcausal.a
  flexjit build alibi.flex document.flex --dtype bf16 --head-dim 128 --target x86-64-v4-bf16,x86-64-v4,x86-64-v3 -o libmodel.so --header model.h
  flexjit build sliding-window.flex --name sliding_window --target aarch64 -o libwindow.a)";

void add_build(CLI::App& app, BuildCommandOptions& build, int& exit_code) {
  CLI::App* command = app.add_subcommand("build", "Compile patterns ahead of time into a C library with its header");
  command->add_option("FILE", build.files, "The patterns, *.flex or C++ files; - is stdin");
  command->add_option("-e,--expression", build.statements, "A statement of one more pattern; repeatable")
      ->allow_extra_args(false);
  add_language(*command, build.language);
  command->add_option("--preset", build.presets, "A named pattern beside FILEs; repeatable")
      ->allow_extra_args(false)
      ->check(preset_choices());
  add_flags(*command, build.flags);
  command->add_option("-o,--output", build.library, "The library: *.o, *.a or *.so")->required();
  command->add_option("--header", build.header, "The C header (as LIBRARY, with .h)");
  command
      ->add_option("--name", build.names,
                   "Of a pattern's functions; once for each FILE in their order, then for each --preset, then for -e")
      ->allow_extra_args(false);
  command->add_option("--target", build.targets, std::string(kTargets) + "; several with commas")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->capture_default_str();
  command->add_option("--head-dim", build.head_dim, "Dimension of q and k")->check(CLI::Range(1, 1024))->capture_default_str();
  command->add_option("--v-head-dim", build.v_head_dim, "Dimension of v and the output (as --head-dim)")
      ->check(CLI::Range(1, 1024));
  command->add_option("--scale", build.scale, "Factor of q.k (1 / sqrt(head_dim))");
  command->add_flag_callback(
      "--backward", [&build] { build.passes = BuildPasses::kBoth; },
      "With kernels of gradients too, of all captured buffers or none, and a C function NAME_run_backward");
  add_dtypes(*command, build.dtypes);
  add_json(*command, build.output);
  command->footer(kBuildFooter);
  command->callback([&build, &exit_code] { exit_code = build_command(build); });
}

constexpr const char* kCacheFooter =
    R"(Compiled kernels are kept for other processes in FLEXJIT_CACHE_DIR, else $XDG_CACHE_HOME/flexjit, else ~/.cache/flexjit. FLEXJIT_CACHE_DIR=
(empty) turns that off. A kernel's text begins with its target and tiling and ends with the program that it computes.

Exit codes: 0 fine; 1 the directory is not usable, or has no such kernel; 2 the options are at fault.

Examples:
  flexjit cache
  flexjit cache show 1f0c
  flexjit cache prune --keep-mib 64)";

void add_cache(CLI::App& app, CacheOptions& cache, int& exit_code) {
  CLI::App* command = app.add_subcommand("cache", "List, show, verify, prune or clear the compiled kernels on disk");
  command->require_subcommand(0, 1);
  command->add_option("--dir", cache.directory, "Another directory than the default");
  add_json(*command, cache.output);
  const auto add_action = [&](const char* name, const char* help, CacheAction action) {
    CLI::App* sub = command->add_subcommand(name, help);
    sub->fallthrough();
    sub->callback([&cache, action] { cache.action = action; });
    return sub;
  };
  add_action("list", "Every kernel: size, age, target", CacheAction::kList);
  add_action("show", "One kernel with what it was compiled from", CacheAction::kShow)
      ->add_option("NAME", cache.name, "How its file name begins")
      ->required();
  add_action("verify", "Remove what is damaged or of another version", CacheAction::kVerify);
  add_action("prune", "Remove what was not used for longest", CacheAction::kPrune)
      ->add_option("--keep-mib", cache.keep_mib, "How much may stay")
      ->required()
      ->check(CLI::Range(std::int64_t{0}, std::int64_t{1} << 30));
  add_action("clear", "Remove all", CacheAction::kClear);
  command->footer(kCacheFooter);
  command->final_callback([&cache, &exit_code] { exit_code = cache_command(cache); });
}

void add_doctor(CLI::App& app, DoctorOptions& doctor, int& exit_code) {
  CLI::App* command =
      app.add_subcommand("doctor", "Check what flexjit needs on this machine, with a kernel that is compiled and verified");
  add_json(*command, doctor.output);
  command->footer("Exit codes: 0 all is usable; 1 something is not, and the line says what to do.");
  command->callback([&doctor, &exit_code] { exit_code = doctor_command(doctor); });
}

constexpr const char* kMaskFooter =
    R"(Shows which blocks of the score matrix are full (every pair allowed), partial or empty, how many of them were decided by interval
analysis alone and how many by evaluating elements, and what it took. Counts are over the mask's planes: one where the mask depends on neither
batch entry nor head. Buffers that no file gives are generated as by `flexjit run`.

On the terminal a character stands for a block or for a square of blocks; pairs are shown too where lengths are at most 64 or blocks few. The
pictures of --svg and --png have the blocks on the left, hatched where elements were evaluated, and on the right up to 64 x 64 pairs of a
partial block. They replace the picture on the terminal unless --text is given. --save writes what BlockMask::from_bytes reads.

Exit codes: 0 fine; 1 the mask reads out of range or a file cannot be written; 2 the input is at fault.

Examples:
  flexjit mask causal.flex --q-len 1024
  flexjit mask sliding_window.flex --q-len 1048576 --param window=4096 --svg window.svg --png window.png
  flexjit mask document.flex --q-len 4096 --buffer q_doc=ids.npy --buffer kv_doc=ids.npy --json
  flexjit mask -e 'mask = q_idx >= kv_idx && h > 0' --q-len 48 --head 1 --q-block 16 --kv-block 16)";

void add_mask(CLI::App& app, MaskOptions& mask, int& exit_code) {
  CLI::App* command = app.add_subcommand("mask", "Show the block mask of a pattern and what it cost to build");
  add_pattern(*command, mask.pattern);
  add_mask_sizes(*command, mask.sizes);
  add_names(*command, mask.names);
  const CLI::Range block(std::int32_t{1}, std::int32_t{1 << 30});
  const CLI::Range index(std::int32_t{0}, std::numeric_limits<std::int32_t>::max());
  command->add_option("--q-block", mask.q_block, "Queries of a block")->check(block)->capture_default_str();
  command->add_option("--kv-block", mask.kv_block, "Keys of a block")->check(block)->capture_default_str();
  command->add_option("--batch-entry", mask.batch_entry, "That is shown")->check(index)->capture_default_str();
  command->add_option("--head", mask.head, "That is shown")->check(index)->capture_default_str();
  command->add_option("--rows", mask.rows, "Query rows A:B of the pairs that are shown, at most 256");
  command->add_option("--keys", mask.keys, "Keys A:B of the pairs that are shown, at most 256");
  command->add_option("--svg", mask.svg, "Write a picture here")->group("Files");
  command->add_option("--png", mask.png, "Write a picture here")->group("Files");
  command->add_option("--save", mask.save, "Write the block mask here")->group("Files");
  command->add_flag_callback(
      "--count", [&mask] { mask.counting = Counting::kAlways; },
      "Count the allowed pairs even where the partial blocks hold more than 2^31");
  CLI::Option* text = command->add_flag_callback(
      "--text", [&mask] { mask.text = TextPicture::kAlways; }, "Print the picture even where one goes into a file");
  add_json(*command, mask.output)->excludes(text);
  command->footer(kMaskFooter);
  command->callback([&mask, &exit_code] { exit_code = mask_command(mask); });
}

constexpr const char* kBenchFooter =
    R"(A row compares the useful throughput (2 (head_dim + v_head_dim) operations for each pair that the mask allows; for decode the bytes of K and V)
with what the machine can do at most, measured before and after the row with the same number of threads. `mods` are also compared with the same
run without the mod, `scaling` with one thread, both alternating with it. With --peers, PyTorch (scaled_dot_product_attention and FlexAttention) and
OpenVINO run each case they have on the same tensors right after our row; a peer that Python cannot import is skipped with one line. extra_bytes is
the peak of heap beyond inputs and outputs in the first run.

--kv-bench and --varlen-bench print tables of their own for each combination of the sizes that their options list, both calls of a row in turn;
sizes of memory are those of the tensors that were made.

Exit codes: 0 fine; 1 a row is wrong or did not run; 2 the options are at fault.

Examples:
  flexjit bench --kv-bench --kv-batch-sizes 1 --kv-live-lengths 512 --kv-max-cache-lengths 4096 --kv-page-sizes 128 --kv-head-dims 128
  flexjit bench --suite dense,causal --filter f32
  flexjit bench --peers --python venv/bin/python --json --markdown results.md --svg results.svg)";

void add_bench(CLI::App& app, BenchOptions& bench, int& exit_code) {
  CLI::App* command = app.add_subcommand("bench", "Measure the suites beside the machine's limits and other engines");
  command
      ->add_option("--suite", bench.suites, fmt::format("{} (all); several with commas", fmt::join(bench::suite_names(), ", ")))
      ->delimiter(',')
      ->check(CLI::IsMember(bench::suite_names()));
  command->add_option("--filter", bench.filter, "Only cases whose suite/case/dtype contains this");
  CLI::Option* repeat = command->add_option("--repeat", bench.repeat, "Timed runs of a case; the median counts");
  repeat->check(CLI::Range(1, 100000))->capture_default_str();
  command->add_option("--threads", bench.threads, "Of every suite but scaling, which takes at least 2")
      ->check(CLI::Range(1, 4096))
      ->capture_default_str();
  command->add_option("--target", bench.target, kTargets)->capture_default_str();
  command->add_flag_callback(
      "--quick", [&bench] { bench.effort = Effort::kQuick; },
      "Lengths cut to a sixteenth, 3 runs unless --repeat: shows that everything works, measures nothing");
  CLI::Option* python = command->add_option("--python", bench.python, "For --peers (FLEXJIT_PEERS_PYTHON, else python3)");
  CLI::Option* peers = command->add_flag("--peers")->description("Run other engines beside each row");
  command->add_option("--markdown", bench.markdown, "Write the tables here");
  command->add_option("--svg", bench.plot, "Write the plot here");
  add_cache_bench(*command, bench.caches);
  add_json(*command, bench.output);
  command->footer(kBenchFooter);
  command->callback([&bench, &exit_code, command, repeat, peers, python] {
    if (bench.effort == Effort::kQuick && repeat->empty()) bench.repeat = 3;
    if (peers->empty())
      bench.python.clear();
    else if (python->empty())
      bench.python = environment_or("FLEXJIT_PEERS_PYTHON", "python3");
    const bool quick = bench.effort == Effort::kQuick;
    if (quick) make_quick(*command, bench.caches);
    exit_code = bench.caches.pages || bench.caches.varlen ? cache_bench_command(bench) : bench_command(bench);
  });
}

// "help run" -> "run --help".
std::vector<std::string> as_help(std::vector<std::string> words) {
  if (words.empty() || words.front() != "help") return words;
  words.erase(words.begin());
  words.emplace_back("--help");
  return words;
}

// A line a command.
int command_line(int argc, char** argv, Output& output) {
  int exit_code = 0;
  RunOptions run;
  ExplainOptions explain;
  ReplOptions repl;
  InspectOptions inspect;
  CheckOptions check;
  MaskOptions mask;
  PlanOptions plan;
  BenchOptions bench;
  BuildCommandOptions build;
  CacheOptions cache;
  DoctorOptions doctor;
  CLI::App app("Attention from the text of a pattern: compiled, run, verified and measured.", "flexjit");
  app.set_version_flag("--version", "flexjit " FLEXJIT_VERSION " (LLVM " FLEXJIT_LLVM_VERSION ")");
  app.require_subcommand(1);
  app.footer("`flexjit help COMMAND` and `flexjit COMMAND --help` list the options of a command.");
  add_run(app, run, exit_code);
  add_explain(app, explain, exit_code);
  add_repl(app, repl, exit_code);
  add_inspect(app, inspect, exit_code);
  add_check(app, check, exit_code);
  add_mask(app, mask, exit_code);
  add_plan(app, plan, exit_code);
  add_bench(app, bench, exit_code);
  add_build(app, build, exit_code);
  add_cache(app, cache, exit_code);
  add_doctor(app, doctor, exit_code);
  add_descriptions(app);
  const std::vector<std::string> given = as_help(join_flag_files({argv + 1, argv + argc}));
  try {
    app.parse(std::vector<std::string>(given.rbegin(), given.rend()));  // the order in which CLI11 takes them
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);  // --help, --version
    const std::string meant = did_you_mean(app, given);
    const std::string hint = meant.empty() ? "" : fmt::format("did you mean `{}`?", meant);
    if (output == Output::kJson)
      return report_errors({failure("usage", "flexjit", error.what() + (meant.empty() ? "" : "; " + hint))}, output);
    app.exit(error);
    if (!meant.empty()) fmt::print(stderr, "{}\n", hint);
    return static_cast<int>(ExitCode::kBadInput);
  }
  return exit_code;
}

int guarded(int argc, char** argv) {
  // Looked for before parsing, because a parse error must already know.
  Output output = std::any_of(argv, argv + argc, [](std::string_view argument) { return argument == "--json"; })
                      ? Output::kJson
                      : Output::kTable;
  try {
    return command_line(argc, argv, output);
  } catch (const std::bad_alloc&) {
    return report_errors({failure("out-of-memory", "flexjit", "not enough memory; use smaller sizes")}, output);
  } catch (const std::exception& error) {
    if (std::ferror(stdout) != 0) return static_cast<int>(ExitCode::kFailed);  // said at the end
    return report_errors({failure("internal", "flexjit", error.what())}, output);
  }
}

// A descriptor that the caller closed would be given to the next file that is opened, and what is printed would go there.
void keep_standard_streams() {
  for (int descriptor : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO})
    if (fcntl(descriptor, F_GETFD) == -1 && errno == EBADF)
      (void)open("/dev/null", descriptor == STDIN_FILENO ? O_WRONLY : O_RDONLY);  // so that using it is an error
}

}  // namespace
}  // namespace flexjit::tools

int main(int argc, char** argv) {
  std::signal(SIGXFSZ, SIG_IGN);  // a file above the limit is then an error of writing it, and leaves nothing behind
  flexjit::tools::keep_standard_streams();
  return flexjit::tools::with_stdout_flushed(flexjit::tools::guarded(argc, argv));
}
