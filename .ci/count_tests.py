"""Prints `passed failed skipped` for the last `meson test` of a build folder, counted over test
cases: GoogleTest programs tell theirs (protocol: 'gtest'), any other program is one case.

usage: count_tests.py FOLDER STATUS    STATUS is meson's exit code
"""
import os
import sys
import xml.etree.ElementTree as ElementTree


def count(path):
    passed = failed = skipped = 0
    for case in ElementTree.parse(path).getroot().iter("testcase"):
        if case.find("failure") is not None or case.find("error") is not None:
            failed += 1
        elif case.find("skipped") is not None or case.get("status") == "notrun":
            skipped += 1
        else:
            passed += 1
    return passed, failed, skipped


def main():
    folder, status = sys.argv[1], int(sys.argv[2])
    path = os.path.join(folder, "meson-logs", "testlog.junit.xml")
    passed, failed, skipped = count(path) if os.path.exists(path) else (0, 0, 0)
    # A program that crashed, timed out or did not build leaves no case behind that says so.
    if status != 0 and failed == 0:
        failed = 1
    print(passed, failed, skipped)


main()
