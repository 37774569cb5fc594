// The table of pakvd's options: how each is called, parsed, printed and explained. Where its values
// come from is config.h's.
#pragma once

#include <absl/status/status.h>

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cmd/pakvd/config.h"
#include "cmd/pakvd/process_facts.h"

namespace pakv {

// Options as they come together, with the switches that only say what to do with them.
struct ConfigDraft {
  ServerConfig config;
  bool check = false;
  bool print = false;
  bool version = false;
};

using OptionValues = std::vector<std::string>;

enum class OptionKind { kValue, kList, kSwitch };
// kFlag: in the environment it is an error; kFlagAlone: there it is somebody else's name.
enum class OptionPlaces { kEverywhere, kFlagAndEnvironment, kFlag, kFlagAlone };

struct ConfigOption {
  std::string_view name;
  std::string_view value;  // what stands for the value in the help text
  std::string_view help;
  std::string (*default_text)(const ProcessFacts&);
  absl::Status (*set)(ConfigDraft&, const OptionValues&);
  std::string (*print)(const ServerConfig&);  // null: not printed
  OptionKind kind = OptionKind::kValue;
  OptionPlaces places = OptionPlaces::kEverywhere;
};

// In the order in which they are printed.
std::span<const ConfigOption> ConfigOptions();

}  // namespace pakv
