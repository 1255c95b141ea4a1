// A hand-written scanner with a stack of open brackets. A bracket that is never closed would swallow every later line; a line
// inside brackets that plainly starts a statement ends them, so that the statements after a mistake are still checked.
#include "dsl/parse/lexer.h"

#include <array>
#include <bit>
#include <charconv>
#include <cmath>
#include <limits>
#include <optional>

namespace flexjit::dsl {
namespace {

struct Symbol {
  std::string_view text;
  TokenKind kind;
};

// Longer ones first: the first that fits is taken.
constexpr std::array<Symbol, 35> kSymbols = {
    {{"..", TokenKind::kDotDot},       {"//", TokenKind::kSlashSlash},  {"&&", TokenKind::kAmpAmp},
     {"||", TokenKind::kPipePipe},     {"<<", TokenKind::kShiftLeft},   {">>", TokenKind::kShiftRight},
     {"==", TokenKind::kEqual},        {"!=", TokenKind::kNotEqual},    {"<=", TokenKind::kLessEqual},
     {">=", TokenKind::kGreaterEqual}, {"(", TokenKind::kLeftParen},    {")", TokenKind::kRightParen},
     {"[", TokenKind::kLeftBracket},   {"]", TokenKind::kRightBracket}, {"{", TokenKind::kLeftBrace},
     {"}", TokenKind::kRightBrace},    {",", TokenKind::kComma},        {":", TokenKind::kColon},
     {"?", TokenKind::kQuestion},      {"=", TokenKind::kAssign},       {"+", TokenKind::kPlus},
     {"-", TokenKind::kMinus},         {"*", TokenKind::kStar},         {"/", TokenKind::kSlash},
     {"%", TokenKind::kPercent},       {"&", TokenKind::kAmp},          {"|", TokenKind::kPipe},
     {"^", TokenKind::kCaret},         {"~", TokenKind::kTilde},        {"!", TokenKind::kBang},
     {"<", TokenKind::kLess},          {">", TokenKind::kGreater},      {";", TokenKind::kSeparator},
     {"\n", TokenKind::kSeparator},    {"\r", TokenKind::kSeparator}}};

// Characters that people paste or bring from other languages.
struct Hint {
  std::string_view character;
  std::string_view hint;
};
constexpr std::array<Hint, 9> kHints = {{{"\u2264", "; write `<=`"},
                                         {"\u2265", "; write `>=`"},
                                         {"\u2260", "; write `!=`"},
                                         {"\u00d7", "; write `*`"},
                                         {"\u2212", "; write `-`"},
                                         {"\u2227", "; write `&&`"},
                                         {"\u2228", "; write `||`"},
                                         {"\u00ac", "; write `!`"},
                                         {".", "; there are no members here, and numbers start with a digit"}}};

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool starts_name(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
bool continues_name(char c) { return starts_name(c) || is_digit(c); }

TokenKind closer_of(TokenKind opener) {
  if (opener == TokenKind::kLeftParen) return TokenKind::kRightParen;
  return opener == TokenKind::kLeftBracket ? TokenKind::kRightBracket : TokenKind::kRightBrace;
}

class Lexer {
 public:
  Lexer(const SourceText& source, std::uint32_t number, DiagnosticEngine& diagnostics)
      : text_(source.text), number_(number), diagnostics_(diagnostics) {}

  std::vector<Token> run() {
    while (skip_blanks()) next();
    if (!open_.empty()) report_unclosed();
    push(TokenKind::kEnd, 0);
    return std::move(tokens_);
  }

 private:
  // Blanks and comments; false at the end of the text.
  bool skip_blanks() {
    while (at_ < text_.size()) {
      if (text_[at_] == '#') {
        while (at_ < text_.size() && text_[at_] != '\n') ++at_;
      } else if (text_[at_] == ' ' || text_[at_] == '\t' || text_[at_] == '\f' || text_[at_] == '\v') {
        ++at_;
      } else {
        return true;
      }
    }
    return false;
  }

  void next() {
    const char c = text_[at_];
    if (starts_name(c)) return lex_name();
    if (is_digit(c) || (c == '.' && at_ + 1 < text_.size() && is_digit(text_[at_ + 1]))) return lex_number();
    for (const Symbol& symbol : kSymbols) {
      if (text_.substr(at_).starts_with(symbol.text)) return lex_symbol(symbol);
    }
    lex_unexpected();
  }

  void lex_name() {
    std::size_t length = 1;
    while (at_ + length < text_.size() && continues_name(text_[at_ + length])) ++length;
    push(TokenKind::kName, length);
  }

  void lex_symbol(const Symbol& symbol) {
    const bool is_newline = symbol.text == "\n" || symbol.text == "\r";
    if (is_newline && goes_on()) {
      at_ += 1;
      return;
    }
    const std::size_t index = tokens_.size();
    push(symbol.kind, symbol.text.size());
    track_brackets(index);
  }

  // Whether the line break at at_ stands inside a statement.
  bool goes_on() {
    const bool statement = statement_follows();
    if (!open_.empty() && statement) report_unclosed();
    if (!open_.empty()) return true;
    return !tokens_.empty() && is_joining(tokens_.back()) && !statement;
  }

  void track_brackets(std::size_t index) {
    const TokenKind kind = tokens_[index].kind;
    if (kind == TokenKind::kLeftParen || kind == TokenKind::kLeftBracket || kind == TokenKind::kLeftBrace) {
      open_.push_back(index);
    } else if (kind == TokenKind::kRightParen || kind == TokenKind::kRightBracket || kind == TokenKind::kRightBrace) {
      close_bracket(tokens_[index]);
    }
  }

  void close_bracket(Token& closer) {
    if (open_.empty()) {
      diagnostics_.report(Kind::kUnbalancedBracket, closer.span, {describe(closer) + " closes nothing"});
      closer.kind = TokenKind::kProblem;
      return;
    }
    const Token& opener = tokens_[open_.back()];
    open_.pop_back();
    if (closer_of(opener.kind) == closer.kind) return;
    diagnostics_.report(Kind::kUnbalancedBracket, closer.span, {describe(closer) + " cannot close " + describe(opener)});
    closer.kind = TokenKind::kProblem;
  }

  void report_unclosed() {
    const Token& opener = tokens_[open_.back()];
    diagnostics_.report(Kind::kUnbalancedBracket, opener.span, {describe(opener) + " is never closed"});
    open_.clear();
    tokens_.push_back({TokenKind::kProblem, {number_, offset(at_), offset(at_)}, {}, 0});
  }

  // `let` is left out inside brackets, where it may stand.
  bool statement_follows() const {
    std::size_t at = at_;
    while (at < text_.size() && (text_[at] == ' ' || text_[at] == '\t' || text_[at] == '\n' || text_[at] == '\r')) ++at;
    std::size_t end = at;
    while (end < text_.size() && continues_name(text_[end])) ++end;
    const std::string_view word = text_.substr(at, end - at);
    while (end < text_.size() && text_[end] == ' ') ++end;
    const std::string_view rest = text_.substr(end);
    if (word == "score" || word == "mask") return rest.starts_with("=") && !rest.starts_with("==");
    const bool is_let = word == "let" && open_.empty();
    const bool declares = word == "param" || word == "const" || word == "buffer" || word == "def" || is_let;
    return declares && !rest.empty() && starts_name(rest.front());
  }

  void lex_number() {
    const bool hex = text_.substr(at_).starts_with("0x") || text_.substr(at_).starts_with("0X");
    const std::size_t length = hex ? hex_length() : decimal_length();
    const std::string_view digits = text_.substr(at_, length);
    const bool is_int = hex || digits.find_first_of(".eE") == std::string_view::npos;
    push(is_int ? TokenKind::kInt : TokenKind::kFloat, length);
    Token& token = tokens_.back();
    const std::optional<Kind> problem = is_int ? read_int(token, hex) : read_float(token);
    if (!problem) return;
    diagnostics_.report(*problem, token.span, {quoted(token.text)});
    token.kind = TokenKind::kProblem;
  }

  // The longest run that can only be meant as a number, so that `12abc` is one mistake.
  std::size_t hex_length() const {
    std::size_t length = 2;
    while (at_ + length < text_.size() && continues_name(text_[at_ + length])) ++length;
    return length;
  }
  std::size_t decimal_length() const {
    std::size_t length = 0;
    for (; at_ + length < text_.size(); ++length) {
      const char c = text_[at_ + length];
      if (text_.substr(at_ + length).starts_with("..")) break;
      const bool after_e = length > 0 && (text_[at_ + length - 1] == 'e' || text_[at_ + length - 1] == 'E');
      if (!continues_name(c) && c != '.' && !(after_e && (c == '+' || c == '-'))) break;
    }
    return length;
  }

  static std::optional<Kind> read_int(Token& token, bool hex) {
    const std::string_view digits = hex ? token.text.substr(2) : token.text;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), token.value, hex ? 16 : 10);
    if (error == std::errc::invalid_argument || end != digits.data() + digits.size()) return Kind::kMalformedNumber;
    // 2147483648 is left to the checker, which knows whether a minus precedes it. Hex spells bits: 0xffffffff is -1.
    const std::uint64_t most = hex ? 0xffffffffu : 0x80000000u;
    if (error == std::errc::result_out_of_range || token.value > most) return Kind::kIntRange;
    if (hex) token.value = static_cast<std::uint64_t>(static_cast<std::int64_t>(static_cast<std::int32_t>(token.value)));
    return std::nullopt;
  }

  static std::optional<Kind> read_float(Token& token) {
    double value = 0;
    const auto [end, error] = std::from_chars(token.text.data(), token.text.data() + token.text.size(), value);
    if (error == std::errc::invalid_argument || end != token.text.data() + token.text.size()) return Kind::kMalformedNumber;
    // The checker knows what a float can hold, and that no literal is infinite.
    if (error == std::errc::result_out_of_range) value = std::numeric_limits<double>::infinity();
    token.value = std::bit_cast<std::uint64_t>(value);
    return std::nullopt;
  }

  void lex_unexpected() {
    const std::size_t length = std::max(utf8_length(text_, at_), 1u);
    const std::string_view character = text_.substr(at_, length);
    std::string_view hint;
    for (const Hint& candidate : kHints) {
      if (character == candidate.character) hint = candidate.hint;
    }
    push(TokenKind::kProblem, length);
    const auto byte = static_cast<unsigned char>(character[0]);
    const bool is_text = utf8_length(character, 0) > 0 && byte >= 0x20 && byte != 0x7f;
    constexpr std::string_view kHex = "0123456789abcdef";
    const std::string shown = is_text ? quoted(character) : std::string("byte 0x") + kHex[byte >> 4] + kHex[byte & 15];
    diagnostics_.report(Kind::kUnexpectedCharacter, tokens_.back().span, {shown, hint});
  }

  void push(TokenKind kind, std::size_t length) {
    tokens_.push_back({kind, {number_, offset(at_), offset(at_ + length)}, text_.substr(at_, length), 0});
    at_ += length;
  }
  static std::uint32_t offset(std::size_t at) { return static_cast<std::uint32_t>(at); }

  std::string_view text_;
  std::uint32_t number_;
  DiagnosticEngine& diagnostics_;
  std::size_t at_ = 0;
  std::vector<std::size_t> open_;  // indices of opening brackets in tokens_
  std::vector<Token> tokens_;
};

}  // namespace

std::string describe(const Token& token) {
  if (token.kind == TokenKind::kEnd) return "the end of the text";
  if (token.kind == TokenKind::kSeparator) return token.text == ";" ? "`;`" : "the end of the line";
  return quoted(token.text);
}

bool is_joining(const Token& token) {
  const TokenKind kind = token.kind;
  if (kind == TokenKind::kName) return token.text == "and" || token.text == "or" || token.text == "not" || token.text == "in";
  return (kind >= TokenKind::kComma && kind <= TokenKind::kPipePipe) || kind == TokenKind::kCaret ||
         kind >= TokenKind::kShiftLeft;
}

std::vector<Token> lex(const SourceText& source, std::uint32_t number, DiagnosticEngine& diagnostics) {
  return Lexer(source, number, diagnostics).run();
}

}  // namespace flexjit::dsl
