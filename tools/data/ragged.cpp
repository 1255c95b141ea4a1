// The numbers of a file are not trusted: a call checks them, and until then they are kept within the tensors.
#include "data/ragged.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <numeric>
#include <random>

#include "command_line/failure.h"
#include "data/npy.h"

namespace flexjit::tools {
namespace {

constexpr std::int64_t kLongest = std::int64_t{1} << 30;
constexpr std::int64_t kMostSequences = 1 << 20;

Array ints(const std::vector<std::int32_t>& values) {
  Array array(DType::kI32, {static_cast<std::int64_t>(values.size())});
  std::ranges::copy(values, array.as<std::int32_t>());
  return array;
}

// 0, then the sums of what each has.
template <typename LengthOf>
Array cumulated(const std::vector<SequenceLengths>& lengths, const LengthOf& length_of) {
  std::vector<std::int32_t> begins{0};
  for (const SequenceLengths& one : lengths) begins.push_back(begins.back() + static_cast<std::int32_t>(length_of(one)));
  return ints(begins);
}

std::optional<std::int64_t> number_in(std::string_view text, std::int64_t most) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < 0 || value > most) return std::nullopt;
  return value;
}

// "64*1x512" into how many and which.
std::optional<std::pair<std::int64_t, SequenceLengths>> parse_one(std::string_view text) {
  const std::size_t star = text.find('*');
  const std::string_view lengths = star == std::string_view::npos ? text : text.substr(star + 1);
  const std::size_t cross = lengths.find('x');
  if (cross == std::string_view::npos) return std::nullopt;
  const auto count = star == std::string_view::npos ? 1 : number_in(text.substr(0, star), kMostSequences);
  const auto q = number_in(lengths.substr(0, cross), kLongest), kv = number_in(lengths.substr(cross + 1), kLongest);
  if (!count || !q || !kv) return std::nullopt;
  return std::pair(*count, SequenceLengths{*q, *kv});
}

std::int64_t at(const Array& array, std::int64_t i) {
  return i < array.count() ? array.as<std::int32_t>()[i] : std::int64_t{0};
}
bool given(const Array& array) { return !array.shape.empty(); }

std::int64_t rows_of(const Array& begins, std::int64_t b) { return at(begins, b + 1) - at(begins, b); }

}  // namespace

Result<std::vector<SequenceLengths>> parse_lengths(const std::vector<std::string>& texts) {
  std::vector<SequenceLengths> lengths;
  SequenceLengths total;
  for (const std::string& text : texts) {
    const auto one = parse_one(text);
    if (!one)
      return failure("usage", "--lengths",
                     fmt::format("`{}` is not QxKV or COUNT*QxKV, the queries and keys of a sequence, as in 1x4096", text));
    lengths.insert(lengths.end(), static_cast<std::size_t>(one->first), one->second);
    total.q += one->first * one->second.q;
    total.kv += one->first * one->second.kv;
    if (total.q > kLongest || total.kv > kLongest)
      return failure("usage", "--lengths", fmt::format("more than {} queries or keys are too many", kLongest));
  }
  if (lengths.empty()) return failure("usage", "--lengths", "names no sequence");
  return lengths;
}

Result<std::shared_ptr<const Ragged>> Ragged::make(const SequenceOptions& options, std::uint64_t seed) {
  Result<std::vector<SequenceLengths>> lengths = parse_lengths(options.lengths);
  if (!lengths) return lengths.diagnostics();
  const std::shared_ptr<Ragged> ragged(new Ragged);
  ragged->lengths_ = std::move(*lengths);
  const auto count = static_cast<std::int64_t>(ragged->lengths_.size());
  ragged->cu_seqlens_q_ = cumulated(ragged->lengths_, [](const SequenceLengths& one) { return one.q; });
  ragged->queries_ = {1, at(ragged->cu_seqlens_q_, count)};
  if (options.page_size > 0) {
    ragged->set_total_len();
    ragged->make_pages(options.page_size, seed);
  } else if (options.cache_rows > 0) {
    if (ragged->longest().kv > options.cache_rows)
      return failure("usage", "--cache-rows",
                     fmt::format("is {}, but a sequence has {} keys", options.cache_rows, ragged->longest().kv));
    ragged->set_total_len();
    ragged->keys_ = {count, options.cache_rows};
  } else {
    ragged->cu_seqlens_k_ = cumulated(ragged->lengths_, [](const SequenceLengths& one) { return one.kv; });
    ragged->keys_ = {1, ragged->total_keys()};
  }
  ragged->make_views();
  return std::shared_ptr<const Ragged>(ragged);
}

void Ragged::set_total_len() {
  std::vector<std::int32_t> lengths;
  for (const SequenceLengths& one : lengths_) lengths.push_back(static_cast<std::int32_t>(one.kv));
  total_len_ = ints(lengths);
}

// As an allocator leaves them that has served for long: in no order.
void Ragged::make_pages(std::int64_t page_size, std::uint64_t seed) {
  const auto pages_of = [&](std::int64_t kv) { return (kv + page_size - 1) / page_size; };
  std::int64_t pages = 0;
  for (const SequenceLengths& one : lengths_) pages += pages_of(one.kv);
  std::vector<std::int32_t> order(static_cast<std::size_t>(pages));
  std::iota(order.begin(), order.end(), 0);
  std::mt19937_64 random(seed);
  for (std::size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[random() % i]);
  const std::int64_t columns = std::max<std::int64_t>(pages_of(longest().kv), 1);
  block_table_ = Array(DType::kI32, {static_cast<std::int64_t>(lengths_.size()), columns});
  std::fill_n(block_table_.as<std::int32_t>(), block_table_.count(), -1);
  std::size_t next = 0;
  for (std::size_t b = 0; b < lengths_.size(); ++b)
    for (std::int64_t i = 0; i < pages_of(lengths_[b].kv); ++i)
      block_table_.as<std::int32_t>()[static_cast<std::int64_t>(b) * columns + i] = order[next++];
  keys_ = {std::max<std::int64_t>(pages, 1), page_size};
}

Result<std::shared_ptr<const Ragged>> Ragged::read(const SequenceOptions& files, Extent queries, Extent keys) {
  const std::shared_ptr<Ragged> ragged(new Ragged);
  Diagnostics errors;
  const auto load = [&errors](const std::string& path, Array& array) {
    if (path.empty()) return;
    Result<Array> read = read_npy(path);
    if (read) read = convert(*read, DType::kI32, path);
    if (read)
      array = std::move(*read);
    else
      errors.insert(errors.end(), read.diagnostics().begin(), read.diagnostics().end());
  };
  load(files.cu_seqlens_q, ragged->cu_seqlens_q_);
  load(files.seqused_q, ragged->seqused_q_);
  load(files.cu_seqlens_k, ragged->cu_seqlens_k_);
  load(files.total_len, ragged->total_len_);
  load(files.cache_batch_idx, ragged->cache_batch_idx_);
  load(files.cache_leftpad, ragged->cache_leftpad_);
  load(files.block_table, ragged->block_table_);
  load(files.page_indptr, ragged->page_indptr_);
  load(files.page_indices, ragged->page_indices_);
  if (!errors.empty()) return errors;
  ragged->queries_ = queries;
  ragged->keys_ = keys;
  ragged->make_views();
  ragged->find_lengths();
  return std::shared_ptr<const Ragged>(ragged);
}

void Ragged::find_lengths() {
  const std::int64_t count = given(cu_seqlens_q_) ? std::max<std::int64_t>(cu_seqlens_q_.count() - 1, 0) : queries_.entries;
  const std::int64_t room = paged() ? keys_.entries * keys_.rows : keys_.rows;
  for (std::int64_t b = 0; b < count; ++b) {
    std::int64_t q = given(cu_seqlens_q_) ? rows_of(cu_seqlens_q_, b) : queries_.rows, kv = room;
    if (given(seqused_q_)) q = at(seqused_q_, b);
    if (given(cu_seqlens_k_)) kv = rows_of(cu_seqlens_k_, b);
    if (given(total_len_)) kv = at(total_len_, b);
    lengths_.push_back({std::clamp<std::int64_t>(q, 0, queries_.rows), std::clamp<std::int64_t>(kv, 0, room)});
  }
}

void Ragged::make_views() {
  const auto view = [](const Array& array) { return given(array) ? array.view() : TensorView{}; };
  sequences_ = {.cu_seqlens_q = view(cu_seqlens_q_),
                .seqused_q = view(seqused_q_),
                .cu_seqlens_k = view(cu_seqlens_k_),
                .total_len = view(total_len_),
                .cache_batch_idx = view(cache_batch_idx_),
                .cache_leftpad = view(cache_leftpad_),
                .block_table = view(block_table_),
                .page_indptr = view(page_indptr_),
                .page_indices = view(page_indices_)};
}

std::int64_t Ragged::total_keys() const {
  std::int64_t total = 0;
  for (const SequenceLengths& one : lengths_) total += one.kv;
  return total;
}

SequenceLengths Ragged::longest() const {
  SequenceLengths most;
  for (const SequenceLengths& one : lengths_) most = {std::max(most.q, one.q), std::max(most.kv, one.kv)};
  return most;
}

double Ragged::pairs() const {
  double pairs = 0;
  for (const SequenceLengths& one : lengths_) pairs += static_cast<double>(one.q) * static_cast<double>(one.kv);
  return pairs;
}

std::array<std::int64_t, 2> Ragged::place_of(std::size_t sequence, std::int64_t query) const {
  const auto b = static_cast<std::int64_t>(sequence);
  return given(cu_seqlens_q_) ? std::array{std::int64_t{0}, at(cu_seqlens_q_, b) + query} : std::array{b, query};
}

std::string describe(const Ragged& ragged) {
  SequenceLengths least = ragged.longest();
  for (const SequenceLengths& one : ragged.lengths()) least = {std::min(least.q, one.q), std::min(least.kv, one.kv)};
  const auto range = [](std::int64_t from, std::int64_t to) {
    return from == to ? fmt::format("{}", to) : fmt::format("{}..{}", from, to);
  };
  const SequenceLengths most = ragged.longest();
  const std::string pages = ragged.paged() ? fmt::format(", {} pages of {}", ragged.keys().entries, ragged.keys().rows) : "";
  return fmt::format("{}, {} queries and {} keys each{}", ragged.lengths().size(), range(least.q, most.q),
                     range(least.kv, most.kv), pages);
}

}  // namespace flexjit::tools
