#include "runtime/base/counted.h"

namespace pakv {

std::string Counted(uint64_t count, std::string_view thing) {
  std::string text = std::to_string(count);
  text.append(" ").append(thing);
  if (count != 1) text += 's';
  return text;
}

}  // namespace pakv
