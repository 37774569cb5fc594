#include "cmd/common/usage.h"

#include <algorithm>
#include <cstddef>

namespace pakv {
namespace {

// Whatever is longer is no word of ours, and not worth the work.
constexpr size_t kWordBytesMax = 64;
// Up to this length one letter makes enough of a difference.
constexpr size_t kShortWordBytes = 5;

// How many letters are to be put in, taken out, replaced or swapped with their neighbour.
size_t LettersAmiss(std::string_view a, std::string_view b) {
  // Row i: what it takes from the first i letters of a to each beginning of b.
  std::vector<size_t> before_last;
  std::vector<size_t> last(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) last[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    std::vector<size_t> row(b.size() + 1);
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t replaced = last[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      row[j] = std::min({last[j] + 1, row[j - 1] + 1, replaced});
      const bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
      if (swapped) row[j] = std::min(row[j], before_last[j - 2] + 1);
    }
    before_last = std::move(last);
    last = std::move(row);
  }
  return last[b.size()];
}

}  // namespace

std::string UsageOf(const CLI::App& command) {
  std::string positionals;
  std::string options;
  for (const CLI::Option* option : command.get_options()) {
    if (option == command.get_help_ptr()) continue;
    std::string word = option->get_name();
    if (option->get_positional()) {
      if (option->get_allow_extra_args()) word += "...";
      positionals.append(option->get_required() ? " " : " [").append(word);
      if (!option->get_required()) positionals.append("]");
      continue;
    }
    const std::string type = option->get_type_name();
    const bool takes_value = option->get_items_expected_max() > 0 && !type.empty();
    options.append(" [").append(word);
    if (takes_value) options.append(" ").append(type);
    options.append("]");
  }
  return command.get_name() + positionals + options;
}

std::optional<std::string> ClosestWord(std::string_view word,
                                       const std::vector<std::string>& known) {
  const std::string_view letters = word.substr(std::min(word.find_first_not_of('-'), word.size()));
  if (letters.size() < 2 || word.size() > kWordBytesMax) return std::nullopt;
  size_t amiss_max = letters.size() <= kShortWordBytes ? 1 : 2;
  std::optional<std::string> closest;
  for (const std::string& candidate : known) {
    const size_t amiss = LettersAmiss(word, candidate);
    if (amiss > amiss_max || (closest && amiss == amiss_max)) continue;
    amiss_max = amiss;
    closest = candidate;
  }
  for (const std::string& candidate : known) {
    if (!closest && candidate.starts_with(word)) closest = candidate;
  }
  return closest;
}

}  // namespace pakv
