// LruMap against a plain list that is searched from the front.
#include "cache/lru_map.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

namespace flexjit::cache {
namespace {

TEST(LruMap, ForgetsTheLeastRecentlyUsed) {
  LruMap<std::string, int> map(3);
  for (int i = 0; i < 3; ++i) map.insert(std::string(1, static_cast<char>('a' + i)), i, 1);
  ASSERT_NE(map.find("a"), nullptr);  // now b is the oldest
  map.insert("d", 3, 1);
  EXPECT_EQ(map.find("b"), nullptr);
  for (const char* kept : {"a", "c", "d"}) EXPECT_NE(map.find(kept), nullptr) << kept;
}

TEST(LruMap, KeepsNothingHeavierThanItself) {
  LruMap<int, int> map(10);
  map.insert(1, 1, 10);
  map.insert(2, 2, 11);
  EXPECT_NE(map.find(1), nullptr);
  EXPECT_EQ(map.find(2), nullptr);
  EXPECT_EQ(map.weight(), 10U);
}

struct SameBucket {
  std::size_t operator()(int) const { return 0; }
};

TEST(LruMap, ComparesWholeKeysWhenHashesCollide) {
  LruMap<int, int, SameBucket> map(100);
  for (int i = 0; i < 50; ++i) map.insert(i, i * i, 1);
  for (int i = 0; i < 50; ++i) {
    ASSERT_NE(map.find(i), nullptr);
    EXPECT_EQ(*map.find(i), i * i);
  }
}

// The same policy said naively: most recent first, dropped from the back.
struct NaiveLru {
  struct Entry {
    int key, value;
    std::size_t weight;
  };
  std::size_t capacity;
  std::vector<Entry> entries{};

  std::size_t weight() const {
    std::size_t sum = 0;
    for (const Entry& entry : entries) sum += entry.weight;
    return sum;
  }
  int find(int key) {  // -1: absent
    auto found = std::ranges::find(entries, key, &Entry::key);
    if (found == entries.end()) return -1;
    std::rotate(entries.begin(), found, found + 1);
    return entries.front().value;
  }
  void insert(Entry entry) {
    std::erase_if(entries, [&](const Entry& other) { return other.key == entry.key; });
    if (entry.weight > capacity) return;
    entries.insert(entries.begin(), entry);
    while (weight() > capacity) entries.pop_back();
  }
};

TEST(LruMap, AgreesWithTheNaivePolicy) {
  const unsigned seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  LruMap<int, int> map(40);
  NaiveLru naive{.capacity = 40};
  for (int step = 0; step < 20'000; ++step) {
    const int key = static_cast<int>(random() % 24);
    if (random() % 2 == 0) {
      const int* value = map.find(key);
      ASSERT_EQ(value != nullptr ? *value : -1, naive.find(key)) << "step " << step;
    } else {
      const std::size_t weight = random() % 45;
      map.insert(key, step, weight);
      naive.insert({key, step, weight});
    }
    ASSERT_EQ(map.size(), naive.entries.size()) << "step " << step;
    ASSERT_EQ(map.weight(), naive.weight()) << "step " << step;
  }
}

}  // namespace
}  // namespace flexjit::cache
