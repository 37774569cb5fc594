"""count_tests.py counts each case once, and loses no failure."""
import json
import os
import subprocess
import sys
import tempfile
import unittest

SCRIPT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "count_tests.py")


def count(suites, results, status=0, printed=""):
    """Its lines for a build folder with these JUnit suites, and with meson's result by test; each
    program printed `printed`."""
    with tempfile.TemporaryDirectory() as folder:
        logs = os.path.join(folder, "meson-logs")
        os.mkdir(logs)
        with open(os.path.join(logs, "testlog.junit.xml"), "w", encoding="utf-8") as junit:
            junit.write(f"<testsuites>{suites}</testsuites>")
        with open(os.path.join(logs, "testlog.json"), "w", encoding="utf-8") as log:
            for name, result in results.items():
                log.write(json.dumps({"name": name, "result": result, "stdout": printed})
                          + "\n")
        done = subprocess.run([sys.executable, "-B", SCRIPT, folder, str(status)],
                              capture_output=True, text=True, check=True)
        return done.stdout.splitlines()


GTEST = """<testsuite name="pakv.kv.TableTest">
  <testcase name="A" status="run"/>
  <testcase name="B" status="run"><failure message="no"/></testcase>
  <testcase name="C" status="run"><skipped message="a_test.cc:7&#x0A;no O_DIRECT&#x0A;"/></testcase>
</testsuite>"""
TAP = """<testsuite name="pakv.pakv:e2e / e2e_clients">
  <testcase name="1 redis_cli"/>
  <testcase name="2 hiredis"><skipped/><system-out>hiredis is missing</system-out></testcase>
</testsuite>"""


class CountTest(unittest.TestCase):
    def test_cases_count_and_those_skipped_are_named(self):
        self.assertEqual(count(GTEST + TAP, {"kv": "FAIL", "pakv:e2e / e2e_clients": "OK"}, 1),
                         ["2 1 2", "- kv: C: no O_DIRECT",
                          "- e2e_clients: 2 hiredis: hiredis is missing", "! kv: B", "!   no"])

    def test_what_a_failed_program_printed_last_is_repeated(self):
        printed = "".join(f"line {number}\n" for number in range(100))
        lines = count(TAP, {"pakv:e2e / e2e_clients": "TIMEOUT"}, 1, printed)
        self.assertEqual(lines[2], "! e2e_clients: TIMEOUT")
        self.assertEqual(lines[3:], [f"!   line {number}" for number in range(85, 100)])

    def test_a_program_without_cases_is_one(self):
        suite = """<testsuite name="pakv"><testcase name="lint_rules"/>
          <testcase name="bench_x"><skipped/></testcase>
          <testcase name="fuzz"><error/></testcase></testsuite>"""
        self.assertEqual(
            count(suite, {"lint_rules": "OK", "bench_x": "SKIP", "fuzz": "ERROR"}, 1),
            ["1 1 1", "- bench_x", "! fuzz"])

    def test_a_timeout_is_a_failure_though_no_case_failed(self):
        self.assertEqual(count(TAP, {"pakv:e2e / e2e_clients": "TIMEOUT"}, 1)[0], "1 1 1")
        suite = '<testsuite name="pakv"><testcase name="slow"/></testsuite>'
        self.assertEqual(count(suite, {"slow": "TIMEOUT"}, 1), ["0 1 0", "! slow"])

    def test_a_timeout_counts_beside_another_failure(self):
        results = {"kv": "FAIL", "pakv:e2e / e2e_clients": "TIMEOUT"}
        self.assertEqual(count(GTEST + TAP, results, 2)[0], "2 2 2")

    def test_what_did_not_build_is_a_failure(self):
        self.assertEqual(count("", {}, 1), ["0 1 0"])
        with tempfile.TemporaryDirectory() as folder:
            done = subprocess.run([sys.executable, "-B", SCRIPT, folder, "1"],
                                  capture_output=True, text=True, check=True)
        self.assertEqual(done.stdout, "0 1 0\n")


if __name__ == "__main__":
    unittest.main()
