"""Each rule of lint.py finds what it is there for, and leaves alone what is fine."""
import os
import tempfile
import unittest

import lint


def findings(files, rule):
    """(path, line) of each finding of a rule in a tree of these files."""
    with tempfile.TemporaryDirectory() as root:
        for path, text in files.items():
            os.makedirs(os.path.dirname(os.path.join(root, path)) or root, exist_ok=True)
            with open(os.path.join(root, path), "w", encoding="utf-8") as file:
                file.write(text)
        return [(path, line) for path, line, _ in rule(lint.Tree(root))]


class LayersTest(unittest.TestCase):
    def check(self, source, target, expected):
        files = {source: f'#include "{target}"\n', target: ""}
        self.assertEqual(findings(files, lint.check_includes), [(source, 1)] * expected,
                         f"{source} includes {target}")

    def test_include_of_a_layer_above_is_found(self):
        self.check("kv/index/a.cc", "net/resp/wire/b.h", 1)
        self.check("net/resp/wire/a.cc", "kv/index/b.h", 0)

    def test_include_of_a_later_room_is_found(self):
        self.check("runtime/base/a.h", "runtime/task/b.h", 1)
        self.check("runtime/task/a.h", "runtime/base/b.h", 0)
        self.check("runtime/task/a.h", "runtime/task/b.h", 0)

    def test_rooms_within_a_room_have_their_order(self):
        self.check("net/resp/wire/a.h", "net/resp/table/b.h", 1)
        self.check("net/resp/table/a.h", "net/resp/wire/b.h", 0)
        self.check("net/resp/table/a.h", "net/pakv/b.h", 1)
        self.check("net/resp/table/a.h", "net/session/b.h", 0)

    def test_include_of_tests_or_perf_is_found(self):
        self.check("cmd/pakvd/a.cc", "tests/sim/b.h", 1)
        self.check("net/resp/wire/a.cc", "perf/micro/b.h", 1)
        self.check("tests/net/a.cc", "tests/sim/b.h", 0)
        self.check("perf/micro/a.cc", "kv/index/b.h", 0)

    def test_include_that_is_not_root_relative_is_found(self):
        files = {"kv/index/a.cc": '#include "b.h"\n', "kv/index/b.h": ""}
        self.assertEqual(findings(files, lint.check_includes), [("kv/index/a.cc", 1)])

    def test_include_of_liburing_outside_of_its_ring_is_found(self):
        text = "#include <liburing.h>\n"
        files = {"runtime/io/file.cc": text, "runtime/io/uring_ring.cc": text, "perf/a.cc": text}
        self.assertEqual(findings(files, lint.check_includes), [("runtime/io/file.cc", 1)])

    def test_file_outside_of_every_room_is_found(self):
        files = {"kv/a.cc": "", "kv/attic/a.cc": "", "kv/index/a.cc": "", "perf/a.cc": "",
                 "net/resp/wire/a.cc": "", "net/resp/attic/a.cc": "", "net/wire/a.cc": ""}
        self.assertEqual(sorted(findings(files, lint.check_places)),
                         [("kv/a.cc", 1), ("kv/attic/a.cc", 1), ("net/resp/attic/a.cc", 1),
                          ("net/wire/a.cc", 1)])

    def test_test_that_does_not_lie_in_a_room_of_its_layer_is_found(self):
        files = {"tests/kv/a_test.cc": "", "tests/kv/attic/a_test.cc": "",
                 "tests/net/res/a_test.cc": "", "tests/net/resp/a_test.cc": "",
                 "tests/net/resp/wire/a_test.cc": "", "tests/sim/a_test.cc": ""}
        self.assertEqual(sorted(findings(files, lint.check_places)),
                         [("tests/kv/a_test.cc", 1), ("tests/kv/attic/a_test.cc", 1),
                          ("tests/net/res/a_test.cc", 1)])


class RoomsTest(unittest.TestCase):
    # Each room of the table with one file.
    ROOMS = {f"{layer}/{room}/a.h": "" for layer, rooms in lint.ROOMS.items() for room in rooms}

    def test_room_of_the_table_without_sources_is_found(self):
        self.assertEqual(findings(self.ROOMS, lint.check_rooms), [])
        files = {path: text for path, text in self.ROOMS.items() if path != "kv/tools/a.h"}
        self.assertEqual(findings(files, lint.check_rooms), [(".ci/lint.py", 1)])

    def test_crowded_folder_is_found(self):
        letters = "bcdefghijklmnopqrs"
        self.assertEqual(len(letters), lint.SUBJECTS_MAX)
        files = {f"tests/sim/{letter}.{end}": "" for letter in letters for end in ("h", "cc")}
        files.update({f"kv/index/{letter}.cc": "" for letter in letters})  # beside a.h
        files.update(self.ROOMS)
        self.assertEqual(findings(files, lint.check_rooms), [("kv/index", 1)])

    def test_parts_of_one_class_are_one_subject(self):
        names = ["shard.h", "shard.cc", "shard_life.cc", "shard_of_two.cc", "shard_test.cc",
                 "shards.cc", "log_test.cc"]
        self.assertEqual(lint.subjects(names), {"shard", "shard_test", "shards", "log_test"})


class LengthsTest(unittest.TestCase):
    def test_long_line_is_found(self):
        files = {"kv/index/a.cc": "x" * 100 + "\n" + "x" * 101 + "\n"}
        self.assertEqual(findings(files, lint.check_lengths), [("kv/index/a.cc", 2)])

    def test_columns_are_counted_not_bytes(self):
        self.assertEqual(findings({"kv/index/a.cc": "ü" * 100}, lint.check_lengths), [])

    def test_long_file_needs_its_reason(self):
        self.assertEqual(findings({"kv/index/a.cc": "\n" * 500}, lint.check_lengths), [])
        self.assertEqual(len(findings({"kv/index/a.cc": "\n" * 501}, lint.check_lengths)), 1)
        reason = "// Long because: one table.\n"
        self.assertEqual(findings({"kv/index/a.cc": reason + "\n" * 500}, lint.check_lengths), [])

    def test_no_reason_allows_more_than_the_limit(self):
        text = "// Long because: one table.\n" + "\n" * 800
        self.assertEqual(len(findings({"kv/index/a.cc": text}, lint.check_lengths)), 1)


class BannedTest(unittest.TestCase):
    def check(self, path, line, expected):
        self.assertEqual(findings({path: line + "\n"}, lint.check_banned), [(path, 1)] * expected,
                         line)

    def test_every_banned_call_is_found(self):
        for line in ["int i = rand();", "std::random_device d;", "system_clock::now();",
                     "auto t = time(nullptr);", "clock_gettime(c, &t);", "usleep(5);",
                     "sleep(1);", "nanosleep(&t, 0);", "std::this_thread::sleep_for(d);",
                     "std::mutex m;", "std::condition_variable c;", "std::thread t(f);",
                     "task.Detach();", "thread.detach();", 'getenv("X");']:
            self.check("kv/index/a.cc", line, 1)

    def test_names_that_only_look_like_them_are_left_alone(self):
        for line in ["SeededRand(1);", "clock.time(0);", "int sleeping = 0;", "Operand(1);",
                     "// rand() is banned", 'Log("usleep(5)");', "x = R\"(rand())\";",
                     "int64_t n = 1'000'000; char c = '\"';"]:
            self.check("kv/index/a.cc", line, 0)

    def test_files_that_may_are_left_alone(self):
        self.check("runtime/base/clock.cc", "clock_gettime(c, &t);", 0)
        self.check("runtime/core/cores.cc", "std::mutex m; ", 0)
        self.check("runtime/core/blocking_pool.h", "std::thread t;", 0)
        self.check("runtime/core/mailbox.h", "std::mutex m;", 1)
        self.check("cmd/pakvd/config.cc", 'getenv("X");', 0)
        self.check("tests/runtime/a_test.cc", "std::thread t(f);", 0)
        self.check("tests/runtime/a_test.cc", "usleep(5);", 1)

    def test_unfinished_work_is_found(self):
        self.check("kv/index/a.cc", "// TO" "DO: later", 1)
        self.check("tests/kv/a_test.cc", "TEST(A, DIS" "ABLED_B) {", 1)


class SeededBugsTest(unittest.TestCase):
    ENUM = "enum class SeededBug : int {\n  kNone,\n  kLost,  // why\n  kCount,\n};\n"

    def check(self, code, simulation, expected):
        files = {lint.BUG_HEADER: self.ENUM, "kv/index/a.cc": code, "tests/sim/a.cc": simulation}
        self.assertEqual(len(findings(files, lint.check_seeded_bugs)), expected)

    def test_bug_with_a_place_and_a_simulation_is_fine(self):
        self.check("if (PAKV_BUG(kLost)) {", "SeededBug::kLost", 0)

    def test_bug_without_a_place_is_found(self):
        self.check("// PAKV_BUG(kLost)", "SeededBug::kLost", 1)

    def test_bug_without_a_simulation_is_found(self):
        self.check("if (PAKV_BUG(kLost)) {", "", 1)

    def test_unknown_bug_is_found(self):
        self.check("if (PAKV_BUG(kLost) || PAKV_BUG(kOther)) {", "SeededBug::kLost", 1)

    def test_bug_asked_for_behind_the_macro_is_found(self):
        self.check("PAKV_BUG(kLost); ActiveSeededBug();", "SeededBug::kLost", 1)


if __name__ == "__main__":
    unittest.main()
