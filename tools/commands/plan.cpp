// `flexjit plan`: a pattern, a length and a number of ranks -> who computes what, the bytes that travel and the balance, as
// numbers and as a picture. The reference backend: no kernel is needed, so no compiler either.
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "command_line/options.h"
#include "commands/report.h"
#include "data/bind.h"
#include "data/file_uses.h"
#include "data/pattern.h"
#include "flexjit/engine.h"
#include "flexjit/mpi/layout.h"
#include "picture/summary.h"

namespace flexjit::tools {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::int32_t kShownRanks = 32;  // of the table; JSON has all
constexpr std::int32_t kCells = 48;       // of a rank's picture

struct Simulation {
  std::string pattern;
  Sizes sizes;
  BlockMaskShape shape{};
  mpi::Layout layout{};
  mpi::Distribution distribution{};
};

mpi::Dealing dealing_of(const std::string& name) {
  for (const auto dealing : {mpi::Dealing::kContiguous, mpi::Dealing::kZigzag, mpi::Dealing::kDealt})
    if (name == mpi::name_of(dealing)) return dealing;
  return mpi::Dealing::kAuto;
}

Result<Simulation> simulate(const PlanOptions& options) {
  if (Diagnostics wrong = check_file_uses(inputs_of(options.pattern, options.names), {}); !wrong.empty()) return wrong;
  const Result<AttentionSpec> spec = load_pattern(options.pattern);
  if (!spec) return spec.diagnostics();
  EngineOptions engine;
  engine.backend = Backend::kReference;
  const Result<Attention> attention = Engine(engine).compile(*spec);
  if (!attention) return attention.diagnostics();
  Simulation made{.pattern = spec->program_name, .sizes = sizes_without_files(options.sizes)};
  const Sizes& s = made.sizes;
  if (s.kv_len != s.q_len)
    return failure("usage", "--kv-len", fmt::format("is {}, and --q-len {}; both are of the one sequence", s.kv_len, s.q_len));
  NameOptions wanted = with_flag_files(options.names, options.pattern.flags);
  wanted.unread = unread_by_mask(*spec, *attention, s);
  const Result<BoundNames> names = bind_names(*attention, wanted, s);
  if (!names) return names.diagnostics();
  BlockMaskOptions block_options = mask_options_of(s);
  block_options.q_block = block_options.kv_block = options.block;
  const Result<BlockMask> mask = attention->create_block_mask(block_options, &names->bindings);
  if (!mask) return mask.diagnostics();
  Result<mpi::Layout> layout = mpi::deal({&*mask, 1}, {.ranks = options.ranks, .dealing = dealing_of(options.dealing)});
  if (!layout) return layout.diagnostics();
  const auto bytes = static_cast<std::int64_t>(size_of(options.dtype));
  made.shape = mask->shape();
  made.distribution = mpi::distribute(*mask, *layout, s.batch * s.kv_heads * (s.head_dim + s.v_head_dim) * bytes);
  made.layout = std::move(*layout);
  return made;
}

Json json_of(const Simulation& made) {
  Json ranks = Json::array();
  for (std::size_t r = 0; r < made.distribution.ranks.size(); ++r) {
    const mpi::RankShare& share = made.distribution.ranks[r];
    ranks.push_back({{"rank", r},
                     {"tokens", share.tokens},
                     {"work", share.work},
                     {"bytes_sent", share.bytes_sent},
                     {"bytes_received", share.bytes_received},
                     {"blocks", made.layout.blocks[r]}});
  }
  return {{"pattern", made.pattern},
          {"length", made.layout.length},
          {"block", made.layout.block},
          {"planes", std::int64_t{made.shape.batch} * made.shape.heads},
          {"dealing", mpi::name_of(made.layout.dealing)},
          {"balance", made.distribution.balance},
          {"bytes_sent", made.distribution.bytes_sent},
          {"ranks", std::move(ranks)}};
}

// A cell stands for neighbouring blocks: '#' all are the rank's, '+' some are.
std::string picture_of(const mpi::Layout& layout, std::size_t rank) {
  const std::int32_t count = layout.block_count();
  const std::int32_t cells = std::min(count, kCells);
  std::vector<std::int32_t> mine(static_cast<std::size_t>(cells), 0), all = mine;
  const auto cell = [&](std::int32_t block) { return static_cast<std::size_t>(std::int64_t{block} * cells / count); };
  for (std::int32_t block = 0; block < count; ++block) ++all[cell(block)];
  for (const std::int32_t block : layout.blocks[rank]) ++mine[cell(block)];
  std::string text;
  for (std::size_t i = 0; i < mine.size(); ++i) text += mine[i] == 0 ? ' ' : mine[i] == all[i] ? '#' : '+';
  return text;
}

void print_table(const Simulation& made) {
  const mpi::Layout& layout = made.layout;
  const mpi::Distribution& distribution = made.distribution;
  fmt::print("{}\n", made.pattern);
  const auto line = [](std::string_view label, const std::string& text) { fmt::print("  {:<10} {}\n", label, text); };
  line("sequence", fmt::format("{} tokens in {} blocks of {}", layout.length, layout.block_count(), layout.block));
  line("dealing", fmt::format("{} to {} rank{}", mpi::name_of(layout.dealing), layout.ranks(), layout.ranks() == 1 ? "" : "s"));
  line("balance", fmt::format("{:.4f} (mean work over that of the slowest rank)", distribution.balance));
  line("sent",
       fmt::format("{} of keys and values in a forward pass", bytes_text(static_cast<std::size_t>(distribution.bytes_sent))));
  fmt::print("\n  {:>5}  {:>9}  {:>14}  {:>10}  {:>10}  blocks of the sequence: # all, + some\n", "rank", "tokens", "pairs",
             "sends", "receives");
  const std::int32_t shown = std::min(layout.ranks(), kShownRanks);
  for (std::size_t r = 0; r < static_cast<std::size_t>(shown); ++r) {
    const mpi::RankShare& share = distribution.ranks[r];
    fmt::print("  {:>5}  {:>9}  {:>14}  {:>10}  {:>10}  |{}|\n", r, share.tokens, share.work,
               bytes_text(static_cast<std::size_t>(share.bytes_sent)),
               bytes_text(static_cast<std::size_t>(share.bytes_received)), picture_of(layout, r));
  }
  if (shown < layout.ranks()) fmt::print("  ... {} more ranks; --json has all\n", layout.ranks() - shown);
}

}  // namespace

int plan_command(const PlanOptions& options) {
  const Result<Simulation> made = simulate(options);
  if (!made) return report_errors(made.diagnostics(), options.output);
  if (options.output == Output::kJson)
    fmt::print("{}\n", json_of(*made).dump(2));
  else
    print_table(*made);
  return static_cast<int>(ExitCode::kFine);
}

}  // namespace flexjit::tools
