// A fixed header of the machine's own byte order: entries are for this machine, and the checksum covers the header too.
#include "cache/disk_entry.h"

#include <fmt/format.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <string_view>

namespace flexjit::cache {

namespace {

constexpr std::array<char, 8> kMagic = {'F', 'L', 'E', 'X', 'C', 'O', 'D', 'E'};
constexpr std::uint32_t kVersion = 1;

struct Header {
  std::array<char, 8> magic;
  std::uint32_t version;
  std::uint32_t key_bytes;
  std::uint64_t code_bytes;
  plan::EntryOffsets entries;
  std::array<char, 16> code_id;  // FLEXJIT_CODE_ID of the library that wrote it
};
static_assert(sizeof(Header) == 40 + sizeof(plan::EntryOffsets) && std::has_unique_object_representations_v<Header>);

// Follows the sources that kernels are made by: what another version made is another's.
constexpr std::string_view kCodeId = FLEXJIT_CODE_ID;
static_assert(kCodeId.size() == 16);

std::array<char, 16> own_code_id() {
  std::array<char, 16> id{};
  std::ranges::copy(kCodeId, id.begin());
  return id;
}

}  // namespace

std::string_view code_id() { return kCodeId; }

std::uint64_t checksum_of(std::span<const std::uint8_t> bytes) { return XXH3_64bits(bytes.data(), bytes.size()); }

std::string file_of(const std::string& key_text) {
  const XXH128_hash_t hash = XXH3_128bits(key_text.data(), key_text.size());
  return fmt::format("{:016x}{:016x}.kernel", hash.high64, hash.low64);
}

std::vector<std::uint8_t> to_entry(const plan::CodeImage& image) {
  Header header{kMagic,        kVersion,     static_cast<std::uint32_t>(image.key_text.size()), image.bytes.size(),
                image.entries, own_code_id()};
  std::uint64_t checksum = 0;
  std::vector<std::uint8_t> bytes(sizeof(header) + image.key_text.size() + image.bytes.size() + sizeof(checksum));
  std::memcpy(bytes.data(), &header, sizeof(header));
  const auto code = std::ranges::copy(image.key_text, bytes.begin() + sizeof(header)).out;
  std::ranges::copy(image.bytes, code);
  const std::span<const std::uint8_t> body(bytes.data(), bytes.size() - sizeof(checksum));
  checksum = checksum_of(body);
  std::memcpy(bytes.data() + body.size(), &checksum, sizeof(checksum));
  return bytes;
}

std::optional<plan::CodeImage> from_entry(std::span<const std::uint8_t> bytes) {
  Header header{};
  std::uint64_t checksum = 0;
  if (bytes.size() < sizeof(header) + sizeof(checksum)) return std::nullopt;
  std::memcpy(&header, bytes.data(), sizeof(header));
  const std::span<const std::uint8_t> body = bytes.first(bytes.size() - sizeof(checksum));
  std::memcpy(&checksum, bytes.data() + body.size(), sizeof(checksum));
  if (header.magic != kMagic || header.version != kVersion || header.code_id != own_code_id()) return std::nullopt;
  if (checksum != checksum_of(body)) return std::nullopt;
  const std::uint64_t texts = body.size() - sizeof(header);
  if (header.key_bytes > texts || header.code_bytes != texts - header.key_bytes) return std::nullopt;
  if (std::ranges::max(header.entries) >= header.code_bytes) return std::nullopt;
  plan::CodeImage image;
  const auto* key = reinterpret_cast<const char*>(body.data() + sizeof(header));
  image.key_text.assign(key, header.key_bytes);
  const auto code = body.subspan(sizeof(header) + header.key_bytes);
  image.bytes.assign(code.begin(), code.end());
  image.entries = header.entries;
  return image;
}

}  // namespace flexjit::cache
