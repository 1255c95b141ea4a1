// Entries are written to files without a name, or to temporary ones where the file system has no such files, and then linked
// into the directory at once. A hit renews the time by which the least recently used are found.
#include "cache/disk_cache.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <memory>
#include <span>
#include <string_view>

#include "cache/disk_entry.h"

namespace flexjit::cache {

namespace {

constexpr std::string_view kEntrySuffix = ".kernel", kTemporaryPrefix = "tmp-";
constexpr std::int64_t kMaxEntryBytes = std::int64_t{64} << 20;
constexpr std::time_t kRenewSeconds = 60;       // a hit renews times that are older
constexpr std::time_t kAbandonedSeconds = 600;  // a temporary file that is older has lost its writer

class File {
 public:
  explicit File(int descriptor) : descriptor_(descriptor) {}
  ~File() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  bool is_open() const { return descriptor_ >= 0; }
  int get() const { return descriptor_; }

 private:
  int descriptor_;
};

bool is_own_regular_file(const struct stat& status) { return S_ISREG(status.st_mode) && status.st_uid == ::geteuid(); }

std::optional<std::vector<std::uint8_t>> read_file(const std::string& path, struct stat& status) {
  const File file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));  // a pipe of this name must not wait
  if (!file.is_open() || ::fstat(file.get(), &status) != 0) return std::nullopt;
  if (!is_own_regular_file(status) || status.st_size > kMaxEntryBytes) return std::nullopt;
  std::vector<std::uint8_t> bytes(static_cast<std::size_t>(status.st_size));
  for (std::size_t done = 0; done < bytes.size();) {
    const ssize_t got = ::read(file.get(), bytes.data() + done, bytes.size() - done);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return std::nullopt;
    done += static_cast<std::size_t>(got);
  }
  return bytes;
}

bool write_all(int descriptor, std::span<const std::uint8_t> bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(descriptor, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return false;
    bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
  return true;
}

enum class Written : std::uint8_t { kDone, kTaken, kFailed };  // kTaken: something has this name already

// A file that has no name until it is whole: nothing remains of a writer that is killed.
Written write_unnamed(const std::string& directory, const std::string& path, std::span<const std::uint8_t> bytes) {
  const File file(::open(directory.c_str(), O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600));
  if (!file.is_open() || !write_all(file.get(), bytes)) return Written::kFailed;
  const std::string link = fmt::format("/proc/self/fd/{}", file.get());
  if (::linkat(AT_FDCWD, link.c_str(), AT_FDCWD, path.c_str(), AT_SYMLINK_FOLLOW) == 0) return Written::kDone;
  return errno == EEXIST ? Written::kTaken : Written::kFailed;
}

void write_named(const std::string& directory, const std::string& path, std::span<const std::uint8_t> bytes) {
  std::string temporary = fmt::format("{}/{}XXXXXX", directory, kTemporaryPrefix);
  const File file(::mkostemp(temporary.data(), O_CLOEXEC));
  if (!file.is_open()) return;
  if (!write_all(file.get(), bytes) || ::rename(temporary.c_str(), path.c_str()) != 0) ::unlink(temporary.c_str());
}

std::vector<std::string> names_in(const std::string& directory) {
  std::vector<std::string> names;
  const std::unique_ptr<DIR, int (*)(DIR*)> open(::opendir(directory.c_str()), ::closedir);
  if (open == nullptr) return names;
  while (const dirent* entry = ::readdir(open.get())) names.emplace_back(entry->d_name);
  return names;
}

std::string described(int error) { return std::generic_category().message(error); }

}  // namespace

DiskCache::DiskCache(std::string directory, std::int64_t capacity_bytes)
    : directory_(std::move(directory)), capacity_bytes_(capacity_bytes) {}

std::string DiskCache::problem() const {
  if (directory_.empty()) return "no directory is named";
  struct stat status{};
  if (::lstat(directory_.c_str(), &status) != 0) return errno == ENOENT ? "" : described(errno);
  if (S_ISLNK(status.st_mode)) {  // by whose hand it leads there matters as much as whose the directory is
    if (status.st_uid != ::geteuid()) return fmt::format("it is a link of user {}, not of {}", status.st_uid, ::geteuid());
    if (::stat(directory_.c_str(), &status) != 0) return described(errno);
  }
  if (!S_ISDIR(status.st_mode)) return "it is not a directory";
  if (status.st_uid != ::geteuid()) return fmt::format("it belongs to user {}, not to {}", status.st_uid, ::geteuid());
  if ((status.st_mode & 0022) != 0)
    return fmt::format("others may write to it (mode {:04o}); chmod 700", status.st_mode & 07777);
  return "";
}

std::optional<plan::CodeImage> DiskCache::load(const std::string& key_text) const {
  if (!problem().empty()) return std::nullopt;
  const std::string path = path_of(file_of(key_text));
  struct stat status{};
  const auto bytes = read_file(path, status);
  if (!bytes) return std::nullopt;
  auto image = from_entry(*bytes);
  if (!image) ::unlink(path.c_str());  // the next store makes room for a good one
  if (!image || image->key_text != key_text) return std::nullopt;
  if (std::time(nullptr) - status.st_mtime > kRenewSeconds) ::utimensat(AT_FDCWD, path.c_str(), nullptr, AT_SYMLINK_NOFOLLOW);
  return image;
}

void DiskCache::store(const plan::CodeImage& image) {
  if (!problem().empty()) return;
  std::error_code ignored;
  std::filesystem::create_directories(std::filesystem::path(directory_).parent_path(), ignored);
  ::mkdir(directory_.c_str(), 0700);
  const std::string path = path_of(file_of(image.key_text));
  const std::vector<std::uint8_t> bytes = to_entry(image);
  switch (write_unnamed(directory_, path, bytes)) {
    case Written::kDone: break;
    case Written::kTaken:
      // Mostly by another process that was faster. What cannot be read there would otherwise be a miss for ever.
      if (load(image.key_text)) break;
      ::unlink(path.c_str());
      [[fallthrough]];
    case Written::kFailed: write_named(directory_, path, bytes); break;
  }
  shrink_to(capacity_bytes_);
}

std::vector<DiskEntry> DiskCache::list() const {
  std::vector<DiskEntry> entries;
  if (!problem().empty()) return entries;
  const std::time_t now = std::time(nullptr);
  for (const std::string& name : names_in(directory_)) {
    if (!name.ends_with(kEntrySuffix)) continue;
    struct stat status{};
    if (::lstat(path_of(name).c_str(), &status) != 0) continue;  // it went meanwhile
    const auto bytes = read_file(path_of(name), status);
    const auto image = bytes ? from_entry(*bytes) : std::nullopt;
    entries.push_back({name, image ? image->key_text : "", status.st_size, now - status.st_mtime});
  }
  std::ranges::sort(entries, {}, &DiskEntry::age_seconds);
  return entries;
}

std::int64_t DiskCache::remove_damaged() {
  std::int64_t removed = remove_abandoned();
  for (const DiskEntry& entry : list()) {
    const bool is_good = !entry.key_text.empty() && entry.file == file_of(entry.key_text);
    if (!is_good && ::unlink(path_of(entry.file).c_str()) == 0) ++removed;
  }
  return removed;
}

std::int64_t DiskCache::remove_abandoned() {
  std::int64_t removed = 0;
  if (!problem().empty()) return removed;
  const std::time_t now = std::time(nullptr);
  for (const std::string& name : names_in(directory_)) {
    struct stat status{};
    if (!name.starts_with(kTemporaryPrefix) || ::lstat(path_of(name).c_str(), &status) != 0) continue;
    if (now - status.st_mtime > kAbandonedSeconds && ::unlink(path_of(name).c_str()) == 0) ++removed;
  }
  return removed;
}

std::int64_t DiskCache::shrink_to(std::int64_t bytes) {
  struct Aged {
    std::time_t used;
    std::int64_t bytes;
    std::string path;
  };
  std::vector<Aged> entries;
  std::int64_t total = 0, removed = remove_abandoned();
  for (const std::string& name : names_in(directory_)) {
    if (!name.ends_with(kEntrySuffix)) continue;
    const std::string path = path_of(name);
    struct stat status{};
    if (::lstat(path.c_str(), &status) != 0 || !is_own_regular_file(status)) continue;
    entries.push_back({status.st_mtime, status.st_size, path});
    total += status.st_size;
  }
  std::ranges::sort(entries, {}, &Aged::used);
  for (const Aged& entry : entries) {
    if (total <= bytes) break;
    if (::unlink(entry.path.c_str()) == 0) ++removed;
    total -= entry.bytes;
  }
  return removed;
}

}  // namespace flexjit::cache
