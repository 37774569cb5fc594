// Numbers in messages: "1 key", "2 keys".
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace pakv {

// "1 segment", "0 segments", "7 segments"; `thing` is one of them.
std::string Counted(uint64_t count, std::string_view thing);

}  // namespace pakv
