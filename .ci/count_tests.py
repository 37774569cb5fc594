"""Prints `passed failed skipped` for the last `meson test` of a build folder, counted over test
cases: GoogleTest programs and scripts that speak TAP tell theirs, any other program is one case.
A program that crashed, ran out of time or did not build counts as a failure, if no case of its own
does. Each case that was skipped follows on a line of its own, `- PROGRAM: CASE: WHY`.

usage: count_tests.py FOLDER STATUS    STATUS is meson's exit code
"""
import json
import os
import sys
import xml.etree.ElementTree as ElementTree

BAD = ("FAIL", "ERROR", "TIMEOUT", "INTERRUPT", "UNEXPECTEDPASS")


def bad_programs(path):
    """Names of the tests of meson that did not end well."""
    with open(path, encoding="utf-8") as lines:
        tests = [json.loads(line) for line in lines]
    return {test["name"] for test in tests if test["result"] in BAD}


def reason(case):
    """Why it was skipped, as far as anybody says."""
    skipped = case.find("skipped")
    text = (skipped.get("message") or "") if skipped is not None else ""
    output = case.find("system-out")
    if not text and output is not None:
        text = output.text or ""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else ""


def count(junit, bad):
    """(passed, failed, skipped, what was skipped)."""
    passed = failed = 0
    skipped = []
    told = set()  # programs with a failure that was counted
    for suite in ElementTree.parse(junit).getroot().iter("testsuite"):
        # pakv: programs that are one case. pakv.PROGRAM[.SUITE]: the cases of one.
        names = suite.get("name").split(".")
        for case in suite.iter("testcase"):
            program = names[1] if len(names) > 1 else case.get("name")
            is_whole = len(names) == 1
            if (case.find("failure") is not None or case.find("error") is not None or
                    is_whole and program in bad):
                failed += 1
                told.add(program)
            elif case.find("skipped") is not None or case.get("status") == "notrun":
                name = "" if is_whole else f": {case.get('name')}"
                why = reason(case)
                # "pakv:e2e / e2e_clients" is meson's name for it.
                skipped.append(program.split(" / ")[-1] + name + (f": {why}" if why else ""))
            else:
                passed += 1
    return passed, failed + len(bad - told), len(skipped), skipped


def main():
    folder, status = sys.argv[1], int(sys.argv[2])
    logs = os.path.join(folder, "meson-logs")
    junit = os.path.join(logs, "testlog.junit.xml")
    passed, failed, skipped, names = 0, 0, 0, []
    if os.path.exists(junit):
        passed, failed, skipped, names = count(junit, bad_programs(
            os.path.join(logs, "testlog.json")))
    if status != 0 and failed == 0:
        failed = 1
    print(passed, failed, skipped)
    for name in names:
        print(f"- {name}")


if __name__ == "__main__":
    main()
