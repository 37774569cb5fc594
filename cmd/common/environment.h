// The environment variables that are ours: those that begin with PAKV_.
#pragma once

#include <map>
#include <string>
#include <vector>

namespace pakv {

// By name.
using EnvironmentVariables = std::map<std::string, std::string, std::less<>>;

EnvironmentVariables ReadEnvironment();

// The parts of a variable that holds a list: "a,b" is a and b; "" is one empty part.
std::vector<std::string> SplitAtCommas(const std::string& text);

}  // namespace pakv
