// Magic, version and code id first, so that another version's bundle is told from a damaged one; then the fields; then the
// checksum of all before it.
#include "aot/bundle.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "aot/fields.h"
#include "cache/disk_entry.h"

namespace flexjit {

// Found by argument-dependent look-up, hence beside the structs. Each names all members of its struct, so that one that is
// added and forgotten here does not compile.
template <typename Archive>
void visit_fields(Archive& archive, Window& window) {
  auto& [left, right] = window;
  archive(left, right);
}

template <typename Archive>
void visit_fields(Archive& archive, MaskTensor& mask) {
  auto& [dtype, rank] = mask;
  archive(dtype, rank);
}

template <typename Archive>
void visit_fields(Archive& archive, Dropout& dropout) {
  auto& [p, generator] = dropout;
  archive(p, generator);
}

template <typename Archive>
void visit_fields(Archive& archive, LinearWeights& linear) {
  auto& [feature_map, features, gate, normalised, eps] = linear;
  archive(feature_map, features, gate, normalised, eps);
}

template <typename Archive>
void visit_fields(Archive& archive, BufferDeclaration& buffer) {
  auto& [name, dtype, rank, extents] = buffer;
  archive(name, dtype, rank, extents);
}

template <typename Archive>
void visit_fields(Archive& archive, ParamDeclaration& param) {
  auto& [name, default_value] = param;
  archive(name, default_value);
}

template <typename Archive>
void visit_fields(Archive& archive, AttentionSpec& spec) {
  auto& [program, program_name, score_mod, mask_mod, buffers, params, language, dtype, kv_dtype, kv_scale_dims, out_dtype,
         head_dim, v_head_dim, scale, causal, window, softcap, alibi, key_lengths, key_mask, attention_mask, weights, linear,
         dropout] = spec;
  archive(program, program_name, score_mod, mask_mod, buffers, params, language);
  archive(dtype, kv_dtype, kv_scale_dims, out_dtype, head_dim, v_head_dim, scale);
  archive(causal, window, softcap, alibi, key_lengths, key_mask, attention_mask, weights, linear, dropout);
}

namespace plan {

template <typename Archive>
void visit_fields(Archive& archive, Target& target) {
  auto& [isa, tuning, bf16] = target;
  archive(isa, tuning, bf16);
}

template <typename Archive>
void visit_fields(Archive& archive, Tiling& tiling) {
  auto& [q_tile, kv_tile, micro_rows, micro_vectors] = tiling;
  archive(q_tile, kv_tile, micro_rows, micro_vectors);
}

}  // namespace plan

namespace aot {

namespace {

struct Header {
  std::array<char, 8> magic;
  std::uint32_t version;
  std::uint32_t reserved;
  std::array<char, 16> code_id;
};
constexpr std::array<char, 8> kMagic = {'F', 'L', 'E', 'X', 'B', 'U', 'L', 'T'};
constexpr std::uint32_t kVersion = 3;

Header own_header() {
  Header header{kMagic, kVersion, 0, {}};
  std::ranges::copy(cache::code_id(), header.code_id.begin());
  return header;
}

// A kernel with its image as the bytes of a disk entry.
struct Stored {
  plan::Nest nest = plan::Nest::kPrefill;
  std::vector<std::uint32_t> gradients;
  plan::Target target;
  plan::Tiling tiling;
  std::string llvm_version;
  std::vector<std::uint8_t> entry;
};

template <typename Archive>
void visit_fields(Archive& archive, Stored& kernel) {
  archive(kernel.nest, kernel.gradients, kernel.target, kernel.tiling, kernel.llvm_version, kernel.entry);
}

}  // namespace

std::vector<std::uint8_t> to_bytes(Bundle bundle) {
  std::vector<Stored> kernels;
  for (BundledKernel& kernel : bundle.kernels) {
    kernels.push_back(
        {kernel.nest, kernel.gradients, kernel.target, kernel.tiling, kernel.llvm_version, cache::to_entry(kernel.image)});
  }
  const Header header = own_header();
  FieldWriter writer(std::as_bytes(std::span(&header, 1)));
  writer(bundle.spec, kernels);
  std::vector<std::uint8_t> bytes = writer.take();
  const std::uint64_t checksum = cache::checksum_of(bytes);
  bytes.resize(bytes.size() + sizeof(checksum));
  std::memcpy(bytes.data() + bytes.size() - sizeof(checksum), &checksum, sizeof(checksum));
  return bytes;
}

Origin origin_of(std::span<const std::uint8_t> bytes) {
  Header header{};
  if (bytes.size() < sizeof(header)) return Origin::kUnknown;
  std::memcpy(&header, bytes.data(), sizeof(header));
  if (header.magic != kMagic) return Origin::kUnknown;
  const Header own = own_header();
  const bool same = header.version == own.version && header.code_id == own.code_id;
  return same ? Origin::kThisVersion : Origin::kAnotherVersion;
}

std::optional<Bundle> from_bytes(std::span<const std::uint8_t> bytes) {
  std::uint64_t checksum = 0;
  if (bytes.size() < sizeof(Header) + sizeof(checksum)) return std::nullopt;
  const std::span<const std::uint8_t> checked = bytes.first(bytes.size() - sizeof(checksum));
  std::memcpy(&checksum, bytes.data() + checked.size(), sizeof(checksum));
  if (origin_of(bytes) != Origin::kThisVersion || checksum != cache::checksum_of(checked)) return std::nullopt;
  Bundle bundle;
  std::vector<Stored> kernels;
  FieldReader reader(checked.subspan(sizeof(Header)));
  reader(bundle.spec, kernels);
  if (!reader.ok() || !reader.at_end()) return std::nullopt;
  for (Stored& kernel : kernels) {
    auto image = cache::from_entry(kernel.entry);
    if (!image) return std::nullopt;
    bundle.kernels.push_back({kernel.nest, std::move(kernel.gradients), std::move(kernel.target), kernel.tiling,
                              std::move(kernel.llvm_version), *std::move(image)});
  }
  return bundle;
}

}  // namespace aot
}  // namespace flexjit
