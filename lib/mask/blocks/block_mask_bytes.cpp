// BlockMask <-> bytes: "FLEXMASK", version, shape, then for each block row its runs, then the XXH3 checksum of all before it.
// Numbers are little-endian.
#include <fmt/format.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <array>
#include <optional>

#include "flexjit/block_mask.h"
#include "mask/blocks/block_mask_builder.h"
#include "mask/blocks/mask_errors.h"

namespace flexjit {

namespace {

constexpr std::array<std::uint8_t, 8> kMagic = {'F', 'L', 'E', 'X', 'M', 'A', 'S', 'K'};
constexpr std::uint32_t kVersion = 1;
constexpr std::size_t kChecksumBytes = 8;

class ByteWriter {
 public:
  template <typename T>
  void put(T value) {
    const auto bits = static_cast<std::make_unsigned_t<T>>(value);
    for (std::size_t i = 0; i < sizeof(T); ++i) bytes_.push_back(static_cast<std::uint8_t>(bits >> (8 * i)));
  }
  std::vector<std::uint8_t> take() && { return std::move(bytes_); }
  std::span<const std::uint8_t> bytes() const { return bytes_; }

 private:
  std::vector<std::uint8_t> bytes_;
};

class ByteReader {
 public:
  explicit ByteReader(std::span<const std::uint8_t> bytes) : bytes_(bytes) {}
  template <typename T>
  std::optional<T> get() {
    if (bytes_.size() < sizeof(T)) return std::nullopt;
    std::make_unsigned_t<T> bits = 0;
    for (std::size_t i = 0; i < sizeof(T); ++i)
      bits |= static_cast<std::make_unsigned_t<T>>(std::uint64_t{bytes_[i]} << (8 * i));
    bytes_ = bytes_.subspan(sizeof(T));
    return static_cast<T>(bits);
  }
  bool at_end() const { return bytes_.empty(); }
  std::size_t left() const { return bytes_.size(); }

 private:
  std::span<const std::uint8_t> bytes_;
};

std::uint64_t checksum_of(std::span<const std::uint8_t> bytes) { return XXH3_64bits(bytes.data(), bytes.size()); }

std::optional<BlockMaskShape> read_shape(ByteReader& reader) {
  BlockMaskShape shape;
  for (std::int32_t* field : {&shape.batch, &shape.heads, &shape.q_len, &shape.kv_len, &shape.q_block, &shape.kv_block}) {
    const auto value = reader.get<std::int32_t>();
    if (!value) return std::nullopt;
    *field = *value;
  }
  return shape;
}

// One block row into the builder; whether its runs are ones that a mask can have.
bool read_row(ByteReader& reader, const BlockMaskShape& shape, std::int32_t q, mask::BlockMaskBuilder& builder) {
  const auto count = reader.get<std::uint32_t>();
  if (!count) return false;
  std::int32_t last = 0;
  for (std::uint32_t i = 0; i < *count; ++i) {
    const auto begin = reader.get<std::int32_t>(), end = reader.get<std::int32_t>();
    const auto full = reader.get<std::uint8_t>();
    if (!begin || !end || !full || *begin < last || *end <= *begin || *end > shape.kv_blocks() || *full > 1) return false;
    builder.add({q, q + 1, *begin, *end}, *full == 1 ? BlockKind::kFull : BlockKind::kPartial);
    last = *end;
  }
  return true;
}

Diagnostic damaged() { return mask::bytes_error("the bytes of the block mask are damaged"); }

}  // namespace

std::vector<std::uint8_t> BlockMask::to_bytes() const {
  ByteWriter writer;
  for (std::uint8_t byte : kMagic) writer.put(byte);
  writer.put(kVersion);
  for (std::int32_t field : {shape_.batch, shape_.heads, shape_.q_len, shape_.kv_len, shape_.q_block, shape_.kv_block}) {
    writer.put(field);
  }
  std::vector<BlockRun> runs;
  for (std::int32_t b = 0; b < shape_.batch; ++b) {
    for (std::int32_t h = 0; h < shape_.heads; ++h) {
      for (std::int32_t q = 0; q < shape_.q_blocks(); ++q) {
        row_runs(b, h, q, runs);
        writer.put(static_cast<std::uint32_t>(runs.size()));
        for (const BlockRun& run : runs) {
          writer.put(run.kv_begin);
          writer.put(run.kv_end);
          writer.put(static_cast<std::uint8_t>(run.kind == BlockKind::kFull ? 1 : 0));
        }
      }
    }
  }
  writer.put(checksum_of(writer.bytes()));
  return std::move(writer).take();
}

Result<BlockMask> BlockMask::from_bytes(std::span<const std::uint8_t> bytes) {
  ByteReader header(bytes);
  for (std::uint8_t byte : kMagic) {
    if (header.get<std::uint8_t>() != byte) return mask::bytes_error("these bytes are no block mask");
  }
  const auto version = header.get<std::uint32_t>();
  if (!version) return damaged();
  if (*version != kVersion) {
    return mask::bytes_error(fmt::format("the block mask has version {}; this flexjit reads version {}", *version, kVersion));
  }
  if (bytes.size() < kMagic.size() + sizeof(kVersion) + kChecksumBytes) return damaged();
  const auto body = bytes.first(bytes.size() - kChecksumBytes);
  if (ByteReader(bytes.last(kChecksumBytes)).get<std::uint64_t>() != checksum_of(body)) return damaged();
  ByteReader reader(body.subspan(kMagic.size() + sizeof(kVersion)));
  const auto shape = read_shape(reader);
  if (!shape || !mask::check_shape(*shape).empty()) return damaged();
  // A row takes at least its count, so that a few bytes cannot ask for the memory of many rows.
  const std::int64_t rows = std::int64_t{shape->batch} * shape->heads * shape->q_blocks();
  if (reader.left() / sizeof(std::uint32_t) < static_cast<std::size_t>(rows)) return damaged();
  mask::BlockMaskBuilder builder(*shape);
  for (std::int64_t plane = 0; plane < std::int64_t{shape->batch} * shape->heads; ++plane) {
    for (std::int32_t q = 0; q < shape->q_blocks(); ++q) {
      if (!read_row(reader, *shape, q, builder)) return damaged();
    }
    builder.finish_plane();
  }
  if (!reader.at_end()) return damaged();
  return std::move(builder).build();
}

}  // namespace flexjit
