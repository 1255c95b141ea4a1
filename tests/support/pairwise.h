// Numbers of levels of some factors -> few rows, each with a level a factor, among which every pair of levels of every two
// factors occurs: a pairwise covering array, found greedily.
#pragma once

#include <cstddef>
#include <set>
#include <tuple>
#include <vector>

namespace flexjit::test {

using FactorLevels = std::vector<int>;

// body(f, a, g, b) for every level a of factor f and b of a later factor g.
template <typename Body>
void for_each_pair(const FactorLevels& levels, const Body& body) {
  for (std::size_t f = 0; f < levels.size(); ++f)
    for (std::size_t g = f + 1; g < levels.size(); ++g)
      for (int a = 0; a < levels[f]; ++a)
        for (int b = 0; b < levels[g]; ++b) body(f, a, g, b);
}

using LevelPairs = std::set<std::tuple<std::size_t, int, std::size_t, int>>;

// How many open pairs a level of a factor makes with those that a row has; below 0: it has none yet.
inline int open_pairs(const LevelPairs& open, const FactorLevels& row, std::size_t factor, int level) {
  int count = 0;
  for (std::size_t other = 0; other < row.size(); ++other) {
    if (row[other] < 0 || other == factor) continue;
    count += static_cast<int>(other < factor ? open.count({other, row[other], factor, level})
                                             : open.count({factor, level, other, row[other]}));
  }
  return count;
}

inline std::vector<FactorLevels> covering_array(const FactorLevels& levels) {
  std::vector<FactorLevels> rows;
  LevelPairs open;
  for_each_pair(levels, [&](std::size_t f, int a, std::size_t g, int b) { open.emplace(f, a, g, b); });
  while (!open.empty()) {
    FactorLevels row(levels.size(), -1);
    const auto [f, a, g, b] = *open.begin();  // so that each row covers one at least
    row[f] = a;
    row[g] = b;
    for (std::size_t factor = 0; factor < row.size(); ++factor) {
      if (row[factor] >= 0) continue;
      const int first = static_cast<int>(rows.size()) % levels[factor];  // of equals, another each time
      int best = first;
      for (int i = 1; i < levels[factor]; ++i) {
        const int level = (first + i) % levels[factor];
        if (open_pairs(open, row, factor, level) > open_pairs(open, row, factor, best)) best = level;
      }
      row[factor] = best;
    }
    for (std::size_t x = 0; x < row.size(); ++x)
      for (std::size_t y = x + 1; y < row.size(); ++y) open.erase({x, row[x], y, row[y]});
    rows.push_back(row);
  }
  return rows;
}

}  // namespace flexjit::test
