// libpng encodes into memory, so that a picture is written as every file is.
#include "picture/canvas.h"

#include <fmt/format.h>
#include <png.h>

#include "command_line/failure.h"
#include "data/output_file.h"
#include "picture/letters.h"

namespace flexjit::tools {
namespace {

constexpr int kScale = 2;  // pixels of a dot

void append_bytes(png_structp png, png_bytep data, png_size_t size) {
  static_cast<std::string*>(png_get_io_ptr(png))->append(reinterpret_cast<const char*>(data), size);
}

struct Image {
  int width, height;
  const Colour* pixels;
};

// libpng reports errors by longjmp, so nothing in here may need a destructor. False where it failed.
bool encode(std::string& bytes, const Image& image, std::vector<png_text>& texts) {
  png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, nullptr, nullptr, nullptr);
  if (png == nullptr) return false;
  png_infop info = png_create_info_struct(png);
  if (info == nullptr || setjmp(png_jmpbuf(png)) != 0) {
    png_destroy_write_struct(&png, &info);
    return false;
  }
  png_set_write_fn(png, &bytes, append_bytes, nullptr);
  png_set_IHDR(png, info, static_cast<png_uint_32>(image.width), static_cast<png_uint_32>(image.height), 8, PNG_COLOR_TYPE_RGB,
               PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
  png_set_text(png, info, texts.data(), static_cast<int>(texts.size()));
  png_write_info(png, info);
  for (std::ptrdiff_t y = 0; y < image.height; ++y)
    png_write_row(png, reinterpret_cast<png_const_bytep>(image.pixels + y * image.width));
  png_write_end(png, info);
  png_destroy_write_struct(&png, &info);
  return true;
}

const std::array<std::uint8_t, 5>& letter(char c) {
  const bool known = c >= ' ' && c <= '~';
  return kLetters[static_cast<std::size_t>((known ? c : '?') - ' ')];
}

}  // namespace

Canvas::Canvas(int width, int height, Colour page)
    : width_(width), height_(height), pixels_(static_cast<std::size_t>(width) * static_cast<std::size_t>(height), page) {}

void Canvas::frame(const Box& box, Colour colour) {
  for (int y = -2; y < box.height + 2; ++y)
    for (int x = -2; x < box.width + 2; ++x)
      if (x < 0 || y < 0 || x >= box.width || y >= box.height) set(box.x + x, box.y + y, colour);
}

void Canvas::text(int x, int y, std::string_view text, Colour colour, Align align) {
  const int width = kLetterWidth * static_cast<int>(text.size());
  if (align == Align::kMiddle) x -= width / 2;
  if (align == Align::kRight) x -= width;
  for (const char c : text) {
    const auto& columns = letter(c);
    fill({x, y, kLetterColumns * kScale, kLetterRows * kScale}, [&](int at_x, int at_y) {
      const bool set = (columns[static_cast<std::size_t>(at_x / kScale)] >> (at_y / kScale) & 1) != 0;
      return set ? colour : pixels_[index(std::min(std::max(x + at_x, 0), width_ - 1), std::min(y + at_y, height_ - 1))];
    });
    x += kLetterWidth;
  }
}

void Canvas::axes(const Box& box, std::pair<std::int64_t, std::int64_t> rows, std::pair<std::int64_t, std::int64_t> columns) {
  constexpr int kMark = 6, kGap = 4;
  const auto place = [](std::int64_t at, std::pair<std::int64_t, std::int64_t> range, int extent) {
    const auto length = static_cast<double>(std::max<std::int64_t>(range.second - range.first, 1));
    return static_cast<int>(static_cast<double>(at - range.first) / length * extent);
  };
  for (const std::int64_t at : axis_ticks(columns.first, columns.second)) {
    const int x = box.x + place(at, columns, box.width);
    fill({x, box.y - kMark, 2, kMark}, kLight.faint);
    text(x, box.y - kMark - kGap - kLetterHeight, fmt::format("{}", at), kLight.faint, Align::kMiddle);
  }
  for (const std::int64_t at : axis_ticks(rows.first, rows.second)) {
    const int y = box.y + place(at, rows, box.height);
    fill({box.x - kMark, y, kMark, 2}, kLight.faint);
    text(box.x - kMark - kGap, y - kLetterHeight / 2, fmt::format("{}", at), kLight.faint, Align::kRight);
  }
  text(box.x + box.width, box.y + box.height + 2 * kGap, "across kv_idx, down q_idx", kLight.faint, Align::kRight);
}

Status Canvas::write(const std::string& path, const std::vector<std::pair<std::string, std::string>>& texts) const {
  static_assert(sizeof(Colour) == 3);
  std::vector<std::pair<std::string, std::string>> values = texts;  // libpng takes pointers to what may change
  std::vector<png_text> chunks;
  for (auto& [key, value] : values) {
    png_text text{};
    text.compression = PNG_TEXT_COMPRESSION_NONE;
    text.key = key.data();
    text.text = value.data();
    text.text_length = value.size();
    chunks.push_back(text);
  }
  std::string bytes;
  if (!encode(bytes, {width_, height_, pixels_.data()}, chunks))
    return failure("unwritable-file", path, "libpng refuses the picture");
  return write_file(path, bytes);
}

}  // namespace flexjit::tools
