// SPDX-License-Identifier: Apache-2.0
#include "agent/source/yaml_syntax.h"

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"

namespace pointsman {
namespace {

// The parser keeps the tokens of a whole line while a bracket in it is open: far more than any manifest needs.
constexpr int kMaxOpenBracketsPerLine = 2000;

// Length of the valid UTF-8 sequence at the start of `text`, 0 if there is none.
// Source: RFC 3629 section 4.
size_t Utf8Length(absl::string_view text) {
  const auto byte = [&](size_t i) -> unsigned { return i < text.size() ? static_cast<uint8_t>(text[i]) : 0; };
  const auto tail = [&](size_t i) { return (byte(i) & 0xc0) == 0x80; };
  const unsigned lead = byte(0);
  if (lead < 0x80) return 1;
  if (lead >= 0xc2 && lead <= 0xdf) return tail(1) ? 2 : 0;
  if (lead >= 0xe0 && lead <= 0xef) {
    const bool overlong = lead == 0xe0 && byte(1) < 0xa0;
    const bool surrogate = lead == 0xed && byte(1) > 0x9f;
    return tail(1) && tail(2) && !overlong && !surrogate ? 3 : 0;
  }
  if (lead >= 0xf0 && lead <= 0xf4) {
    const bool overlong = lead == 0xf0 && byte(1) < 0x90;
    const bool beyond = lead == 0xf4 && byte(1) > 0x8f;
    return tail(1) && tail(2) && tail(3) && !overlong && !beyond ? 4 : 0;
  }
  return 0;
}

// A line that holds a key, be it behind the dashes of list items. Columns are 0-based.
struct KeyLine {
  int dash = -1;   // of the outermost dash, if any
  int column = 0;  // of the key
  int colon = 0;
  absl::string_view key;
  absl::string_view value;  // without a comment
};

std::optional<KeyLine> ParseKeyLine(absl::string_view line) {
  KeyLine parsed;
  size_t at = line.find_first_not_of(' ');
  while (at < line.size() && line[at] == '-' && at + 1 < line.size() && line[at + 1] == ' ') {
    if (parsed.dash < 0) parsed.dash = static_cast<int>(at);
    at = line.find_first_not_of(' ', at + 1);
  }
  if (at >= line.size() || absl::StrContains("#[]{}&*!|>%@`,?", line.substr(at, 1))) return std::nullopt;
  size_t colon = at;
  if (line[at] == '"' || line[at] == '\'') {
    colon = line.find(line[at], at + 1);
    if (colon == absl::string_view::npos) return std::nullopt;
  }
  do {
    colon = line.find(':', colon);
    if (colon == absl::string_view::npos) return std::nullopt;
    ++colon;
  } while (colon < line.size() && line[colon] != ' ');
  parsed.column = static_cast<int>(at);
  parsed.colon = static_cast<int>(colon) - 1;
  parsed.key = line.substr(at, colon - 1 - at);
  parsed.value = line.substr(colon);
  if (const size_t comment = parsed.value.find(" #"); comment != absl::string_view::npos) {
    parsed.value = parsed.value.substr(0, comment);
  }
  parsed.value = absl::StripAsciiWhitespace(parsed.value);
  return parsed;
}

bool IsBlank(absl::string_view line) {
  line = absl::StripLeadingAsciiWhitespace(line);
  return line.empty() || line[0] == '#';
}

bool IsDocumentEnd(absl::string_view line) { return absl::StartsWith(line, "---") || absl::StartsWith(line, "..."); }

std::string Shorten(absl::string_view text) {
  constexpr size_t kMost = 40;
  std::string shown = absl::Utf8SafeCHexEscape(text.substr(0, kMost));
  if (text.size() > kMost) absl::StrAppend(&shown, "...");
  return shown;
}

std::string Key(const KeyLine& line) { return absl::StrCat("`", Shorten(line.key), ":`"); }

const char* Columns(int n) { return n == 1 ? "column" : "columns"; }

class Explainer {
 public:
  Explainer(absl::string_view text, const YamlError& error) : error_(error) {
    for (absl::string_view line : absl::StrSplit(text, '\n')) lines_.push_back(absl::StripSuffix(line, "\r"));
    // The end of the text is reported past the last line.
    at_ = std::clamp<size_t>(static_cast<size_t>(std::max(error.position.line, 1)) - 1, 0, lines_.size() - 1);
  }

  SyntaxProblem Explain() const {
    if (auto problem = ExplainTab()) return *std::move(problem);
    if (auto problem = ExplainTemplate()) return *std::move(problem);
    if (IsAboutStructure()) {
      if (auto problem = ExplainIndentation()) return *std::move(problem);
    }
    return ExplainMessage();
  }

 private:
  bool IsAboutStructure() const {
    return error_.message == "illegal map value" || error_.message == "end of map not found" ||
           error_.message == "end of sequence not found" || error_.message == "no document separator";
  }

  SyntaxProblem At(int column, std::string problem, std::string hint = "") const {
    return {{static_cast<int>(at_) + 1, column + 1}, std::move(problem), std::move(hint)};
  }

  std::optional<SyntaxProblem> ExplainTab() const {
    if (!IsAboutStructure() && error_.message != "illegal tab when looking for indentation") return std::nullopt;
    const absl::string_view line = lines_[at_];
    const size_t text = line.find_first_not_of(" \t");
    const size_t tab = line.find('\t');
    if (tab == absl::string_view::npos || tab > text) return std::nullopt;
    return At(static_cast<int>(tab), "a tab is used to indent this line; YAML takes blanks only",
              "replace the tab by blanks, to the column of the key's siblings");
  }

  // Braces are a map to the parser, which may only stumble over what follows them.
  std::optional<SyntaxProblem> ExplainTemplate() const {
    for (size_t i = at_ + 1; i-- > 0;) {
      const size_t brace = std::min(lines_[i].find("{{"), lines_[i].find("{%"));
      if (brace != absl::string_view::npos) {
        return SyntaxProblem{{static_cast<int>(i) + 1, static_cast<int>(brace) + 1},
                             "this looks like a template that was never rendered",
                             "give the rendered manifest, for instance the output of `helm template`"};
      }
      if (i < at_ && !IsBlank(lines_[i])) break;  // only this line and the one before it
    }
    return std::nullopt;
  }

  // The nearest key line above `from`, in the same document.
  std::optional<std::pair<size_t, KeyLine>> KeyAbove(size_t from) const {
    while (from-- > 0 && !IsDocumentEnd(lines_[from])) {
      if (IsBlank(lines_[from])) continue;
      if (auto key = ParseKeyLine(lines_[from])) return std::make_pair(from, *key);
    }
    return std::nullopt;
  }

  // True if a key that could be a sibling of one in `column` is open above the line.
  bool HasSibling(int column) const {
    int enclosing = INT32_MAX;
    size_t from = at_;
    while (auto above = KeyAbove(from)) {
      const KeyLine& key = above->second;
      if (key.column == column && key.column < enclosing) return true;
      enclosing = std::min(enclosing, key.column);
      if (enclosing < column) return false;
      from = above->first;
    }
    return false;
  }

  std::optional<SyntaxProblem> ExplainIndentation() const {
    const std::optional<KeyLine> here = ParseKeyLine(lines_[at_]);
    if (here && error_.message == "illegal map value" && error_.position.column - 1 > here->colon) {
      return At(error_.position.column - 1, absl::StrCat("the value of ", Key(*here), " holds another `key: value`"),
                "put each key on a line of its own, or quote the value");
    }
    if (auto problem = ExplainMissingBlank()) return problem;
    const auto found = KeyAbove(at_);
    if (!here || !found) return std::nullopt;
    const KeyLine& above = found->second;
    if (here->column > above.column && !above.value.empty()) {
      const int deeper = here->column - above.column;
      return At(here->column,
                absl::StrFormat("%s is indented %d %s deeper than %s in line %d, which already has a value", Key(*here),
                                deeper, Columns(deeper), Key(above), static_cast<int>(found->first) + 1),
                absl::StrFormat("keys of one map line up: start %s in column %d", Key(*here), above.column + 1));
    }
    if (here->dash >= 0 && here->column < above.column) return ExplainItem(*here);
    if (here->column < above.column && !HasSibling(here->column)) {
      return At(here->column,
                absl::StrFormat("%s starts in column %d, where no key above it does; %s in line %d starts in column %d",
                                Key(*here), here->column + 1, Key(above), static_cast<int>(found->first) + 1,
                                above.column + 1),
                "keys of one map line up: indent it like its siblings");
    }
    return std::nullopt;
  }

  // An item less indented than those above, in a list that is not theirs.
  std::optional<SyntaxProblem> ExplainItem(const KeyLine& here) const {
    for (auto above = KeyAbove(at_); above && above->second.column > here.dash; above = KeyAbove(above->first)) {
      if (above->second.dash < 0) continue;
      if (above->second.dash == here.dash) return std::nullopt;
      return At(here.dash,
                absl::StrFormat("this item starts in column %d, the items above it in column %d", here.dash + 1,
                                above->second.dash + 1),
                absl::StrFormat("items of one list line up: start the `-` in column %d", above->second.dash + 1));
    }
    return std::nullopt;
  }

  // "port:80" is a value, not a key; the parser notices with the next line.
  std::optional<SyntaxProblem> ExplainMissingBlank() const {
    for (size_t i = at_ + 1; i-- > 0;) {
      const absl::string_view line = lines_[i];
      if (IsBlank(line)) continue;
      const size_t colon = line.find(':');
      if (!ParseKeyLine(line) && colon != absl::string_view::npos && colon + 1 < line.size()) {
        const size_t begin = line.find_first_not_of(" -");
        const absl::string_view key = line.substr(begin, colon - begin);
        if (!key.empty() && std::all_of(key.begin(), key.end(), absl::ascii_isalnum)) {
          return SyntaxProblem{{static_cast<int>(i) + 1, static_cast<int>(colon) + 2},
                               absl::StrCat("there is no blank after `", Shorten(key), ":`"),
                               absl::StrCat("write `", Shorten(key), ": ", Shorten(line.substr(colon + 1)), "`")};
        }
      }
      if (i < at_) break;  // only this line and the one before it
    }
    return std::nullopt;
  }

  SyntaxProblem ExplainMessage() const {
    struct Row {
      const char* message;
      const char* problem;
      const char* hint;
    };
    static constexpr Row kRows[] = {
        {"illegal map value", "a `key: value` cannot stand here",
         "check the indentation; quote a value that holds `: `"},
        {"end of map not found", "this is neither a key of the map above nor outside it",
         "check the indentation, and that every key ends in `: `"},
        {"end of sequence not found", "this is neither an item of the list above nor outside it",
         "check the indentation, and that every item begins with `- `"},
        {"no document separator", "the document above is complete, and this does not belong to it",
         "check the indentation; separate documents by a line of `---`"},
        {"end of map flow not found", "a `{` is not closed, or a comma is missing before here", "close it with `}`"},
        {"end of sequence flow not found", "a `[` is not closed, or a comma is missing before here",
         "close it with `]`"},
        {"illegal flow end", "a closing bracket that matches no open one", ""},
        {"illegal block entry", "a list item (`- `) cannot stand here", "put the list on lines of its own"},
        {"illegal map key", "a key cannot stand here", "check the indentation"},
        {"illegal EOF in scalar", "a quoted text is not closed before the end of the file", "add the closing quote"},
        {"illegal document indicator in scalar", "a quoted text is not closed before the document ends",
         "add the closing quote"},
        {"unknown token", "a value cannot begin with this character", "put the value in quotes"},
        {"the referenced anchor is not defined", "an alias (`*name`) refers to an anchor (`&name`) not seen before it",
         "quote the value if it is not meant as an alias"},
        {"bad character found while scanning hex number", R"(a \x, \u or \U escape needs hexadecimal digits)",
         R"(write \\ for a backslash)"},
        {"nested too deeply", "lists and maps are nested too deeply here", ""},
    };
    for (const Row& row : kRows) {
      if (error_.message == row.message) return {error_.position, row.problem, row.hint};
    }
    if (absl::StartsWith(error_.message, "unknown escape character")) {
      return {error_.position, Shorten(error_.message), "write \\\\ for a backslash, or use single quotes"};
    }
    return {error_.position, absl::StrCat("not valid YAML: ", absl::Utf8SafeCHexEscape(error_.message)), ""};
  }

  const YamlError& error_;
  std::vector<absl::string_view> lines_;
  size_t at_ = 0;  // index of the line the error is in
};

}  // namespace

std::optional<SyntaxProblem> CheckText(absl::string_view text) {
  TextPosition position;
  int open = 0;
  while (!text.empty()) {
    const size_t length = Utf8Length(text);
    const char c = text[0];
    if (length == 0) {
      const auto byte = static_cast<unsigned>(static_cast<uint8_t>(c));
      return SyntaxProblem{position, absl::StrFormat("the byte 0x%02x is not UTF-8", byte), "save the file as UTF-8"};
    }
    if (c == '\n') {
      ++position.line;
      position.column = 1;
      open = 0;
    } else {
      if (static_cast<uint8_t>(c) < 0x20 && c != '\t' && c != '\r') {
        const unsigned code = static_cast<uint8_t>(c);
        return SyntaxProblem{position, absl::StrFormat("the control character 0x%02x cannot be part of YAML", code),
                             "remove it; a file written by halves may hold such bytes"};
      }
      if (c == '[' || c == '{') ++open;
      if (c == ']' || c == '}') --open;
      if (open > kMaxOpenBracketsPerLine) {
        return SyntaxProblem{position, "lists and maps are nested too deeply here", ""};
      }
      ++position.column;
    }
    text.remove_prefix(length);
  }
  return std::nullopt;
}

SyntaxProblem ExplainYamlError(absl::string_view text, const YamlError& error) {
  return Explainer(text, error).Explain();
}

std::string JoinSurrogates(absl::string_view json) {
  const auto unit = [&](size_t at) -> int {  // the UTF-16 unit of a "\uXXXX" at `at`, else -1
    const absl::string_view text = absl::ClippedSubstr(json, at, 6);
    if (text.size() != 6 || !absl::StartsWith(text, "\\u")) return -1;
    int value = 0;
    for (char c : text.substr(2)) {
      if (!absl::ascii_isxdigit(static_cast<unsigned char>(c))) return -1;
      value = value * 16 + (absl::ascii_isdigit(static_cast<unsigned char>(c)) ? c - '0' : (c | 0x20) - 'a' + 10);
    }
    return value;
  };
  std::string joined;
  joined.reserve(json.size());
  for (size_t i = 0; i < json.size();) {
    const int high = json[i] == '\\' ? unit(i) : -1;
    const int low = high >= 0xd800 && high < 0xdc00 ? unit(i + 6) : -1;
    if (low >= 0xdc00 && low < 0xe000) {
      absl::StrAppendFormat(&joined, "\\U%08x",
                            static_cast<unsigned>(0x10000 + (high - 0xd800) * 0x400 + low - 0xdc00));
      i += 12;
      continue;
    }
    // An escaped backslash is no beginning of an escape.
    const size_t length = json[i] == '\\' && i + 1 < json.size() ? 2 : 1;
    joined.append(json.data() + i, length);
    i += length;
  }
  return joined;
}

}  // namespace pointsman
