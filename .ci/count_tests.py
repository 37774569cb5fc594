"""Prints `passed failed skipped` for the last `meson test` of a build folder, counted over test
cases: GoogleTest programs and scripts that speak TAP tell theirs, any other program is one case.
A program that crashed, ran out of time or did not build counts as a failure, if no case of its own
does. Each case that was skipped follows on a line of its own, `- PROGRAM: CASE: WHY`, and each that
failed on some, `! PROGRAM: CASE` and the end of what it said: whoever has only the end of a long
run's output has to find there what failed.

usage: count_tests.py FOLDER STATUS    STATUS is meson's exit code
"""
import json
import os
import sys
import xml.etree.ElementTree as ElementTree

BAD = ("FAIL", "ERROR", "TIMEOUT", "INTERRUPT", "UNEXPECTEDPASS")
# Lines and characters that are repeated of what a failed case, or its program, said.
SAID_LINES = 15
SAID_WIDTH = 200


def bad_programs(path):
    """Tests of meson that did not end well, by name: (result, what they printed)."""
    with open(path, encoding="utf-8") as lines:
        tests = [json.loads(line) for line in lines]
    return {test["name"]: (test["result"], test.get("stdout", "") + test.get("stderr", ""))
            for test in tests if test["result"] in BAD}


def end_of(text):
    """The end of what was said, as lines that belong to the name before them."""
    lines = [line.rstrip() for line in text.splitlines() if line.strip()]
    return [f"!   {line[:SAID_WIDTH]}" for line in lines[-SAID_LINES:]]


def said_by(case):
    """What a failed case said, as far as meson has told it from the rest."""
    told = [case.find(tag) for tag in ("failure", "error", "system-out", "system-err")]
    return "\n".join((part.get("message") or part.text or "")
                     for part in told if part is not None)


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
    """(passed, failed, how many were skipped, lines that name the skipped and the failed)."""
    passed = failed = 0
    skipped, failures = [], []
    told = set()  # programs with a failure that was counted
    for suite in ElementTree.parse(junit).getroot().iter("testsuite"):
        # pakv: programs that are one case. pakv.PROGRAM[.SUITE]: the cases of one.
        names = suite.get("name").split(".")
        for case in suite.iter("testcase"):
            program = names[1] if len(names) > 1 else case.get("name")
            is_whole = len(names) == 1
            # "pakv:e2e / e2e_clients" is meson's name for it.
            name = program.split(" / ")[-1] + ("" if is_whole else f": {case.get('name')}")
            if (case.find("failure") is not None or case.find("error") is not None or
                    is_whole and program in bad):
                failed += 1
                told.add(program)
                printed = bad.get(program, ("", ""))[1]
                failures += [f"! {name}"] + end_of(said_by(case).strip() or printed)
            elif case.find("skipped") is not None or case.get("status") == "notrun":
                why = reason(case)
                skipped.append(f"- {name}" + (f": {why}" if why else ""))
            else:
                passed += 1
    for program in sorted(bad.keys() - told):
        failed += 1
        result, printed = bad[program]
        failures += [f"! {program.split(' / ')[-1]}: {result}"] + end_of(printed)
    return passed, failed, len(skipped), skipped + failures


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
        print(name)


if __name__ == "__main__":
    main()
