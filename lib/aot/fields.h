// Values <-> bytes, field by field. One visit function a struct serves both directions, so that writing and reading cannot
// drift apart. Numbers are little-endian, as on every architecture that kernels are made for.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

namespace flexjit::aot {

static_assert(std::endian::native == std::endian::little);

template <typename T>
concept Number = std::is_arithmetic_v<T> || std::is_enum_v<T>;

class FieldWriter {
 public:
  // Behind `prefix`.
  explicit FieldWriter(std::span<const std::byte> prefix) { append(prefix.data(), prefix.size()); }

  template <typename... Fields>
  void operator()(Fields&... fields) {
    (write(fields), ...);
  }
  std::vector<std::uint8_t> take() { return std::move(bytes_); }

 private:
  void append(const void* data, std::size_t size) {
    const std::size_t end = bytes_.size();
    bytes_.resize(end + size);
    if (size != 0) std::memcpy(bytes_.data() + end, data, size);
  }
  template <Number T>
  void write(const T& value) {
    append(&value, sizeof(value));
  }
  void write_size(std::uint64_t size) { write(size); }
  void write(std::string& text) {
    write_size(text.size());
    append(text.data(), text.size());
  }
  template <typename T>
  void write(std::optional<T>& value) {
    write(value.has_value());
    if (value) write(*value);
  }
  template <typename T>
  void write(std::vector<T>& values) {
    write_size(values.size());
    for (T& value : values) write(value);
  }
  template <typename... T>
  void write(std::variant<T...>& value) {
    write(static_cast<std::uint8_t>(value.index()));
    std::visit([this](auto& held) { this->write(held); }, value);
  }
  template <typename T>
    requires(!Number<T>)
  void write(T& value) {
    visit_fields(*this, value);
  }

  std::vector<std::uint8_t> bytes_;
};

// Reads what the writer wrote. Bytes that end early or hold what no writer makes leave ok() false and the rest of the fields as
// they are.
class FieldReader {
 public:
  explicit FieldReader(std::span<const std::uint8_t> bytes) : bytes_(bytes) {}

  template <typename... Fields>
  void operator()(Fields&... fields) {
    (read(fields), ...);
  }
  bool ok() const { return ok_; }
  bool at_end() const { return bytes_.empty(); }

 private:
  std::span<const std::uint8_t> next(std::uint64_t size) {
    ok_ = ok_ && size <= bytes_.size();
    if (!ok_) return {};
    const auto taken = bytes_.first(size);
    bytes_ = bytes_.subspan(size);
    return taken;
  }
  template <Number T>
  void read(T& value) {
    const auto taken = next(sizeof(value));
    if (ok_) std::memcpy(&value, taken.data(), sizeof(value));
  }
  std::uint64_t read_size() {
    std::uint64_t size = 0;
    read(size);
    ok_ = ok_ && size <= bytes_.size();  // an element takes a byte at least
    return ok_ ? size : 0;
  }
  void read(bool& value) {
    std::uint8_t byte = 0;
    read(byte);
    value = byte != 0;
  }
  void read(std::string& text) {
    const auto taken = next(read_size());
    text.assign(taken.begin(), taken.end());
  }
  template <typename T>
  void read(std::optional<T>& value) {
    bool present = false;
    read(present);
    if (present) read(value.emplace());
  }
  template <typename T>
  void read(std::vector<T>& values) {
    values.resize(read_size());
    for (T& value : values) read(value);
  }
  template <typename... T>
  void read(std::variant<T...>& value) {
    std::uint8_t index = 0;
    read(index);
    ok_ = ok_ && index < sizeof...(T);
    std::uint8_t at = 0;
    ((at++ == index ? read(value.template emplace<T>()) : void()), ...);
  }
  template <typename T>
    requires(!Number<T>)
  void read(T& value) {
    visit_fields(*this, value);
  }

  std::span<const std::uint8_t> bytes_;
  bool ok_ = true;
};

}  // namespace flexjit::aot
