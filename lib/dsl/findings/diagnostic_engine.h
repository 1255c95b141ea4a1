// Collects what is wrong, or hardly meant, in a Source: fills message templates, finds lines, drops repetitions, sorts, and
// stops at a number that a person still reads.
#pragma once

#include <cstddef>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "dsl/parse/source_location.h"
#include "flexjit/diagnostic.h"

namespace flexjit::dsl {

enum class Kind : std::uint8_t {
#define FLEXJIT_DIAGNOSTIC(kind, id, message) kind,
#include "dsl/findings/diagnostics.def"
#undef FLEXJIT_DIAGNOSTIC
};

// "unknown-name".
std::string_view id_of(Kind kind);
std::span<const std::string_view> all_kind_ids();

class DiagnosticEngine {
 public:
  static constexpr std::size_t kMaxErrors = 20;

  // `texts` must outlive it.
  explicit DiagnosticEngine(std::span<const SourceText> texts) : texts_(texts) {}

  // A second report of one kind at one place is dropped: it is the same mistake, met again by inlining.
  void report(Kind kind, Span span, std::initializer_list<std::string_view> arguments);
  // The same of what is no error: it changes neither count() nor full().
  void warn(Kind kind, Span span, std::initializer_list<std::string_view> arguments);
  // For what has no place in a text: a declaration of the API, a whole file.
  void report_without_place(Kind kind, std::string source_name, std::initializer_list<std::string_view> arguments);

  // Appended to every message until it is changed; "" for none.
  void set_suffix(std::string suffix) { suffix_ = std::move(suffix); }
  const std::string& suffix() const { return suffix_; }

  // Errors so far, dropped ones included: what grew since then was in error.
  std::size_t count() const { return count_; }
  // Further reports are counted only, so their arguments need no work.
  bool full() const { return errors_.size() >= kMaxErrors; }
  // Errors and warnings in the order of the texts.
  Diagnostics take() &&;

 private:
  struct Entry {
    Kind kind;
    Span span;
    Diagnostic diagnostic;
  };
  Entry entry_at(Kind kind, Span span, std::initializer_list<std::string_view> arguments) const;

  std::span<const SourceText> texts_;
  std::vector<Entry> errors_, warnings_;  // in the order of the texts
  std::string suffix_;
  std::size_t count_ = 0;
  bool overflow_ = false;
};

}  // namespace flexjit::dsl
