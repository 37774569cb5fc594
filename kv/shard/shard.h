// Shard: what one core owns: the published index with its cache, and the pending writes.
#pragma once

namespace pakv {
class Shard;
}
