// Myers' greedy algorithm over lines, after what both texts begin and end with is set aside. Texts that differ in more than
// kMaxEdits lines have little in common that is worth finding: the rest of one replaces the rest of the other.
#include "commands/diff.h"

#include <fmt/format.h>

#include <algorithm>
#include <span>

namespace flexjit::tools {
namespace {

constexpr std::ptrdiff_t kMaxEdits = 2000;  // 16 MiB of furthest points
constexpr std::size_t kContext = 3;

using Lines = std::vector<std::string_view>;
using LineSpan = std::span<const std::string_view>;

struct Edit {
  char kind;  // ' ', '-' or '+'
  std::string_view line;
};
using Edits = std::vector<Edit>;

Lines lines_of(std::string_view text) {
  Lines lines;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    lines.push_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return lines;
}

void append(Edits& edits, char kind, LineSpan lines) {
  for (std::string_view line : lines) edits.push_back({kind, line});
}

// Of two texts, the furthest line of `a` that each number of edits reaches on each diagonal k = x - y.
class ShortestEdits {
 public:
  ShortestEdits(LineSpan a, LineSpan b) : a_(a), b_(b), x_size_(std::ssize(a)), y_size_(std::ssize(b)) {}

  Edits find() {
    const std::ptrdiff_t most = std::min(x_size_ + y_size_, kMaxEdits);
    for (std::ptrdiff_t d = 0; d <= most; ++d) {
      reached_.emplace_back(static_cast<std::size_t>(2 * d + 1));
      for (std::ptrdiff_t k = -d; k <= d; k += 2) {
        std::ptrdiff_t x = begin_of(d, k);
        while (x < x_size_ && x - k < y_size_ && line(a_, x) == line(b_, x - k)) ++x;
        at(d, k) = x;
        if (x >= x_size_ && x - k >= y_size_) return walk_back(d);
      }
    }
    Edits replaced;
    append(replaced, '-', a_);
    append(replaced, '+', b_);
    return replaced;
  }

 private:
  static std::string_view line(LineSpan lines, std::ptrdiff_t i) { return lines[static_cast<std::size_t>(i)]; }
  std::ptrdiff_t& at(std::ptrdiff_t d, std::ptrdiff_t k) {
    return reached_[static_cast<std::size_t>(d)][static_cast<std::size_t>(k + d)];
  }

  // Whether edit d on diagonal k takes a line of `b`; else it drops one of `a`.
  bool adds(std::ptrdiff_t d, std::ptrdiff_t k) { return k == -d || (k != d && at(d - 1, k - 1) < at(d - 1, k + 1)); }
  std::ptrdiff_t begin_of(std::ptrdiff_t d, std::ptrdiff_t k) {
    if (d == 0) return 0;
    return adds(d, k) ? at(d - 1, k + 1) : at(d - 1, k - 1) + 1;
  }

  Edits walk_back(std::ptrdiff_t d) {
    Edits edits;
    std::ptrdiff_t x = x_size_, k = x_size_ - y_size_;
    for (; d >= 0; --d) {
      const std::ptrdiff_t begin = begin_of(d, k);
      while (x > begin) edits.push_back({' ', line(a_, --x)});
      if (d == 0) break;
      if (adds(d, k)) {
        edits.push_back({'+', line(b_, x - k - 1)});
        ++k;
      } else {
        edits.push_back({'-', line(a_, --x)});
        --k;
      }
    }
    std::ranges::reverse(edits);
    return edits;
  }

  LineSpan a_, b_;
  std::ptrdiff_t x_size_, y_size_;
  std::vector<std::vector<std::ptrdiff_t>> reached_;  // by number of edits, by k + d
};

Edits edits_of(LineSpan a, LineSpan b) {
  const auto begin = static_cast<std::size_t>(std::ranges::mismatch(a, b).in1 - a.begin());
  const std::size_t shorter = std::min(a.size(), b.size()) - begin;
  std::size_t end = 0;
  while (end < shorter && a[a.size() - 1 - end] == b[b.size() - 1 - end]) ++end;
  Edits edits;
  append(edits, ' ', a.first(begin));
  const Edits middle = ShortestEdits(a.subspan(begin, a.size() - begin - end), b.subspan(begin, b.size() - begin - end)).find();
  edits.insert(edits.end(), middle.begin(), middle.end());
  append(edits, ' ', a.last(end));
  return edits;
}

// One hunk: the edits [begin, end) of all. A side without lines is numbered by the line before it.
void append_hunk(std::span<const Edit> all, std::size_t begin, std::size_t end, std::vector<std::string>& text) {
  const auto count = [&](std::size_t from, std::size_t to, char other) {
    return std::ranges::count_if(all.subspan(from, to - from), [&](const Edit& edit) { return edit.kind != other; });
  };
  const auto range = [&](char other) {
    const std::ptrdiff_t lines = count(begin, end, other);
    return fmt::format("{},{}", count(0, begin, other) + (lines > 0 ? 1 : 0), lines);
  };
  text.push_back(fmt::format("@@ -{} +{} @@", range('+'), range('-')));
  for (const Edit& edit : all.subspan(begin, end - begin)) text.push_back(edit.kind + std::string(edit.line));
}

}  // namespace

std::vector<std::string> unified_diff(std::string_view before, std::string_view after) {
  const Lines a = lines_of(before), b = lines_of(after);
  const Edits edits = edits_of(a, b);
  const auto changed = [&](std::size_t i) { return edits[i].kind != ' '; };
  std::vector<std::string> text;
  for (std::size_t i = 0; i < edits.size(); ++i) {
    if (!changed(i)) continue;
    const std::size_t begin = i > kContext ? i - kContext : 0;
    std::size_t last = i;  // changed line of the hunk: the next is at most two contexts away
    for (std::size_t j = i + 1; j < edits.size() && j <= last + 2 * kContext + 1; ++j)
      if (changed(j)) last = j;
    const std::size_t end = std::min(last + kContext + 1, edits.size());
    append_hunk(edits, begin, end, text);
    i = last;
  }
  return text;
}

}  // namespace flexjit::tools
