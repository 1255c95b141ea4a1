// A .npy file is magic, version, header length, a Python dict literal with exactly three keys, then the raw elements. The dict
// is scanned by a small reader of its own grammar instead of by searching for substrings, so malformed headers are found.
#include "data/npy.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>
#include <optional>
#include <string_view>

#include "command_line/failure.h"
#include "data/output_file.h"

namespace flexjit::tools {
namespace {

constexpr std::string_view kMagic{"\x93NUMPY", 6};
constexpr std::size_t kMaxHeader = 1 << 20;
constexpr std::int64_t kFirstPiece = std::int64_t{1} << 24;

struct Header {
  std::string descr;
  bool fortran_order = false;
  std::vector<std::int64_t> shape;
};

struct ElementType {
  std::string_view descr;
  DType dtype;
};
constexpr ElementType kElementTypes[] = {
#define FLEXJIT_DTYPE(name, c_name, text, stored, kind, npy, unit, largest) {npy, DType::k##name},
#include "flexjit/dtypes.def"
#undef FLEXJIT_DTYPE
};

// Reads the dict; every member returns nullopt (or false) where the text is not what numpy writes.
class HeaderReader {
 public:
  explicit HeaderReader(std::string_view text) : text_(text) {}

  std::optional<Header> read() {
    Header header;
    int seen = 0;
    if (!take('{')) return std::nullopt;
    while (!take('}')) {
      const auto key = string();
      if (!key || !take(':') || !value(*key, header)) return std::nullopt;
      ++seen;
      if (!take(',') && peek() != '}') return std::nullopt;
    }
    skip_space();
    if (seen != 3 || at_ != text_.size() || header.descr.empty()) return std::nullopt;
    return header;
  }

 private:
  bool value(std::string_view key, Header& header) {
    if (key == "descr") {
      const auto text = string();
      if (text) header.descr = *text;
      return text.has_value();
    }
    if (key == "fortran_order") {
      header.fortran_order = word("True");
      return header.fortran_order || word("False");
    }
    return key == "shape" && tuple(header.shape);
  }

  bool tuple(std::vector<std::int64_t>& out) {
    if (!take('(')) return false;
    while (!take(')')) {
      const auto extent = number();
      if (!extent || out.size() > 64) return false;
      out.push_back(*extent);
      if (!take(',') && peek() != ')') return false;
    }
    return true;
  }

  std::optional<std::int64_t> number() {
    skip_space();
    std::int64_t n = 0;
    const std::size_t begin = at_;
    for (; at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9'; ++at_) {
      if (n > (std::numeric_limits<std::int64_t>::max() - 9) / 10) return std::nullopt;
      n = n * 10 + (text_[at_] - '0');
    }
    if (at_ == begin) return std::nullopt;
    return n;
  }

  std::optional<std::string> string() {
    skip_space();
    if (peek() != '\'' && peek() != '"') return std::nullopt;
    const char quote = text_[at_++];
    const std::size_t end = text_.find(quote, at_);
    if (end == std::string_view::npos) return std::nullopt;
    std::string out(text_.substr(at_, end - at_));
    at_ = end + 1;
    return out;
  }

  bool word(std::string_view w) {
    skip_space();
    if (text_.substr(at_, w.size()) != w) return false;
    at_ += w.size();
    return true;
  }
  bool take(char c) {
    skip_space();
    if (peek() != c) return false;
    ++at_;
    return true;
  }
  char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }
  void skip_space() {
    while (peek() == ' ' || peek() == '\n' || peek() == '\t') ++at_;
  }

  std::string_view text_;
  std::size_t at_ = 0;
};

Diagnostic bad(const std::string& path, std::string message) { return failure("bad-npy", path, std::move(message)); }

// The header's text, with the stream left at the first element.
Result<std::string> read_header_text(std::ifstream& in, const std::string& path) {
  unsigned char lead[8] = {};
  in.read(reinterpret_cast<char*>(lead), sizeof lead);
  if (in.gcount() != sizeof lead || std::memcmp(lead, kMagic.data(), kMagic.size()) != 0)
    return bad(path, "not a .npy file: it does not start with \\x93NUMPY");
  const int major = lead[6];
  if (major < 1 || major > 3) return bad(path, fmt::format("version {}.{} of the .npy format is not known", major, lead[7]));
  unsigned char raw[4] = {};
  const std::streamsize width = major == 1 ? 2 : 4;
  in.read(reinterpret_cast<char*>(raw), width);
  const std::size_t length = raw[0] | std::size_t{raw[1]} << 8 | std::size_t{raw[2]} << 16 | std::size_t{raw[3]} << 24;
  if (in.gcount() != width || length > kMaxHeader) return bad(path, "the header's length is missing or absurd");
  std::string text(length, '\0');
  in.read(text.data(), static_cast<std::streamsize>(length));
  if (static_cast<std::size_t>(in.gcount()) != length) return bad(path, "the file ends inside its header");
  return text;
}

Result<DType> element_type(const Header& header, const std::string& path) {
  for (const auto& [descr, dtype] : kElementTypes)
    if (header.descr == descr) return dtype;
  return bad(path,
             fmt::format("element type '{}' is not supported; expected one of <f2 <f4 <f8 <i4 <i8 |i1 |u1 |b1, or <u2 for bf16 "
                         "(e.g. numpy.save(path, array.astype('<f4')))",
                         header.descr));
}

// Bytes of the elements, or nullopt where the product of the extents overflows.
std::optional<std::int64_t> byte_count(const Header& header, DType dtype) {
  std::int64_t n = static_cast<std::int64_t>(size_of(dtype));
  for (std::int64_t extent : header.shape)
    if (__builtin_mul_overflow(n, extent, &n)) return std::nullopt;
  return n;
}

// Of a file that can say it.
std::optional<std::int64_t> bytes_left(std::ifstream& in) {
  const auto begin = in.tellg();
  if (begin < 0 || !in.seekg(0, std::ios::end)) {
    in.clear();
    return std::nullopt;
  }
  const std::int64_t left = in.tellg() - begin;
  in.seekg(begin);
  return left;
}

Result<Array> read_elements(std::ifstream& in, const Header& header, const std::string& path) {
  const Result<DType> dtype = element_type(header, path);
  if (!dtype) return dtype.diagnostics();
  if (header.fortran_order) return bad(path, "the array is in Fortran order; save numpy.ascontiguousarray(array) instead");
  if (header.shape.size() > kMaxRank)
    return bad(path, fmt::format("the array has {} dimensions; at most {} are supported", header.shape.size(), kMaxRank));
  const auto wanted = byte_count(header, *dtype);
  const auto too_few = [&](std::int64_t held) {
    return bad(path, fmt::format("shape {} of {} needs more bytes than the {} that the file holds", shape_text(header.shape),
                                 name_of(*dtype), held));
  };
  if (!wanted) return too_few(bytes_left(in).value_or(0));
  if (const auto left = bytes_left(in); left && *wanted > *left) return too_few(*left);
  Array array;
  array.dtype = *dtype;
  array.shape = header.shape;
  // Grows with what has come: a pipe does not say how much it will give, and a header may lie.
  for (std::int64_t held = 0; held < *wanted;) {
    const std::int64_t step = std::min(*wanted - held, std::max(held, kFirstPiece));
    array.bytes.resize(static_cast<std::size_t>(held + step));
    in.read(reinterpret_cast<char*>(array.bytes.data()) + held, step);
    if (in.gcount() != step) return too_few(held + in.gcount());
    held += step;
  }
  if (*dtype == DType::kBool)
    for (auto& byte : array.bytes) byte = byte == std::byte{0} ? std::byte{0} : std::byte{1};
  return array;
}

std::string_view descr_of(DType dtype) {
  for (const auto& entry : kElementTypes)
    if (entry.dtype == dtype) return entry.descr;
  return {};
}

}  // namespace

Result<Array> read_npy(const std::string& path) {
  std::ifstream in(path == "-" ? "/dev/stdin" : path, std::ios::binary);
  if (!in) return failure("unreadable-file", path, fmt::format("cannot be opened: {}", std::strerror(errno)));
  // Opening a folder succeeds.
  if (std::error_code ignored; std::filesystem::is_directory(path, ignored))
    return failure("unreadable-file", path, "is a directory; expected a .npy file");
  const Result<std::string> text = read_header_text(in, path);
  if (!text) return text.diagnostics();
  const auto header = HeaderReader(*text).read();
  if (!header) return bad(path, "the header is not the dict with 'descr', 'fortran_order' and 'shape' that numpy writes");
  return read_elements(in, *header, path);
}

Status write_npy(const std::string& path, const Array& array) {
  std::string dict =
      fmt::format("{{'descr': '{}', 'fortran_order': False, 'shape': {}, }}", descr_of(array.dtype), shape_text(array.shape));
  constexpr std::size_t kPrefix = 10;  // magic, version, u16 length; numpy aligns the elements to 64
  dict.append((64 - (kPrefix + dict.size() + 1) % 64) % 64, ' ');
  dict.push_back('\n');
  const char lead[] = {1, 0, static_cast<char>(dict.size() & 0xff), static_cast<char>(dict.size() >> 8)};
  OutputFile out(path);
  out.write(kMagic);
  out.write({lead, sizeof lead});
  out.write(dict);
  out.write({reinterpret_cast<const char*>(array.bytes.data()), array.bytes.size()});
  return out.close();
}

}  // namespace flexjit::tools
