#include "runtime/base/seeded_bug.h"

namespace pakv {
#ifdef PAKV_SIMULATOR
namespace {
SeededBug active_bug = SeededBug::kNone;
}  // namespace
SeededBug ActiveSeededBug() { return active_bug; }
void SetActiveSeededBug(SeededBug bug) { active_bug = bug; }
#endif
}  // namespace pakv
