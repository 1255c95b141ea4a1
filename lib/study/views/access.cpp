// Program -> how each read of a captured buffer is done: how its index moves from one lane (key) to the next, at which loop it
// happens, which loads that takes, and whether its index is proved in range. A dot reads two rows and has two entries. What
// adds to the gradient of a buffer is shown in the same way.
#include <fmt/format.h>

#include "ir/program/expression_texts.h"
#include "plan/hoisting.h"
#include "study/subject/program_json.h"
#include "study/views/view.h"

namespace flexjit::study {
namespace {

using ir::Id;
using plan::Level;

enum class Pattern : std::uint8_t { kBroadcast, kContiguous, kReversed, kStrided, kGather };

std::string_view access_name(Pattern pattern) {
  switch (pattern) {
    case Pattern::kBroadcast: return "broadcast";
    case Pattern::kContiguous: return "contiguous";
    case Pattern::kReversed: return "reversed";
    case Pattern::kStrided: return "strided";
    case Pattern::kGather: return "gather";
  }
  return "";
}

std::string_view meaning_of(Pattern pattern) {
  switch (pattern) {
    case Pattern::kBroadcast: return "one element for all lanes";
    case Pattern::kContiguous: return "neighbouring lanes read neighbouring elements";
    case Pattern::kReversed: return "neighbouring lanes read neighbouring elements, backwards";
    case Pattern::kStrided: return "elements at a fixed distance from lane to lane";
    case Pattern::kGather: return "any elements";
  }
  return "";
}

std::string_view place_of(Level level) {
  switch (level) {
    case Level::kUniform: return "once a work item";
    case Level::kRow: return "once a query row";
    case Level::kColumn: return "once a key of a tile";
    case Level::kDiagonal: return "once a diagonal of a tile";
    case Level::kElement: return "for each score";
  }
  return "";
}

// One buffer that a node reads, and the operands that index it.
struct Read {
  Id id;
  std::uint32_t buffer = 0;
  std::span<const Id> indices;
  std::uint32_t site = 0;
  bool checked = true;
  bool is_row = false;  // a row of a dot: its innermost index runs in a loop
  bool adds = false;    // to the gradient
};

class AccessView {
 public:
  explicit AccessView(const Subject& subject)
      : subject_(subject),
        program_(subject.program),
        hoisting_(plan::hoist(subject.program, subject.key.nest)),
        of_diagonals_(plan::functions_of_diagonals(program_, hoisting_)),
        texts_(program_, subject.interface) {}

  ViewResult run() {
    ViewResult view{.text = {}, .json = {{"accesses", Json::array()}}};
    for (const Read& read : reads()) {
      view.text += (view.text.empty() ? "" : "\n") + text(read);
      view.json["accesses"].push_back(json(read));
    }
    if (view.text.empty()) view.text = "the pattern reads no captured buffer\n";
    return view;
  }

 private:
  std::vector<Read> reads() const {
    std::vector<Read> all;
    for (std::uint32_t i = 0; i < program_.size(); ++i) {
      const Id id{i};
      const ir::Op op = program_.node(id).op;
      if (op == ir::Op::kRead || op == ir::Op::kAccumulate) {
        const ir::ReadInfo& info = program_.read(id);
        all.push_back({id, info.buffer, program_.indices(id), info.site, info.checked, false, ir::accumulates(op)});
      }
      if (op == ir::Op::kDot || op == ir::Op::kAccumulateRow) {
        const ir::DotInfo& info = program_.dot(id);
        const auto indices = program_.indices(id);
        const auto split = static_cast<std::size_t>(program_.buffers()[info.buffer_a].rank) - 1;
        all.push_back({id, info.buffer_a, indices.first(split), info.site, info.checked, true, ir::accumulates(op)});
        all.push_back({id, info.buffer_b, indices.subspan(split), info.site, info.checked, true, false});
      }
    }
    return all;
  }

  bool same_for_all_lanes(Id id) const {
    const Level level = hoisting_.level[id.index];
    return level == Level::kUniform || level == Level::kRow;
  }

  Pattern pattern_of(const Read& read) const {
    Pattern pattern = Pattern::kBroadcast;
    for (std::size_t d = 0; d < read.indices.size(); ++d) {
      const Id index = read.indices[d];
      if (same_for_all_lanes(index)) continue;
      const plan::Slopes& slopes = hoisting_.slopes[index.index];
      const bool is_last = d + 1 == read.indices.size() && !read.is_row;
      if (pattern != Pattern::kBroadcast || !slopes.known) return Pattern::kGather;
      pattern = Pattern::kStrided;
      if (is_last && slopes.kv == 1) pattern = Pattern::kContiguous;
      if (is_last && slopes.kv == -1) pattern = Pattern::kReversed;
    }
    return pattern;
  }

  Id guard_of(const Read& read) const { return program_.operand(read.id, 0); }
  bool is_guarded(const Read& read) const {
    const Id guard = guard_of(read);
    return program_.node(guard).op != ir::Op::kConst || !program_.const_bool(guard);
  }
  // Where a read is made once for several scores, its guard only decides whether an index outside is an error.
  bool guard_varies(const Read& read) const {
    return !hoisting_.late_guard[read.id.index] && is_guarded(read) && !same_for_all_lanes(guard_of(read));
  }

  // "scalar", "vector", "gather" or "lanes": as codegen's captured_read.h decides; of what adds, as its accumulate.h does.
  std::string_view load_of(const Read& read) const {
    if (read.adds) return sum_of(read);
    if (ir::accumulates(program_.node(read.id).op)) return "scalar";  // the factors of a row, one after the other
    if (pattern_of(read) == Pattern::kBroadcast && !guard_varies(read)) return "scalar";
    if (hoisting_.contiguous[read.id.index] && !is_guarded(read)) return "vector";
    const bool has_words = size_of(subject_.interface.buffers[read.buffer].dtype) == 4;
    return plan::has(subject_.key.target.isa, plan::kGather) && has_words ? "gather" : "lanes";
  }

  std::string_view sum_of(const Read& read) const {
    if (read.is_row) return "lanes";
    const auto of_diagonal = [&](Id index) { return of_diagonals_[index.index]; };
    const bool varies = pattern_of(read) != Pattern::kBroadcast;
    if (varies && std::ranges::all_of(read.indices, of_diagonal)) return "diagonals";
    switch (pattern_of(read)) {
      case Pattern::kBroadcast: return "scalar";
      case Pattern::kContiguous:
      case Pattern::kReversed: return "vector";
      case Pattern::kStrided:
      case Pattern::kGather: break;
    }
    return "lanes";
  }

  static std::string_view words_of_sum(std::string_view load) {
    if (load == "scalar") return "lanes are added up on their own, and once a row or work item to the element";
    if (load == "diagonals") return "added up by diagonal of a key tile first, then to the elements";
    if (load == "vector")
      return "one vector where every lane counts and the gradient's innermost stride is 1, else lane by lane";
    return "lane by lane";
  }

  static std::string_view words_of(std::string_view load) {
    if (load == "scalar") return "a scalar load, broadcast where it is used";
    if (load == "vector") return "one vector load where the buffer's innermost stride is 1, else lane by lane";
    return load == "gather" ? "a gather instruction" : "lane by lane";
  }

  bool in_table(const Read& read) const {
    return hoisting_.value_slot[read.id.index] >= 0 && level_of(read) != Level::kElement;
  }
  Level level_of(const Read& read) const { return hoisting_.level[read.id.index]; }

  std::string text(const Read& read) const {
    const ir::BufferInterface& buffer = subject_.interface.buffers[read.buffer];
    const ir::ReadSite& site = subject_.interface.sites[read.site];
    const Pattern pattern = pattern_of(read);
    std::string lines = fmt::format("%{} {}\n", read.id.index, texts_[read.id]);
    const auto line = [&](std::string_view label, const std::string& words) {
      lines += fmt::format("  {:<8} {}\n", label, words);
    };
    std::string extents;
    for (const ir::Extent& extent : buffer.extents)
      extents += (extents.empty() ? "" : ", ") + extent_text(extent, subject_.interface);
    line("buffer", fmt::format("{} : {}[{}]", buffer.name, flexjit::name_of(buffer.dtype), extents));
    line("pattern", fmt::format("{}: {}", access_name(pattern), meaning_of(pattern)));
    line(read.adds ? "add" : "load",
         fmt::format("{}, {}{}", place_of(level_of(read)), read.adds ? words_of_sum(load_of(read)) : words_of(load_of(read)),
                     in_table(read) ? "; kept in a table" : ""));
    line("range", read.checked ? fmt::format("checked, for {}:{}:{}: the declared extents do not prove the index in range",
                                             site.source_name, site.line, site.column)
                               : "proved: no check");
    if (is_guarded(read)) line("guard", fmt::format("only where {}", texts_[guard_of(read)]));
    return lines;
  }

  Json json(const Read& read) const {
    Json json = node_json(program_, subject_.interface, read.id);
    json["buffer"] = subject_.interface.buffers[read.buffer].name;
    json["dtype"] = flexjit::name_of(subject_.interface.buffers[read.buffer].dtype);
    json["expression"] = texts_[read.id];
    json["pattern"] = access_name(pattern_of(read));
    json["level"] = plan::name_of(level_of(read));
    json["load"] = load_of(read);
    json["adds"] = read.adds;
    json["in_table"] = in_table(read);
    json["guard"] = is_guarded(read) ? Json(texts_[guard_of(read)]) : Json();
    return json;
  }

  const Subject& subject_;
  const ir::Program& program_;
  const plan::Hoisting hoisting_;
  const std::vector<bool> of_diagonals_;  // by node
  const ir::ExpressionTexts texts_;
};

}  // namespace

Result<ViewResult> make_access_view(const Subject& subject) { return AccessView(subject).run(); }

}  // namespace flexjit::study
