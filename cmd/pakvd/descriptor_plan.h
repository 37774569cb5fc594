// Who may have how many of the descriptors that this process may open (ulimit -n). What the store
// needs to write comes first and is never lent out: a log that cannot open its next segment
// refuses writes until it can (kv/log/files/shortage.h). The rest is for reads, for large values,
// and for clients, which wait where there are too few.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kv/shard/values/value_files.h"

namespace pakv {

struct DescriptorDemand {
  uint64_t file_limit = 0;      // as many may be open
  uint64_t open_count = 0;      // of them, before the server starts
  uint32_t listener_count = 1;  // addresses that are listened on
  uint32_t connection_count_max = 1;
};

struct DescriptorPlan {
  uint32_t connection_count_max = 0;
  size_t read_segments = 1;       // that each core keeps open
  ValueFilesOptions value_files;  // the bounds on each core; the other fields are as ever
};

// How many descriptors so many cores need, to serve one client at least.
uint64_t DescriptorsNeeded(const DescriptorDemand& demand, uint32_t core_count);
// The most cores, up to `core_count`, that the limit is enough for; 0: not even for one.
uint32_t CoresWithin(const DescriptorDemand& demand, uint32_t core_count);
// For as many cores as CoresWithin allows, at least one.
DescriptorPlan PlanDescriptors(const DescriptorDemand& demand, uint32_t core_count);

}  // namespace pakv
