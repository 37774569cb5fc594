"""The rules of the tree that no compiler knows. `./dev lint` checks all of them,
`./dev lint --fast` all but clang-tidy's. Prints one finding per line and exits 1 if there is any.
What a rule forbids is in the tables below; lint_test.py shows that each finds what it is there for.

Results of the compilers are kept in build-clang/lint/ by a digest of the file and of all that it
includes, so a second run asks them only about what has changed.
"""
import concurrent.futures
import hashlib
import json
import os
import re
import shlex
import subprocess
import sys

# ---- The tree's architecture: a folder includes itself and the folders before it in this table;
# inside a folder, a room includes itself and the rooms before it. What would crowd a room stands in
# rooms of its own inside of it ("resp/wire"). tests/ has the same rooms, and those around them
# ("tests/net/resp"). ----
ROOMS = {
    "runtime": ["base", "task", "io", "core"],
    "kv": ["log/format", "log/files", "log/write", "log/read", "index", "shard/messages",
           "shard/state", "shard/values", "shard", "store/memory", "store/start",
           "store/compaction", "store", "tools"],
    "net": ["options", "text", "session/buffers", "session", "resp/wire", "resp/table",
            "resp/protocol", "resp/commands", "pakv", "admin", "client", "server"],
    "cmd": ["common", "pakvd", "pakvctl/interface", "pakvctl/client", "pakvctl/transfer",
            "pakvctl/commands", "pakvctl"],
}
LAYERS = list(ROOMS)
# May include everything; nothing includes them.
OUTSIDE = ["tests", "perf"]
EVERYWHERE = LAYERS + OUTSIDE
# Of one folder; a header with its sources is one, and so is a test.
SUBJECTS_MAX = 18

# Libraries that one place alone knows.
OWNED_HEADERS = {"liburing.h": ["runtime/io/uring_ring."]}

LINE_LENGTH_MAX = 100
FILE_LINES_EXPLAINED = 500
FILE_LINES_MAX = 800
REASON = "Long because:"

# ---- Calls that have a replacement: (pattern, where it applies, files that may, replacement). ----
BANNED = [
    (r"\b(rand|srand|random|drand48)\s*\(|\bstd::(random_device|mt19937(_64)?)\b", EVERYWHERE, [],
     "seeded numbers come from runtime/base/prng.h"),
    (r"\bsystem_clock\b|\bsteady_clock\b|\bhigh_resolution_clock\b|\bgettimeofday\s*\("
     r"|\bclock_gettime\s*\(|(?<![\w.>])time\s*\(\s*(nullptr|NULL|0|&)", LAYERS,
     ["runtime/base/clock.cc"],
     "time comes from runtime/base/clock.h, so that it can be virtual"),
    (r"\b(u|nano|clock_nano)?sleep\s*\(|\bsleep_(for|until)\b", EVERYWHERE, [],
     "wait for an Event, or for a timer of runtime/io/timer.h"),
    (r"\bstd::(recursive_|shared_|timed_)?mutex\b|\bstd::condition_variable\b|\bpthread_mutex_",
     LAYERS, ["runtime/core/cores.", "runtime/core/blocking_pool.", "runtime/base/log."],
     "cores share nothing: send a message (CallOn)"),
    (r"\bstd::j?thread\b|\bpthread_create\b|\bstd::async\b", LAYERS, ["runtime/core/"],
     "threads belong to Cores and BlockingPool"),
    (r"\bDetach\s*\(|\.detach\s*\(", EVERYWHERE, [],
     "await the Task, or give it to a Nursery"),
    (r"\b(secure_)?getenv\s*\(", LAYERS, ["cmd/"],
     "configuration is read in cmd and handed down as options"),
]
# Looked for in comments and strings too.
BANNED_WORDS = [
    (r"\b(TODO|FIXME|XXX)\b", "do it, or open an issue"),
    (r"\bDISABLED_", "a test runs, or goes"),
]

TIDY_FOLDERS = LAYERS


class Tree:
    """The sources below a root, read once."""

    def __init__(self, root):
        self.root = root
        self.text = {}
        for folder in EVERYWHERE:
            for path, _, names in os.walk(os.path.join(root, folder)):
                for name in names:
                    if name.endswith((".h", ".cc", ".py", "meson.build")):
                        self._read(os.path.relpath(os.path.join(path, name), root))
        for path in ["dev", "meson.build", ".ci/run", ".ci/lint.py", ".ci/lint_test.py",
                     ".ci/count_tests.py", ".ci/count_tests_test.py"]:
            if os.path.exists(os.path.join(root, path)):
                self._read(path)
        self.code = {path: strip(text) for path, text in self.text.items() if is_cpp(path)}
        self.includes = {path: find_includes(self.text[path]) for path in self.code}
        self.headers = sorted(path for path in self.code if path.endswith(".h"))

    def _read(self, path):
        with open(os.path.join(self.root, path), encoding="utf-8") as file:
            self.text[path] = file.read()

    def closure(self, path):
        """The file and all files of the tree that it includes, directly or not."""
        seen, todo = set(), [path]
        while todo:
            path = todo.pop()
            if path in self.code and path not in seen:
                seen.add(path)
                todo += [name for _, quoted, name in self.includes[path] if quoted]
        return sorted(seen)

    def digest(self, path, *more):
        content = hashlib.sha256("\0".join(more).encode())
        for each in self.closure(path):
            content.update(f"{each}\0{self.text[each]}\0".encode())
        return content.hexdigest()


def is_cpp(path):
    return path.endswith((".h", ".cc"))


def strip(text):
    """The code alone: comments and what stands in literals become blanks, lines stay."""
    pattern = (r'R"(?P<tag>[^\s()\\]{0,16})\(.*?\)(?P=tag)"'
               r"|//[^\n]*|/\*.*?\*/|\"(?:\\.|[^\"\\\n])*\"|(?<![0-9a-fA-F])'(?:\\.|[^'\\\n])*'")
    return re.sub(pattern, lambda match: re.sub(r"[^\n]", " ", match.group()), text,
                  flags=re.DOTALL)


def find_includes(text):
    """(line, is quoted, name) of each #include."""
    result = []
    for number, line in enumerate(text.split("\n"), 1):
        match = re.match(r'\s*#\s*include\s*(?:"([^"]+)"|<([^>]+)>)', line)
        if match:
            result.append((number, match[1] is not None, match[1] or match[2]))
    return result


# ---- Rules: each yields (path, line, message). ----


def check_places(tree):
    for path in tree.code:
        parts = path.split("/")
        if parts[0] in ROOMS and room_of(parts) not in ROOMS[parts[0]]:
            yield path, 1, f"lies in no room of {parts[0]}/: {', '.join(ROOMS[parts[0]])}"
        if parts[0] == "tests" and parts[1] in ROOMS:
            room, rooms = room_of(parts[1:]), ROOMS[parts[1]]
            if not room or not any(f"{each}/".startswith(f"{room}/") for each in rooms):
                yield path, 1, (f"lies in no room that {parts[1]}/ has too, or the start of one: "
                                f"{', '.join(rooms)}")


def room_of(parts):
    """The room of a file, by its path's components: all between its top folder and its name."""
    return "/".join(parts[1:-1])


def check_rooms(tree):
    """Each room of the table is there, and none has become a heap."""
    folders = {}
    for path in tree.code:
        folders.setdefault(os.path.dirname(path), []).append(os.path.basename(path))
    for layer, rooms in ROOMS.items():
        for room in rooms:
            if f"{layer}/{room}" not in folders:
                yield ".ci/lint.py", 1, f"ROOMS names {layer}/{room}, which has no sources"
    for folder, names in sorted(folders.items()):
        count = len(subjects(names))
        if count > SUBJECTS_MAX:
            yield folder, 1, (f"{count} subjects in one folder, at most {SUBJECTS_MAX}: give those "
                              "that belong together a room of their own")


def subjects(names):
    """What the files of a folder are about: shard.h, shard.cc and shard_life.cc are of "shard"."""
    headers = {name[:-2] for name in names if name.endswith(".h")}
    found = set()
    for name in names:
        stem = name.rsplit(".", 1)[0]
        prefix = stem
        while prefix not in headers and "_" in prefix and not stem.endswith("_test"):
            prefix = prefix.rsplit("_", 1)[0]
        found.add(prefix if prefix in headers else stem)
    return found


def check_includes(tree):
    for path, includes in tree.includes.items():
        for line, quoted, name in includes:
            if not quoted:
                owners = OWNED_HEADERS.get(name)
                if owners and path.startswith(tuple(LAYERS)) and not path.startswith(tuple(owners)):
                    yield path, line, f"<{name}> is known to {owners[0]}* alone"
            elif name not in tree.code:
                if "/" not in name or name.split("/")[0] in EVERYWHERE:
                    yield path, line, f'"{name}" is no file of the tree: includes are root-relative'
            else:
                message = forbidden(path.split("/"), name.split("/"))
                if message:
                    yield path, line, f'includes "{name}": {message}'


def forbidden(source, target):
    """Why `source` may not include `target`, both as path components; None if it may."""
    if source[0] in OUTSIDE:
        return None
    if target[0] in OUTSIDE:
        return f"nothing includes {target[0]}/"
    if LAYERS.index(target[0]) > LAYERS.index(source[0]):
        return f"{target[0]} is above {source[0]} ({' -> '.join(reversed(LAYERS))})"
    rooms = ROOMS[source[0]]
    here, there = room_of(source), room_of(target)
    if target[0] == source[0] and here in rooms and there in rooms:
        if rooms.index(there) > rooms.index(here):
            return f"room {there} comes after {here} ({', '.join(rooms)})"
    return None


def check_lengths(tree):
    for path, text in tree.text.items():
        lines = text.split("\n")
        for number, line in enumerate(lines, 1):
            if len(line) > LINE_LENGTH_MAX:
                yield path, number, f"{len(line)} columns, at most {LINE_LENGTH_MAX}"
        count = text.count("\n")
        if count > FILE_LINES_MAX:
            yield path, count, f"{count} lines, at most {FILE_LINES_MAX}: split it"
        elif count > FILE_LINES_EXPLAINED and not any(REASON in line for line in lines[:30]):
            yield path, count, (f"{count} lines: above {FILE_LINES_EXPLAINED} the header comment "
                                f"says why ({REASON} ...)")


def check_banned(tree):
    for path, code in tree.code.items():
        for pattern, folders, allowed, replacement in BANNED:
            if path.split("/")[0] not in folders or path.startswith(tuple(allowed)):
                continue
            for match in re.finditer(pattern, code):
                yield path, line_of(code, match), f"{match.group().strip('( ')}: {replacement}"
        for pattern, replacement in BANNED_WORDS:
            for match in re.finditer(pattern, tree.text[path]):
                yield path, line_of(tree.text[path], match), f"{match.group()}: {replacement}"


def check_headers_guarded(tree):
    for path in tree.headers:
        if not re.search(r"^#pragma once$", tree.text[path], re.MULTILINE):
            yield path, 1, "no #pragma once"


BUG_HEADER = "runtime/base/seeded_bug.h"


def seeded_bugs(tree):
    body = re.search(r"enum class SeededBug[^{]*{(.*?)}", tree.code[BUG_HEADER], re.DOTALL)
    return [name for name in re.findall(r"\bk\w+", body[1]) if name not in ("kNone", "kCount")]


def check_seeded_bugs(tree):
    """Each bug has its place in the code and a simulation that has to find it."""
    if BUG_HEADER not in tree.code:
        return
    known = seeded_bugs(tree)
    placed, sought = set(), set()
    for path, code in tree.code.items():
        folder = path.split("/")[0]
        if path.startswith("tests/sim/"):
            sought.update(re.findall(r"\bSeededBug::(k\w+)", code))
        if path.startswith("runtime/base/seeded_bug."):
            continue
        for match in re.finditer(r"\bPAKV_BUG\s*\(\s*(\w+)\s*\)", code):
            if match[1] not in known:
                yield path, line_of(code, match), f"{match[1]} is no SeededBug"
            elif folder in LAYERS:
                placed.add(match[1])
        if folder in LAYERS:
            for match in re.finditer(r"\bActiveSeededBug\b|\bSetActiveSeededBug\b"
                                     r"|#\s*define\s+PAKV_(BUG|SIMULATOR)\b", code):
                yield path, line_of(code, match), "seeded bugs are asked for by PAKV_BUG alone"
    code = tree.code[BUG_HEADER]
    for name in known:
        line = line_of(code, re.search(rf"\b{name}\b", code))
        if name not in placed:
            yield BUG_HEADER, line, f"{name} has no PAKV_BUG({name}) in the code"
        if name not in sought:
            yield BUG_HEADER, line, f"{name} is sought by nothing in tests/sim"


def line_of(text, match):
    return text.count("\n", 0, match.start()) + 1


# ---- Rules that ask a compiler. ----


class Compiler:
    """Asks clang about single files, with build-clang's flags, and remembers what was fine."""

    def __init__(self, tree):
        self.tree = tree
        self.folder = os.path.join(tree.root, "build-clang")
        with open(os.path.join(self.folder, "compile_commands.json"), encoding="utf-8") as file:
            commands = json.load(file)
        self.flags = {}
        for each in commands:
            path = os.path.relpath(os.path.join(each["directory"], each["file"]), tree.root)
            self.flags[path] = self._flags(shlex.split(each["command"]))
        self.cache = os.path.join(self.folder, "lint")
        os.makedirs(self.cache, exist_ok=True)

    @staticmethod
    def _flags(command):
        """What of a compile command says how to read a source: no files, no output, no ccache."""
        flags, skip = [], False
        for argument in command[1:]:
            if skip or not argument.startswith("-"):
                skip = False
            elif argument in ("-o", "-MF", "-MQ", "-MT"):
                skip = True
            elif argument not in ("-c", "-MD", "-MMD", "-pipe", "-fcolor-diagnostics"):
                flags.append(argument)
        return flags

    def flags_for(self, path):
        """The flags of the file's own source, else of its folder's, else of any."""
        own = path[:-2] + ".cc"
        folder = path.split("/")[0] + "/"
        for wanted in (own, folder, ""):
            for known in sorted(self.flags):
                if known.startswith(wanted):
                    return self.flags[known]
        return []

    def remembered(self, digest):
        return os.path.exists(os.path.join(self.cache, digest))

    def remember(self, digest):
        with open(os.path.join(self.cache, digest), "w", encoding="utf-8"):
            pass

    def syntax(self, source, flags):
        """The compiler's complaints about a source text, empty if it has none."""
        command = ["clang++-19", *flags, "-fno-color-diagnostics", "-fsyntax-only", "-x", "c++",
                   "-"]
        result = subprocess.run(command, cwd=self.folder, input=source, text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        return "" if result.returncode == 0 else result.stdout

    def header_alone(self, path):
        flags = self.flags_for(path)
        digest = self.tree.digest(path, "alone", *flags)
        if self.remembered(digest):
            return
        complaint = self.syntax(f'#include "{path}"\n', flags)
        if complaint:
            yield path, 1, "does not compile alone:\n" + complaint
        else:
            self.remember(digest)

    def bugs_constant(self, path):
        """Outside the simulator's build every PAKV_BUG is the constant false."""
        if path not in self.tree.code:
            return
        names = seeded_bugs(self.tree)
        source = f'#include "{path}"\n' + "".join(
            f'static_assert(!PAKV_BUG({name}), "{name}");\n' for name in names)
        complaint = self.syntax(source, self.flags_for(path))
        if complaint:
            yield path, 1, "PAKV_BUG is not constant false outside the simulator:\n" + complaint
        for file, flags in self.flags.items():
            if any("PAKV_SIMULATOR" in flag for flag in flags):
                yield file, 1, "PAKV_SIMULATOR is defined outside the simulator's build"

    def tidy(self, path):
        with open(os.path.join(self.tree.root, ".clang-tidy"), encoding="utf-8") as file:
            digest = self.tree.digest(path, "tidy", file.read(), *self.flags_for(path))
        if self.remembered(digest):
            return
        result = subprocess.run(["clang-tidy-19", "--quiet", "-p", self.folder, path],
                                cwd=self.tree.root, text=True, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, check=False)
        if result.returncode != 0 or result.stdout.strip():
            yield path, 1, "clang-tidy:\n" + (result.stdout or result.stderr)
        else:
            self.remember(digest)


def check_format(tree):
    if not tree.code:
        return
    result = subprocess.run(["clang-format-19", "--dry-run", "--Werror", *sorted(tree.code)],
                            cwd=tree.root, text=True, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, check=False)
    lines = set(re.findall(r"^([^:\n]+):(\d+):\d+: error", result.stdout, re.MULTILINE))
    if result.returncode != 0 and not lines:
        yield ".clang-format", 1, result.stdout
    for path, line in sorted(lines, key=lambda each: (each[0], int(each[1]))):
        yield path, int(line), "not as clang-format has it: ./dev fmt"


READING_RULES = [check_places, check_rooms, check_includes, check_lengths, check_banned,
                 check_headers_guarded, check_seeded_bugs]


def main():
    if sys.argv[1:] not in ([], ["--fast"]):
        sys.exit("usage: lint.py [--fast]")
    fast = bool(sys.argv[1:])
    tree = Tree(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    findings = [each for rule in READING_RULES + [check_format] for each in rule(tree)]

    compiler = Compiler(tree)
    questions = [(compiler.header_alone, path) for path in tree.headers]
    questions.append((compiler.bugs_constant, BUG_HEADER))
    if not fast:
        questions += [(compiler.tidy, path) for path in sorted(compiler.flags)
                      if path.split("/")[0] in TIDY_FOLDERS and path in tree.code]
    with concurrent.futures.ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        for answer in pool.map(lambda question: list(question[0](question[1])), questions):
            findings += answer

    for path, line, message in findings:
        print(f"{path}:{line}: {message}")
    print(f"lint: {len(tree.text)} files, {len(findings)} findings")
    sys.exit(1 if findings else 0)


if __name__ == "__main__":
    main()
