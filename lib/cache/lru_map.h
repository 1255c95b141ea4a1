// A map that forgets what was used least recently once the weights of its entries exceed a capacity. Keys are compared in
// full; their hash only finds the bucket. Not synchronised: its owner holds a lock.
#pragma once

#include <cstddef>
#include <functional>
#include <list>
#include <unordered_map>
#include <utility>

namespace flexjit::cache {

template <typename Key, typename Value, typename Hash = std::hash<Key>, typename Equal = std::equal_to<Key>>
class LruMap {
 public:
  explicit LruMap(std::size_t capacity) : capacity_(capacity) {}

  // Null when absent; otherwise the entry becomes the most recent. Valid until the next non-const call.
  const Value* find(const Key& key) {
    auto found = index_.find(std::cref(key));
    if (found == index_.end()) return nullptr;
    entries_.splice(entries_.begin(), entries_, found->second);
    return &found->second->value;
  }

  // Replaces an equal key. An entry heavier than the whole capacity is not kept.
  void insert(Key key, Value value, std::size_t weight) {
    erase(key);
    if (weight > capacity_) return;
    std::list<Entry> entry;  // where no memory is left for both, the map stays as it is
    entry.push_front({std::move(key), std::move(value), weight});
    index_.emplace(std::cref(entry.front().key), entry.begin());
    entries_.splice(entries_.begin(), entry);
    weight_ += weight;
    while (weight_ > capacity_) erase(entries_.back().key);
  }

  void clear() {
    index_.clear();
    entries_.clear();
    weight_ = 0;
  }

  std::size_t size() const { return entries_.size(); }
  std::size_t weight() const { return weight_; }

 private:
  struct Entry {
    Key key;
    Value value;
    std::size_t weight;
  };
  // The index refers to the keys in the list, so that none is stored twice.
  using KeyRef = std::reference_wrapper<const Key>;
  struct RefHash {
    std::size_t operator()(KeyRef key) const { return Hash{}(key.get()); }
  };
  struct RefEqual {
    bool operator()(KeyRef a, KeyRef b) const { return Equal{}(a.get(), b.get()); }
  };

  void erase(const Key& key) {
    auto found = index_.find(std::cref(key));
    if (found == index_.end()) return;
    auto entry = found->second;
    index_.erase(found);  // before the key that it refers to
    weight_ -= entry->weight;
    entries_.erase(entry);
  }

  std::size_t capacity_;
  std::size_t weight_ = 0;
  std::list<Entry> entries_;  // most recent first
  std::unordered_map<KeyRef, typename std::list<Entry>::iterator, RefHash, RefEqual> index_;
};

}  // namespace flexjit::cache
