// By Clang's own lexer in raw mode, which expands and opens nothing.
#include "cxx/parse/gate.h"

#include <clang/Basic/LangOptions.h>
#include <clang/Lex/Lexer.h>

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

#include "cxx/parse/compiler.h"

namespace flexjit::cxx {
namespace {

using clang::Token;
namespace tok = clang::tok;

constexpr std::array<std::string_view, 21> kHeaders = {
    "flexjit/mod.h", "algorithm", "array",    "bit",        "cfloat",           "climits",     "cmath",
    "cstddef",       "cstdint",   "cstdlib",  "functional", "initializer_list", "limits",      "math.h",
    "numbers",       "span",      "stddef.h", "stdint.h",   "stdlib.h",         "type_traits", "utility"};

// Words that Clang would accept, and why a mod has none of them.
constexpr std::pair<std::string_view, std::string_view> kWords[] = {
    {"asm", "nothing but expressions is compiled"},
    {"goto", "write a loop or an `if`"},
    {"try", "nothing throws"},
    {"catch", "nothing throws"},
    {"throw", "nothing throws; return a value"},
    {"new", "there is no memory to allocate"},
    {"delete", "there is no memory to free"},
    {"typeid", "types are known when the text is compiled"},
    {"dynamic_cast", "types are known when the text is compiled"},
    {"reinterpret_cast", "values have no bytes"},
    {"const_cast", "captured arrays are read only"},
    {"virtual", "functions are inlined"},
    {"thread_local", "a mod keeps nothing between calls"},
    {"volatile", "a value is computed where and as often as is best"},
    {"co_await", "functions are inlined"},
    {"co_yield", "functions are inlined"},
    {"co_return", "functions are inlined"},
    {"concept", "write a template, or the type"},
    {"requires", "write a template, or the type"},
    {"extern", "everything that is called stands in the text"},
    {"union", "values have no bytes"},
    {"alignas", "values have no addresses"},
    {"friend", "write a function"},
    {"_BitInt", "ints have 8, 16, 32 or 64 bits"},
    {"_ExtInt", "ints have 8, 16, 32 or 64 bits"},
    {"_Complex", "numbers are real"},
    {"_Atomic", "a mod shares nothing"},
    {"_Generic", "write an overload"},
};

class Gate {
 public:
  Gate(Unit& unit, Findings& findings)
      : unit_(unit),
        findings_(findings),
        code_(unit.code()),
        language_(mod_language()),
        lexer_(clang::SourceLocation::getFromRawEncoding(1), language_, code_.data(), code_.data(),
               code_.data() + code_.size()) {}

  void run() {
    std::size_t count = 0, operators = 0;
    if (unit_.is_program() && begins_with_lambda()) findings_.add(Finding::kLambdaAlone, unit_.place(0, 1));
    for (Token token = next(); !token.is(tok::eof); token = next()) {
      if (++count > kMaxTokens) {
        findings_.add(Finding::kTooLong, place(token), fmt::format("more than {} tokens", kMaxTokens), kMaxTokens);
        return;
      }
      operators = is_prefix(token) ? operators + 1 : 0;
      if (operators > kMaxOperators) {
        findings_.add(Finding::kTooLong, place(token), fmt::format("more than {} operators in a row", kMaxOperators),
                      kMaxOperators);
        return;
      }
      if (token.is(tok::hash) && token.isAtStartOfLine()) {
        check_directive(token);
      } else if (token.is(tok::raw_identifier)) {
        check_word(token);
      }
    }
  }

 private:
  Token next() {
    Token token;
    lexer_.LexFromRawLexer(token);
    return token;
  }
  std::size_t begin_of(const Token& token) const { return token.getLocation().getRawEncoding() - 1; }
  std::size_t end_of(const Token& token) const { return begin_of(token) + token.getLength(); }
  dsl::Span place(const Token& token) const { return unit_.place(begin_of(token), end_of(token)); }

  // Without the line ends that may part it.
  std::string word_of(const Token& token) const {
    if (!token.is(tok::raw_identifier)) return "";
    std::string word;
    const std::string_view written = token.getRawIdentifier();
    for (std::size_t i = 0; i < written.size(); ++i) {
      const std::size_t end = written.find_first_not_of(" \t\v\f\r", i + 1);
      if (written[i] == '\\' && end != written.npos && written[end] == '\n') {
        i = end;
      } else {
        word += written[i];
      }
    }
    return word;
  }

  bool is_prefix(const Token& token) const {
    constexpr std::array<std::string_view, 4> kWordsOfPrefixes = {"not", "compl", "sizeof", "alignof"};
    if (token.is(tok::raw_identifier)) return std::ranges::find(kWordsOfPrefixes, word_of(token)) != kWordsOfPrefixes.end();
    return token.isOneOf(tok::exclaim, tok::tilde, tok::minus, tok::plus, tok::star, tok::amp, tok::minusminus, tok::plusplus);
  }

  bool begins_with_lambda() const {  // and not with an attribute
    const std::size_t first = code_.find_first_not_of(" \t\r\n");
    return first != code_.npos && code_[first] == '[' && code_.substr(first, 2) != "[[";
  }

  void check_word(const Token& token) {
    const std::string word = word_of(token);
    const auto refused = std::ranges::find(kWords, word, &std::pair<std::string_view, std::string_view>::first);
    if (refused != std::end(kWords)) return findings_.add(Finding::kWord, place(token), word, refused->second);
    if (word == "_Pragma" || word.starts_with("__has_"))
      return findings_.add(Finding::kDirective, place(token), word, "a mod depends on nothing but its text");
    const bool is_known = word == "__restrict" || word == "__restrict__" || word == "__cplusplus";
    if (word.starts_with("__") && !is_known)
      findings_.add(Finding::kWord, place(token), word, "names that begin with two underscores are the compiler's own");
  }

  // The tokens behind `#`, up to the end of the line.
  std::vector<Token> rest_of_line() {
    std::vector<Token> tokens;
    while (true) {
      const clang::Token token = peek();
      if (token.is(tok::eof) || token.isAtStartOfLine()) return tokens;
      tokens.push_back(next());
    }
  }
  Token peek() {
    clang::Lexer ahead(clang::SourceLocation::getFromRawEncoding(1), language_, code_.data(), lexer_.getBufferLocation(),
                       code_.data() + code_.size());
    Token token;
    ahead.LexFromRawLexer(token);
    // A lexer begins as at a line's start; whether one is, the bytes between tell.
    const std::string_view between(lexer_.getBufferLocation(), code_.data() + begin_of(token) - lexer_.getBufferLocation());
    token.setFlagValue(Token::StartOfLine, has_line_end(between));
    return token;
  }
  static bool has_line_end(std::string_view between) {
    for (std::size_t i = 0; i < between.size(); ++i) {
      const bool continued = i > 0 && between[i - 1] == '\\';
      const bool continued_crlf = i > 1 && between[i - 1] == '\r' && between[i - 2] == '\\';
      if (between[i] == '\n' && !continued && !continued_crlf) return true;
    }
    return false;
  }

  void check_directive(const Token& hash) {
    const std::vector<Token> line = rest_of_line();
    if (line.empty()) return;
    const std::string word = word_of(line[0]);
    const auto refuse = [&](std::string_view why) {
      findings_.add(Finding::kDirective, unit_.place(begin_of(hash), end_of(line.back())), fmt::format("#{}", word), why);
    };
    if (word == "include") return check_include(hash, line);
    if (word == "define") return check_definition(line, refuse);
    if (word == "pragma") {
      const bool once = line.size() == 2 && word_of(line[1]) == "once";
      return once ? unit_.blank(begin_of(hash), end_of(line.back())) : refuse("nothing but `#pragma once`");
    }
    constexpr std::array<std::string_view, 6> kConditions = {"if", "ifdef", "ifndef", "elif", "else", "endif"};
    if (word != "undef" && std::ranges::find(kConditions, word) == kConditions.end())
      return refuse("a mod depends on nothing but its text");
    for (const Token& token : line) {
      if (token.is(tok::raw_identifier)) check_word(token);
    }
  }

  void check_include(const Token& hash, const std::vector<Token>& line) {
    const std::size_t begin = end_of(line[0]), end = end_of(line.back());
    const std::string_view rest = std::string_view(code_).substr(begin, end - begin);
    const std::size_t first = rest.find_first_of("<\""), last = rest.find_last_of(">\"");
    std::string_view name;
    if (first != rest.npos && last != rest.npos && last > first) name = rest.substr(first + 1, last - first - 1);
    if (std::ranges::find(kHeaders, name) != kHeaders.end()) return unit_.blank(begin_of(hash), end);
    findings_.add(Finding::kInclude, unit_.place(begin_of(hash), end), dsl::quoted(name),
                  name.ends_with(".h") || name.ends_with(".hpp") ? "; put what it needs into the text" : "");
  }

  // A macro of one token at most cannot grow when it is expanded.
  template <typename Refuse>
  void check_definition(const std::vector<Token>& line, const Refuse& refuse) {
    const bool is_call = line.size() > 2 && line[2].is(tok::l_paren) && begin_of(line[2]) == end_of(line[1]);
    if (line.size() > 3 || is_call)
      return refuse("a macro may be a name for one number or word: write a constexpr or a function");
    for (const Token& token : line) {
      if (token.is(tok::raw_identifier)) check_word(token);
    }
  }

  Unit& unit_;
  Findings& findings_;
  const std::string code_;
  const clang::LangOptions language_;
  clang::Lexer lexer_;
};

}  // namespace

bool pass_gate(Unit& unit, Findings& findings) {
  for (std::uint32_t i = 0; i < unit.texts().size(); ++i) {
    const std::size_t size = unit.texts()[i].text.size();
    if (size > kMaxBytes) findings.add(Finding::kTooLong, {i, 0, 0}, fmt::format("{} bytes", size), kMaxBytes);
  }
  if (findings.has_errors()) return false;
  Gate(unit, findings).run();
  return !findings.has_errors();
}

}  // namespace flexjit::cxx
