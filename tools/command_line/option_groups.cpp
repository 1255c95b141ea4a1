// Each group says what its options mean once, for every command that has them.
#include "command_line/option_groups.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <limits>
#include <string_view>

#include "flexjit/presets.h"

namespace flexjit::tools {

DType dtype_of(const std::string& name) {
  for (DType dtype : {DType::kBF16, DType::kF16, DType::kF64, DType::kI8, DType::kE4M3, DType::kE5M2}) {
    if (name_of(dtype) == name) return dtype;
  }
  return DType::kF32;
}

CLI::Validator preset_choices() {
  std::string names;
  for (const Preset& preset : presets()) names += fmt::format("{}{}", names.empty() ? "" : ",", preset.name);
  return {[](std::string&) { return std::string(); }, "{" + names + "}"};
}

void add_language(CLI::App& app, std::optional<TextLanguage>& language) {
  app.add_option_function<std::string>(
         "-x,--language",
         [&language](const std::string& name) { language = name == "c++" ? TextLanguage::kCxx : TextLanguage::kFlex; },
         "Of FILE and -e: flex or c++ (by the file's name: c++ for .cpp, .cc, .cxx, .h and .hpp)")
      ->check(CLI::IsMember({"flex", "c++"}));
}

void add_statements(CLI::App& app, PatternOptions& pattern) {
  app.add_option("-e,--expression", pattern.statements,
                 "A statement of the pattern instead of FILE, e.g. 'mask = q_idx >= kv_idx'; repeatable")
      ->allow_extra_args(false);
  app.add_option("--preset", pattern.preset, "A named pattern instead of FILE")->check(preset_choices());
  add_language(app, pattern.language);
}

namespace {

void add_dropout(CLI::App& app, FlagOptions& flags) {
  constexpr const char* kGroup = "Dropout of weights";
  CLI::Option* dropout = app.add_option("--dropout", flags.dropout, "P: weights are dropped with this probability");
  dropout->group(kGroup);
  const auto add = [&](CLI::Option* option) { option->group(kGroup)->needs(dropout); };
  add(app.add_option("--dropout-seed", flags.dropout_seed, "Which weights are dropped (0x1BF58)"));
  add(app.add_option("--dropout-offset", flags.dropout_offset, "The same, beside the seed (0x1D4B49)"));
  const auto set = [&flags](const std::string& name) {
    flags.generator = name == "philox4" ? DropoutGenerator::kPhilox4 : DropoutGenerator::kPhilox;
  };
  add(app.add_option_function<std::string>(
             "--dropout-generator", set, "philox, or philox4: a block of random numbers for four keys, at a third of the cost")
          ->check(CLI::IsMember({"philox", "philox4"}))
          ->default_str("philox"));
}

}  // namespace

namespace {

void add_linear(CLI::App& app, LinearWeights& linear) {
  const auto add = [](CLI::Option* option) { option->group("Linear weights"); };
  add(app.add_option("--feature-map", linear.feature_map,
                     "Of a row x: elu1 (the default), relu, identity, favor(W), exp_clamp(W, low, high) or an expression"));
  add(app.add_option("--features", linear.features, "Rows of W, where the text does not declare them"));
  add(app.add_option("--gate", linear.gate, "What weights fade by from a key to the next, as in g[h]"));
  add(app.add_flag_callback(
      "--unnormalised", [&linear] { linear.normalised = false; }, "Sums that are not divided by their weights"));
}

}  // namespace

void add_flags(CLI::App& app, FlagOptions& flags) {
  const auto grouped = [](CLI::Option* option) { option->group("Flags, composed with the pattern"); };
  const auto add_tensor = [&](const char* name, TensorFlag& flag, const char* what) {
    grouped(app.add_flag(name, flag.value, what)->type_name("[FILE]"));
  };
  grouped(app.add_flag("--causal", flags.causal, "Keys up to the query's own position, counted from the end (bottom-right)"));
  grouped(app.add_option("--window", flags.window, "LEFT,RIGHT: keys around that position, inclusive; -1: unbounded")
              ->delimiter(',')
              ->expected(2)
              ->allow_extra_args(false)
              ->check(CLI::Range(-1, std::numeric_limits<std::int32_t>::max())));
  grouped(app.add_option("--softcap", flags.softcap, "c * tanh(score / c)"));
  add_tensor("--alibi", flags.alibi, "A penalty by distance; from a .npy FILE: slopes, f32 (heads) or (batch, heads)");
  add_tensor("--sinks", flags.sinks, "A logit a head in each softmax; from a .npy FILE: (heads)");
  add_tensor("--key-lengths", flags.key_lengths, "Keys of each sequence; from a .npy FILE: i32 (batch)");
  add_tensor("--key-mask", flags.key_mask, "Keys that take part; from a .npy FILE: bool (batch, kv_len)");
  grouped(app.add_option("--attention-mask", flags.attention_mask,
                         "A .npy file, the last dimensions of (batch, heads, q_len, kv_len): bool, or floats that are added"));
  grouped(
      app.add_option_function<std::string>(
             "--weights",
             [&flags](const std::string& name) {
               flags.weights = name == "sigmoid" ? Weights::kSigmoid : name == "linear" ? Weights::kLinear : Weights::kSoftmax;
             },
             "How scores become weights: softmax, sigmoid or linear")
          ->check(CLI::IsMember({"softmax", "sigmoid", "linear"}))
          ->default_str("softmax"));
  add_linear(app, flags.linear);
  add_dropout(app, flags);
}

// A flag of the list above takes a file of this ending that stands behind it; another word may be the pattern.
std::vector<std::string> join_flag_files(std::vector<std::string> words) {
  constexpr std::array<std::string_view, 4> kFlags = {"--alibi", "--sinks", "--key-lengths", "--key-mask"};
  std::vector<std::string> joined;
  for (std::string& word : words) {
    const bool follows = !joined.empty() && std::ranges::find(kFlags, joined.back()) != kFlags.end();
    if (follows && word.ends_with(".npy"))
      joined.back() += "=" + word;
    else
      joined.push_back(std::move(word));
  }
  return joined;
}

void add_pattern(CLI::App& app, PatternOptions& pattern) {
  app.add_option("FILE", pattern.file, "The pattern, a *.flex or C++ file; - is stdin");
  add_statements(app, pattern);
  add_flags(app, pattern.flags);
}

CLI::Option* add_json(CLI::App& app, Output& output) {
  return app.add_flag_callback("--json", [&output] { output = Output::kJson; }, "Print results and errors as JSON on stdout");
}

void add_mask_sizes(CLI::App& app, SizeOptions& sizes) {
  const CLI::Range count(std::int64_t{1}, std::int64_t{std::numeric_limits<std::int32_t>::max()});
  const CLI::Range length(std::int64_t{0}, std::int64_t{std::numeric_limits<std::int32_t>::max()});
  app.add_option("--batch", sizes.batch, "Sequences (1)")->check(count)->group("Sizes");
  app.add_option("--heads", sizes.heads, "Query heads (4)")->check(count)->group("Sizes");
  app.add_option("--kv-heads", sizes.kv_heads, "Key/value heads (as --heads)")->check(count)->group("Sizes");
  app.add_option("--q-len", sizes.q_len, "Queries (2048)")->check(length)->group("Sizes");
  app.add_option("--kv-len", sizes.kv_len, "Keys (as --q-len)")->check(length)->group("Sizes");
}

void add_sizes(CLI::App& app, SizeOptions& sizes) {
  add_mask_sizes(app, sizes);
  const CLI::Range dim(std::int64_t{1}, std::int64_t{1024});
  app.add_option("--head-dim", sizes.head_dim, "Dimension of q and k (64)")->check(dim)->group("Sizes");
  app.add_option("--v-head-dim", sizes.v_head_dim, "Dimension of v and the output (as --head-dim)")->check(dim)->group("Sizes");
}

void add_dtypes(CLI::App& app, DTypeOptions& dtypes) {
  const std::vector<std::string> floats = {"f32", "bf16", "f16", "f64"};
  std::vector<std::string> of_keys = floats;
  of_keys.insert(of_keys.end(), {"i8", "e4m3", "e5m2"});
  const auto add = [&app](const char* option, const std::vector<std::string>& names, const char* what, auto store) {
    app.add_option_function<std::string>(
           option, [store](const std::string& name) { store(dtype_of(name)); }, what)
        ->check(CLI::IsMember(names))
        ->group("Element types");
  };
  add("--dtype", floats, "Of q, and of what follows unless given (f32; that of a bf16 or f16 --q)", [&dtypes](DType dtype) {
    dtypes.q = dtype;
    dtypes.given = true;
  });
  add("--kv-dtype", of_keys, "Of k and v (as --dtype); i8, e4m3 and e5m2 have scales",
      [&dtypes](DType dtype) { dtypes.kv = dtype; });
  app.add_option("--kv-scale-dims", dtypes.scale_dims, "Dims of i8, e4m3 or e5m2 keys and values that share a scale (all)")
      ->check(CLI::IsMember({32, 64, 128}))
      ->group("Element types");
  add("--out-dtype", floats, "Of the output (as --dtype)", [&dtypes](DType dtype) { dtypes.out = dtype; });
}

void add_names(CLI::App& app, NameOptions& names) {
  app.add_option("--param", names.params, "name=value: a runtime parameter; repeatable")->allow_extra_args(false);
  app.add_option("--buffer", names.buffers, "NAME=FILE: a captured buffer, a .npy file; repeatable")->allow_extra_args(false);
  app.add_flag_callback(
      "--generate", [&names] { names.unbound = Unbound::kGenerated; },
      "Make up inputs that no file gives even where others come from files");
  app.add_option("--seed", names.seed, "Of everything that is generated")->capture_default_str();
}

void add_inputs(CLI::App& app, FileOptions& files) {
  app.add_option("--q", files.q, "Queries, a .npy file of floats; sizes follow from it")->group("Files");
  app.add_option("--k", files.k, "Keys")->group("Files");
  app.add_option("--v", files.v, "Values")->group("Files");
  constexpr const char* kScales = " of --kv-dtype i8, e4m3 or e5m2, f32 (batch, kv_heads, kv_len, groups), each or 1";
  app.add_option("--k-scales", files.k_scales, std::string("Scales of keys") + kScales)->group("Files");
  app.add_option("--v-scales", files.v_scales, std::string("Scales of values") + kScales)->group("Files");
  app.add_option_function<std::string>(
         "--layout", [&files](const std::string& name) { files.layout = name == "bshd" ? Layout::kBshd : Layout::kBhsd; },
         "Of q, k, v and out")
      ->check(CLI::IsMember({"bhsd", "bshd"}))
      ->default_str("bhsd")
      ->group("Files");
}

void add_lengths(CLI::App& app, SequenceOptions& sequences) {
  app.add_option(
         "--lengths", sequences.lengths,
         "QxKV,...: sequences of so many queries and keys, packed, in the place of --batch, --q-len and --kv-len; N*QxKV: "
         "N of them")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->group("Sequences");
  app.add_option("--page-size", sequences.page_size, "Of --lengths: keys lie in pages of so many, in random order (packed)")
      ->check(CLI::Range(std::int64_t{1}, std::int64_t{1} << 20))
      ->needs("--lengths")
      ->group("Sequences");
  app.add_option("--cache-rows", sequences.cache_rows, "Of --lengths: keys lie in caches of so many rows (packed)")
      ->check(CLI::Range(std::int64_t{1}, std::int64_t{1} << 30))
      ->needs("--lengths")
      ->excludes("--page-size")
      ->group("Sequences");
}

void add_sequence_files(CLI::App& app, SequenceOptions& sequences) {
  add_lengths(app, sequences);
  const auto add = [&](const char* name, std::string& file, const char* what) {
    app.add_option(name, file, what)->group("Sequences");
  };
  add("--cu-seqlens-q", sequences.cu_seqlens_q,
      "Packed queries: where each sequence begins and the last ends, i32 (batch + 1)");
  add("--seqused-q", sequences.seqused_q, "How many of its queries count, i32 (batch)");
  add("--cu-seqlens-k", sequences.cu_seqlens_k, "Packed keys, likewise");
  add("--total-len", sequences.total_len, "How many keys each has, i32 (batch)");
  add("--cache-batch-idx", sequences.cache_batch_idx, "The batch entry of k and v with its keys, i32 (batch)");
  add("--cache-leftpad", sequences.cache_leftpad, "The row there of its first key, i32 (batch)");
  add("--block-table", sequences.block_table,
      "k and v are pages (num_pages, kv_heads, page_size, dim); those of each, i32 (batch, max_pages)");
  add("--page-indptr", sequences.page_indptr, "The same as one list: where each begins in --page-indices, i32 (batch + 1)");
  add("--page-indices", sequences.page_indices, "The pages of all, i32");
}

void add_outputs(CLI::App& app, FileOptions& files) {
  app.add_option("--out", files.out, "Write the output here")->group("Files");
  app.add_option("--lse", files.lse, "Write the log-sum-exp here, (batch, heads, q_len)")->group("Files");
}

void add_execution(CLI::App& app, RunOptions& run) {
  app.add_option("--scale", run.scale, "Factor of q.k (1 / sqrt(head_dim))");
  app.add_option("--threads", run.threads, "0: all processors, or OMP_NUM_THREADS")
      ->check(CLI::Range(0, 4096))
      ->capture_default_str();
  app.add_option("--target", run.target, kTargets)->capture_default_str();
}

}  // namespace flexjit::tools
